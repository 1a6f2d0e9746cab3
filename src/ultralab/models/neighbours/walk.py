"""Looking through folders that others fill: bounded, never blocked, never in a circle."""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ultralab.kernel.language import _

MOST_ENTRIES: Final = 200_000
DEEPEST: Final = 12
MOST_RECORD_BYTES: Final = 1024 * 1024

UNFINISHED: Final = re.compile(
    r".*(\.(incomplete|part|partial|tmp|crdownload|download|aria2|downloadinprogress|ultralab-share)"
    r"|-partial(-\d+)?|\.partial-\d+)$",
    re.IGNORECASE,
)
"""Files under download: of the hub's tools, LM Studio, browsers, aria2, llama.cpp, Ollama, and our own links."""


@dataclass(frozen=True)
class Seen:
    """A regular file: its name below the folder (links followed), where it really is, and its size."""

    name: str
    path: Path
    size: int


@dataclass(frozen=True)
class Passed:
    """Something that was passed over, and why."""

    path: Path
    reason: str


def regular_files(folder: Path, *, deepest: int = DEEPEST, most: int = MOST_ENTRIES) -> Iterator[Seen | Passed]:
    """Every finished regular file below a folder, by name, each place once. Hidden files and folders are left out.

    Links are followed, to folders too, but no folder is entered twice. Nothing is opened. What cannot be read, pipes,
    broken links and files under download are passed over; after ``most`` entries the rest is.
    """
    budget = [most]
    yield from _below(folder, "", deepest, budget, set())
    if budget[0] <= 0:
        yield Passed(folder, _("It holds more than {most} files; the rest was not looked at.").format(most=most))


def listed(folder: Path) -> tuple[list[Path], str]:
    """What lies in a folder, by name and without what is hidden; and why it cannot be read, if it cannot."""
    try:
        with os.scandir(folder) as entries:
            names = []
            for entry in entries:
                if not entry.name.startswith("."):
                    names.append(entry.name)
                if len(names) > MOST_ENTRIES:
                    return [], _("It holds more than {most} entries.").format(most=MOST_ENTRIES)
    except FileNotFoundError:
        return [], ""
    except OSError as error:
        return [], error.strerror or str(error)
    return [folder / name for name in sorted(names)], ""


def small_text(path: Path, most: int = MOST_RECORD_BYTES) -> str:
    """A small regular file's text, empty where it is none, cannot be read or is larger. Never blocks on a pipe."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except (OSError, ValueError):
        return ""
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size > most:
            return ""
        return os.read(descriptor, most).decode("utf-8", "replace")
    except OSError:
        return ""
    finally:
        os.close(descriptor)


def small_json(path: Path) -> object:
    """A small JSON file's value, None where it is none."""
    try:
        value: object = json.loads(small_text(path))
    except (ValueError, RecursionError):
        return None
    return value


def real_file(path: Path) -> Seen | Passed:
    """The regular file that a name leads to, or why there is none."""
    try:
        real = Path(os.path.realpath(path, strict=True))
        status = real.stat()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        return Passed(path, _("It cannot be read: {reason}.").format(reason=reason))
    if not stat.S_ISREG(status.st_mode):
        return Passed(path, _("It is not a regular file."))
    return Seen(path.name, real, status.st_size)


def _below(
    folder: Path, prefix: str, depth: int, budget: list[int], been: set[tuple[int, int]]
) -> Iterator[Seen | Passed]:
    try:
        status = folder.stat()
    except FileNotFoundError:
        return
    except OSError as error:
        yield Passed(folder, error.strerror or str(error))
        return
    if (status.st_dev, status.st_ino) in been:
        return
    been.add((status.st_dev, status.st_ino))
    entries, problem = listed(folder)
    if problem:
        yield Passed(folder, problem)
    for path in entries:
        budget[0] -= 1
        if budget[0] <= 0:
            return
        yield from _entry(path, f"{prefix}{path.name}", depth, budget, been)


def _entry(path: Path, name: str, depth: int, budget: list[int], been: set[tuple[int, int]]) -> Iterator[Seen | Passed]:
    try:
        is_folder = path.is_dir()
    except OSError as error:  # a folder that may be listed and not entered
        yield Passed(path, error.strerror or str(error))
        return
    if is_folder:
        if depth > 1:
            yield from _below(path, f"{name}/", depth - 1, budget, been)
        else:
            yield Passed(path, _("It lies too deep."))
        return
    if UNFINISHED.match(path.name):
        yield Passed(path, _("It is still being downloaded, or its download was given up."))
        return
    found = real_file(path)
    yield found if isinstance(found, Passed) else Seen(name, found.path, found.size)
