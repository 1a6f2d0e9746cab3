"""When each model was last used: the modification time of an empty file, ``state/used/<name>--<variant>``.

It can be learned from nothing else, so it lies apart from the cache, where no damaged database takes it along.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from ultralab.models.store.layout import Library
from ultralab.models.types import ModelRecord
from ultralab.system import clock, files, locks


def used(library: Library, record: ModelRecord, at: datetime) -> None:
    """A model is used at this moment (with its offset). An earlier one than is known changes nothing.

    Raises FileAccess, DiskFull.
    """
    path = _folder(library) / f"{record.name}--{record.variant}"
    with files.explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        known = path.stat().st_mtime if path.exists() else 0
        if at.timestamp() > known:
            path.touch()
            os.utime(path, (at.timestamp(), at.timestamp()))


@contextmanager
def in_use(library: Library, record: ModelRecord) -> Iterator[None]:
    """While a model is loaded: nothing deletes it (``cleaning``), and this counts as its use, at both ends.

    Raises FileAccess, DiskFull.
    """
    with locks.shared(library.lock(f"model-{record.sha256}")):
        used(library, record, clock.now())
        try:
            yield
        finally:
            used(library, record, clock.now())


def last_used(library: Library) -> Mapping[str, datetime]:
    """When each model that was ever used was last used, by reference. Raises FileAccess."""
    folder = _folder(library)
    with files.explained(folder):
        if not folder.is_dir():
            return {}
        moments = {entry.name: entry.stat().st_mtime for entry in os.scandir(folder) if "--" in entry.name}
    return {
        name.replace("--", ":", 1): datetime.fromtimestamp(moment, UTC).astimezone()
        for name, moment in sorted(moments.items())
    }


def forget_use(library: Library, record: ModelRecord) -> None:
    """A model that is no more was never used."""
    path = _folder(library) / f"{record.name}--{record.variant}"
    with files.explained(path):
        path.unlink(missing_ok=True)


def _folder(library: Library) -> Path:
    return library.home / "state" / "used"
