"""A model's files as a bundle: from a path on this machine, or from what a source resolved."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

from ultralab.kernel.errors import FileAccess, NotFound
from ultralab.kernel.language import _
from ultralab.models.formats.base import USUAL_LIMITS, Bundle, Item, Limits
from ultralab.system import files

MOST_FILES: Final = 10_000
DEEPEST: Final = 4

_PART: Final = re.compile(r"(.*-)(\d{5})(-of-)(\d{5})(\.[a-z]+)", re.IGNORECASE)


def from_path(path: Path, limits: Limits = USUAL_LIMITS) -> Bundle:
    """A file (with the other parts of what it is a part of), or everything under a folder.

    Only regular files count; links are followed to files, not to folders, so nothing loops and nothing blocks. Raises
    NotFound, FileAccess (no such file, no regular file, more than MOST_FILES files).
    """
    with files.explained(path):
        mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        return Bundle(str(path), tuple(_item(found, path) for found in _regular(path)), limits)
    if not stat.S_ISREG(mode):
        raise FileAccess(_("{path} is not a regular file.").format(path=path), path=str(path))
    return Bundle(str(path), tuple(_item(part, path.parent) for part in _parts(path)), limits)


def _item(path: Path, folder: Path) -> Item:
    @contextmanager
    def opened() -> Iterator[IO[bytes]]:
        with files.explained(path), path.open("rb") as stream:
            yield stream

    with files.explained(path):
        return Item(path.relative_to(folder).as_posix(), path.stat().st_size, str(path), opened)


def _regular(folder: Path) -> list[Path]:
    found: list[Path] = []
    for place, folders, names in os.walk(folder):
        if len(Path(place).relative_to(folder).parts) >= DEEPEST:
            folders.clear()
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(place) / name
            if not name.startswith(".") and path.is_file():
                found.append(path)
        if len(found) > MOST_FILES:
            raise FileAccess(
                _("{path} holds more than {most} files.").format(path=folder, most=MOST_FILES),
                hint=_("Name the model's own folder."),
                path=str(folder),
            )
    return found


def _parts(path: Path) -> list[Path]:
    """The file, or all parts that lie beside it and belong to the same whole."""
    match = _PART.fullmatch(path.name)
    if match is None or not 1 < int(match[4]) <= MOST_FILES:
        return [path]
    named = (
        path.with_name(f"{match[1]}{number:05d}{match[3]}{match[4]}{match[5]}")
        for number in range(1, int(match[4]) + 1)
    )
    return [part for part in named if part == path or part.is_file()]


def require_items(bundle: Bundle) -> None:
    """Raise NotFound for a bundle without files."""
    if not bundle.items:
        raise NotFound(_("{path} holds no files.").format(path=bundle.where), path=bundle.where)
