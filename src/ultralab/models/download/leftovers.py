"""What downloads that did not end have left in a folder."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ultralab.models.download.partial import hold, read_journal
from ultralab.system import files

_OURS: Final = re.compile(r"([0-9a-f]{24})\.(partial|journal|ready|note)")
_ENDINGS: Final = (".journal", ".note", ".ready", ".partial")


@dataclass(frozen=True)
class Leftover:
    """An interrupted download: ``have`` of ``size`` bytes are there (None: unknown). ``path`` is its largest file."""

    key: str
    path: Path
    have: int
    size: int | None


def leftovers(into: Path) -> tuple[Leftover, ...]:
    """Every interrupted download in a folder, by key; one under way right now is among them. Raises FileAccess."""
    if not into.is_dir():
        return ()
    with files.explained(into):
        names = sorted(entry.name for entry in into.iterdir())
    keys = sorted({match[1] for name in names if (match := _OURS.fullmatch(name))})
    found = (_leftover(into, key) for key in keys)
    return tuple(one for one in found if one is not None)


def _leftover(into: Path, key: str) -> Leftover | None:
    there = [path for ending in _ENDINGS if (path := into / f"{key}{ending}").is_file()]
    if not there:
        return None
    partial = into / f"{key}.partial"
    noted = read_journal(partial)
    if noted is not None and partial in there:
        return Leftover(key, partial, sum(noted.have), noted.size)
    sizes = {path: _size(path) for path in there}
    largest = max(there, key=lambda path: sizes[path])
    return Leftover(key, largest, sum(sizes.values()), None)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def discard(into: Path, key: str) -> None:
    """Remove what one download left. Raises Busy while it is under way, FileAccess."""
    if not re.fullmatch(r"[0-9a-f]{24}", key):
        raise ValueError(key)
    held = hold(into / f"{key}.partial")
    try:
        forget(into / f"{key}.partial")
    finally:
        os.close(held)


def forget(partial: Path) -> None:
    """Remove a partial file and all that lies beside it. Raises FileAccess."""
    with files.explained(partial):
        for ending in _ENDINGS:
            partial.with_suffix(ending).unlink(missing_ok=True)
