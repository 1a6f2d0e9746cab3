"""The catalog: an SQLite index of the metadata files, brought up to date before each reading.

The files are the truth. A file that cannot be read is left out and named by :func:`unreadable`; an index that is
missing, damaged or behind is made again from the files, and where none can be written, the files are read.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from ultralab.kernel.errors import DiskFull, FileAccess, FileDamaged, UltralabError
from ultralab.models.records import SCHEMA, from_json, read_record, to_json
from ultralab.models.types import ModelRecord
from ultralab.system import clock, files
from ultralab.system.database import Database, open_database

_PACKAGE: Final = "ultralab.models.catalog"
_SECOND: Final = 1_000_000_000
_TICK: Final = 1.5

UNTRUSTED: Final = "?"
"""In the stamp of a file that must be read again."""

Found = TypeVar("Found")


@dataclass(frozen=True)
class Row:
    """A record, the name of its metadata file, and the stamp of the file when it was read."""

    file: str
    stamp: str
    record: ModelRecord


def load(catalog: Path, metadata: Path) -> tuple[ModelRecord, ...]:
    """Every readable record, by name, originals before derived ones. Raises Busy, FileAccess."""
    try:
        return tuple(row.record for row in asked(catalog, metadata, lambda database: rows(database, metadata)))
    except (DiskFull, FileAccess):  # a full disk, or one that is read-only here: it can be looked at all the same
        return _from_files(metadata)


def asked(catalog: Path, metadata: Path, question: Callable[[Database], Found]) -> Found:
    """What ``question`` finds in the index, which agrees with the files. A damaged index is made again, once.

    ``question`` may write to the index and is asked anew then. Raises Busy, DiskFull, FileAccess.
    """
    try:
        return _asked(catalog, metadata, question)
    except FileDamaged:
        _discard(catalog)
        return _asked(catalog, metadata, question)


def rebuild(catalog: Path, metadata: Path) -> int:
    """Make the index again from nothing; how many records it holds."""
    _discard(catalog)
    return len(load(catalog, metadata))


def unreadable(metadata: Path) -> tuple[UltralabError, ...]:
    """What is wrong with each metadata file that cannot be read; the error names the file."""
    found: list[UltralabError] = []
    for name in sorted(_stamps(metadata)):
        try:
            read_record(metadata / name)
        except UltralabError as error:
            found.append(error)
    return tuple(found)


def stamp_of(status: os.stat_result) -> str:
    """What changes when a file does: size, modification, change (copying tools set the modification back), inode."""
    return f"{status.st_size}-{status.st_mtime_ns}-{status.st_ctime_ns}-{status.st_ino}"


def trusted(stamp: str, now: float) -> str:
    """The stamp to keep of a file that is read at ``now`` (seconds since the epoch): one that fits nothing where the file
    was changed just before, because a second change within one tick of its file system's clock shows in no stamp.
    """
    changed = int(stamp.split("-")[2]) / _SECOND
    return f"{stamp}{UNTRUSTED}" if abs(now - changed) < _TICK else stamp


def rows(database: Database, metadata: Path) -> tuple[Row, ...]:
    """Every readable record, of one moment, by name, originals before derived ones. Raises FileDamaged (the index)."""
    found = database.tuples("everything")
    try:
        return tuple(Row(file, stamp, from_json(metadata / file, record)) for file, stamp, record in found)
    except (ValueError, KeyError, TypeError) as error:  # SQLite knows no checksums of what it keeps
        raise FileDamaged(str(error), path=str(database.path)) from error


def _from_files(metadata: Path) -> tuple[ModelRecord, ...]:
    found: list[ModelRecord] = []
    for name in _stamps(metadata):
        try:
            found.append(read_record(metadata / name))
        except UltralabError:
            continue
    return tuple(sorted(found, key=lambda record: (record.name, record.derived is not None, record.variant)))


def _asked(catalog: Path, metadata: Path, question: Callable[[Database], Found]) -> Found:
    with _opened(catalog) as database:
        _bring_up_to_date(database, metadata)
        return question(database)


@contextmanager
def _opened(catalog: Path) -> Iterator[Database]:
    database = _open(catalog)
    try:
        yield database
    finally:
        database.close()


def _open(catalog: Path) -> Database:
    with files.explained(catalog):
        try:
            database = open_database(catalog, _PACKAGE)
        except FileDamaged:
            _discard(catalog)
            return open_database(catalog, _PACKAGE)
    if database.integrity() == "ok":
        return database
    database.close()
    _discard(catalog)
    return open_database(catalog, _PACKAGE)


def _bring_up_to_date(database: Database, metadata: Path) -> None:
    present = _stamps(metadata)
    seen = {str(row["file"]): str(row["stamp"]) for row in database.run("seen_files")}
    if present == seen:
        return
    now = clock.timestamp()
    with database.transaction():
        for name in seen.keys() - present.keys():
            database.run("forget", file=name)
        for name, stamp in present.items():
            if seen.get(name) != stamp:
                _read_into(database, metadata / name, trusted(stamp, now))


def _read_into(database: Database, path: Path, stamp: str) -> None:
    try:
        record = read_record(path)
    except FileDamaged:
        # It stays so until it changes.
        database.run("put", file=path.name, stamp=stamp, name="", variant="", derived=0, record=None)
        return
    except UltralabError:
        database.run("forget", file=path.name)
        return
    database.run(
        "put",
        file=path.name,
        stamp=stamp,
        name=record.name,
        variant=record.variant,
        derived=int(record.derived is not None),
        record=to_json(record),
    )


def _stamps(metadata: Path) -> dict[str, str]:
    """The stamp of each metadata file, with the records' schema: what an older reader left out is read again."""
    found: dict[str, str] = {}
    with files.explained(metadata):
        try:
            entries = list(os.scandir(metadata))
        except FileNotFoundError:
            return {}
        for entry in entries:
            if entry.name.endswith(".json") and not entry.name.startswith("."):
                with suppress(FileNotFoundError):  # somebody removes it just now
                    if stat.S_ISREG((status := entry.stat()).st_mode):
                        found[entry.name] = f"{SCHEMA}:{stamp_of(status)}"
    return found


def _discard(catalog: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        catalog.with_name(catalog.name + suffix).unlink(missing_ok=True)
