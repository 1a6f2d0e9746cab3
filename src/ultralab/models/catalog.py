"""The catalog: an SQLite index of the metadata files, brought up to date before each reading.

The files are the truth. A file that cannot be read is left out and named by :func:`unreadable`; an index that is
missing, damaged or behind is made again from the files.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from ultralab.kernel.errors import FileDamaged, UltralabError
from ultralab.models.records import from_json, read_record, to_json
from ultralab.models.types import ModelRecord
from ultralab.system import files
from ultralab.system.database import Database, open_database

_PACKAGE: Final = "ultralab.models"


def load(catalog: Path, metadata: Path) -> tuple[ModelRecord, ...]:
    """Every readable record, by name, originals before derived ones. Raises Busy, DiskFull, FileAccess."""
    with _opened(catalog) as database:
        _bring_up_to_date(database, metadata)
        rows = database.run("everything")
    return tuple(from_json(metadata / str(row["file"]), str(row["record"])) for row in rows)


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
    with database.transaction():
        for name in seen.keys() - present.keys():
            database.run("forget", file=name)
        for name, stamp in present.items():
            if seen.get(name) != stamp:
                _read_into(database, metadata / name, stamp)


def _read_into(database: Database, path: Path, stamp: str) -> None:
    try:
        record = read_record(path)
    except UltralabError:
        database.run("forget", file=path.name)
        return
    database.run(
        "put",
        file=path.name,
        stamp=stamp,
        name=record.name,
        variant=record.variant,
        sha256=record.sha256,
        source=record.source,
        derived=int(record.derived is not None),
        added=record.added,
        record=to_json(record),
    )


def _stamps(metadata: Path) -> dict[str, str]:
    with files.explained(metadata):
        try:
            entries = list(os.scandir(metadata))
        except FileNotFoundError:
            return {}
        found: dict[str, str] = {}
        for entry in entries:
            if entry.name.endswith(".json") and not entry.name.startswith(".") and entry.is_file():
                status = entry.stat()
                found[entry.name] = f"{status.st_size}-{status.st_mtime_ns}-{status.st_ino}"
        return found


def _discard(catalog: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        catalog.with_name(catalog.name + suffix).unlink(missing_ok=True)
