"""The one door to SQLite, through apsw (which brings a recent SQLite of its own).

SQL lives in ``.sql`` files: ``queries.sql`` with named statements (``-- name: one_word`` above each) and
``migrations/NNNN_what.sql``, applied in order; SQLite's ``user_version`` remembers the last one.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path

import apsw

from ultralab.kernel.errors import Busy, DiskFull, Failure, FileDamaged
from ultralab.kernel.language import _
from ultralab.system import clock
from ultralab.system import files as disk
from ultralab.system.files import explained

Row = dict[str, object]
Parameters = Mapping[str, str | float | bytes | None]

_NAMED = re.compile(r"^-- name: (\w+)\s*$", re.MULTILINE)
_BUSY_MILLISECONDS = 10_000
_LEAST_SPACE = 262_144


class Database:
    """One SQLite file of one room. Not for sharing between threads: open another."""

    def __init__(self, path: Path, connection: apsw.Connection, queries: Mapping[str, str]) -> None:
        self.path = path
        self._connection = connection
        self._queries = queries

    def run(self, query: str, **parameters: str | float | bytes | None) -> list[Row]:
        """Run a named query; its rows as dictionaries. Raises Busy, DiskFull, FileDamaged, Failure."""
        with _translated(self.path):
            cursor = self._connection.execute(self._queries[query], parameters)
            return [dict(zip((column[0] for column in cursor.get_description()), row, strict=True)) for row in cursor]

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """A write transaction, begun at once, so that what is read inside is what is changed."""
        with _translated(self.path), _changes(self._connection):
            yield

    def integrity(self) -> str:
        """SQLite's own quick check: ``ok`` or its first complaint."""
        with _translated(self.path):
            return str(next(iter(self._connection.execute("PRAGMA quick_check(1)")))[0])

    def close(self) -> None:
        """Close the file."""
        self._connection.close()


def open_database(path: Path, package: str) -> Database:
    """Open (and create or migrate) the database of the room ``package``, such as ``ultralab.memory``."""
    with explained(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
    with _translated(path):
        connection = apsw.Connection(str(path))
        connection.set_busy_timeout(_BUSY_MILLISECONDS)
        _use_write_ahead_log(connection)
        for pragma in ("synchronous=FULL", "foreign_keys=ON", "trusted_schema=OFF"):
            connection.execute(f"PRAGMA {pragma}")
        if sys.platform == "darwin":  # fsync alone does not reach the platter there
            connection.execute("PRAGMA fullfsync=ON")
        _migrate(connection, path, package)
    return Database(path, connection, named_queries(files(package).joinpath("queries.sql").read_text(encoding="utf-8")))


def _use_write_ahead_log(connection: apsw.Connection) -> None:
    """Switch to WAL. SQLite does not wait for a lock here, whatever the busy time-out says: several processes that
    make one file at the same moment must take turns.
    """
    deadline = clock.monotonic() + _BUSY_MILLISECONDS / 1000
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except apsw.BusyError:
            if clock.monotonic() > deadline:
                raise
            clock.sleep(0.02)
        else:
            return


def named_queries(text: str) -> dict[str, str]:
    """Split a ``queries.sql`` into its named statements."""
    parts = _NAMED.split(text)
    return {name: body.strip() for name, body in zip(parts[1::2], parts[2::2], strict=True)}


def _migrate(connection: apsw.Connection, path: Path, package: str) -> None:
    folder = files(package).joinpath("migrations")
    steps = sorted((item for item in folder.iterdir() if item.name.endswith(".sql")), key=lambda item: item.name)
    newest = int(steps[-1].name[:4])
    if _version(connection) == newest:
        return
    if _version(connection) > newest:
        raise Failure(
            _("{path} was written by a newer ultralab.").format(path=path),
            hint=_("Upgrade ultralab, or use another lab (--home)."),
            path=str(path),
        )
    with _changes(connection):
        done = _version(connection)  # another process may have been quicker
        for step in steps:
            if int(step.name[:4]) > done:
                connection.execute(step.read_text(encoding="utf-8"))
        connection.execute(f"PRAGMA user_version={newest}")


@contextmanager
def _changes(connection: apsw.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # a full disk may have rolled back already
            connection.execute("ROLLBACK")
        raise


def _version(connection: apsw.Connection) -> int:
    return int(next(iter(connection.execute("PRAGMA user_version")))[0])


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except apsw.BusyError as error:
        raise Busy(
            _("{path} is locked by another process.").format(path=path),
            hint=_("Wait for the other ultralab command to finish and try again."),
            path=str(path),
        ) from error
    except apsw.FullError as error:
        raise DiskFull(
            _("The disk is full: {path} could not be written.").format(path=path),
            hint=_("Free some space there and run the command again."),
            path=str(path),
        ) from error
    except (apsw.NotADBError, apsw.CorruptError) as error:
        raise FileDamaged(
            _("{path} is damaged: {error}").format(path=path, error=error),
            hint=_("Move the file away; ultralab makes a new one."),
            path=str(path),
        ) from error
    except apsw.Error as error:
        if isinstance(error, apsw.IOError):  # a full disk, where it is SQLite's shared memory that cannot grow
            disk.require_space(path.parent, _LEAST_SPACE)
        raise Failure(_("{path}: {error}").format(path=path, error=error), path=str(path)) from error
