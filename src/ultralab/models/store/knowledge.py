"""What is known of bytes without reading them again: ``state/store.db``. A cache: whoever cannot use it reads the bytes.

A file is known by inode, size and modification time. One that was written a moment ago is not trusted to keep its time:
a second writing within the clock's tick would leave no trace.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

from ultralab.kernel.errors import Failure, FileDamaged
from ultralab.models.store.layout import Library
from ultralab.system.database import Database, open_database

_PACKAGE: Final = "ultralab.models.store"
_POSITIVE: Final = 2**63 - 1
_TICK: Final = 50_000_000
_COARSE_TICK: Final = 2_500_000_000

T = TypeVar("T")


class Stamp(NamedTuple):
    """How a file looks from outside: inode, bytes, modification time in nanoseconds."""

    inode: int
    size: int
    modified: int


class Known(NamedTuple):
    """What a file's bytes were when it looked so."""

    stamp: Stamp
    sha256: str


class Census(NamedTuple):
    """What the last scan saw of a place, packed. ``stamp`` says of what state of the place it is true."""

    stamp: str
    names: bytes
    stats: bytes


def stamp_of(found: os.stat_result) -> Stamp:
    """A file's stamp."""
    return Stamp(found.st_ino & _POSITIVE, found.st_size, found.st_mtime_ns)


def settled(modified: int, now: int) -> bool:
    """Whether a modification time (ns) is old enough that another change would have changed it.

    Kernels count in ticks of up to 10 ms; FAT and exFAT in 2 s and 10 ms: times that are whole hundredths may be theirs.
    """
    return abs(now - modified) > (_TICK if modified % 10_000_000 else _COARSE_TICK)


def path_key(path: Path) -> bytes:
    """The key of a file anywhere."""
    return os.fsencode(path.absolute())


def blob_key(sha256: str) -> bytes:
    """The key of the store's bytes of a hash, wherever they lie: no absolute path begins so."""
    return b"blob:" + sha256.encode()


def recall(library: Library, keys: Iterable[bytes]) -> dict[bytes, Known]:
    """What is known of these. Nothing where the cache cannot be read."""

    def read(database: Database) -> dict[bytes, Known]:
        rows = [row for key in keys for row in database.tuples("known", path=key)]
        return {path: Known(Stamp(inode, size, modified), sha256) for path, inode, size, modified, sha256 in rows}

    return _asked(library, read, {})


def remember(library: Library, found: Mapping[bytes, Known]) -> None:
    """Keep what was read. Does nothing where the cache cannot be written."""

    def write(database: Database) -> None:
        with database.transaction():
            for key, known in found.items():
                database.run("remember", path=key, sha256=known.sha256, **known.stamp._asdict())

    if found:
        _asked(library, write, None)


def forget(library: Library, keys: Iterable[bytes]) -> None:
    """Trust these no longer."""

    def write(database: Database) -> None:
        with database.transaction():
            for key in keys:
                database.run("forget", path=key)

    _asked(library, write, None)


def censuses(library: Library) -> dict[str, Census]:
    """What the last scan saw, by place."""

    def read(database: Database) -> dict[str, Census]:
        return {place: Census(stamp, names, stats) for place, stamp, names, stats in database.tuples("census")}

    return _asked(library, read, {})


def keep_censuses(library: Library, seen: Mapping[str, Census]) -> None:
    """Keep what a scan saw."""

    def write(database: Database) -> None:
        with database.transaction():
            for place, census in seen.items():
                database.run("put_census", place=place, **census._asdict())

    if seen:
        _asked(library, write, None)


def _asked(library: Library, work: Callable[[Database], T], otherwise: T) -> T:
    """Do ``work`` with the cache; a damaged one is made anew, one that cannot be used is done without."""
    for _attempt in range(2):
        try:
            database = open_database(library.knowledge, _PACKAGE)
            try:
                return work(database)
            finally:
                database.close()
        except FileDamaged:
            for suffix in ("", "-wal", "-shm"):
                library.knowledge.with_name(library.knowledge.name + suffix).unlink(missing_ok=True)
        except Failure:
            break
    return otherwise
