"""The one door to SQLite, through apsw (which brings a recent SQLite of its own).

SQL lives in ``.sql`` files: ``queries.sql`` with named statements (``-- name: one_word`` above each) and
``migrations/NNNN_what.sql``, applied in order; SQLite's ``user_version`` remembers the last one.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, nullcontext, suppress
from importlib.resources import files
from pathlib import Path
from typing import Any

import apsw

from ultralab.kernel.errors import Busy, DiskFull, Failure, FileAccess, FileDamaged
from ultralab.kernel.language import _
from ultralab.system import clock
from ultralab.system import files as disk
from ultralab.system.files import explained
from ultralab.system.place import in_place

Row = dict[str, object]
Parameters = Mapping[str, str | float | bytes | None]

_NAMED = re.compile(r"^-- name: (\w+)\s*$", re.MULTILINE)
_BUSY_MILLISECONDS = 10_000
_LEAST_SPACE = 262_144
_NO_FILE = (0, 0)
_NOT_THERE = re.compile(r"no such (table|column|index)|has no column named")


class Database:
    """One SQLite file of one room. Not for sharing between threads: open another."""

    def __init__(self, path: Path, package: str, *, reading: bool = False, create: bool = True) -> None:
        self.path = path
        self._package = package
        self._reads = reading
        self._creates = create
        self._connection, self._file = _connect(path, package, reading=reading, create=create)
        queries = files(package).joinpath("queries.sql").read_text(encoding="utf-8")
        self._queries: Mapping[str, str] = named_queries(queries)

    def run(self, query: str, **parameters: str | float | bytes | None) -> list[Row]:
        """Run a named query; its rows as dictionaries. Raises Busy, DiskFull, FileDamaged, Failure."""
        with self._reading():
            cursor = self._connection.execute(self._queries[query], parameters)
            names: list[str] = []
            rows: list[Row] = []
            for row in cursor:  # SQLite gives the names while there are rows
                names = names or [column[0] for column in cursor.get_description()]
                rows.append(dict(zip(names, row, strict=True)))
            return rows

    def tuples(self, query: str, **parameters: str | float | bytes | None) -> list[tuple[Any, ...]]:
        """Run a named query; its rows as they come, in the order of its columns: for thousands of them."""
        with self._reading():
            return self._connection.execute(self._queries[query], parameters).fetchall()

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            with _translated(self.path):
                yield
        except UnicodeDecodeError as error:  # SQLite does not look into a text
            raise _damaged(self.path, error) from error
        except Failure as error:  # or into what it keeps of the tables: a name in it is not what the migrations wrote
            if isinstance(error.__cause__, apsw.SQLError) and _NOT_THERE.search(str(error.__cause__)):
                raise _damaged(self.path, error.__cause__) from error
            raise

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """A write transaction, begun at once, so that what is read inside is what is changed."""
        with _translated(self.path), _changes(self._connection):
            yield

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """A read transaction: everything that is read inside is of one moment, whatever others write meanwhile."""
        with _translated(self.path):
            self._connection.execute("BEGIN")
            try:
                yield
            finally:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")

    def integrity(self, *, full: bool = False) -> str:
        """SQLite's own quick check (or the full one, which reads the indexes too): ``ok`` or its first complaint."""
        with _translated(self.path):
            check = "PRAGMA integrity_check(1)" if full else "PRAGMA quick_check(1)"
            return str(next(iter(self._connection.execute(check)))[0])

    def is_as_made(self) -> bool:
        """Whether its tables and indexes are those that the migrations make, to the letter."""
        with closing(apsw.Connection(":memory:")) as fresh:
            _migrate(fresh, self.path, self._package)
            made = _schema(fresh)
        with self._reading():
            return _schema(self._connection) == made

    def is_current(self) -> bool:
        """Whether the file of that name is still the one that was opened: nobody has set it aside since."""
        return _file(self.path) == self._file

    def reopen(self) -> None:
        """Open the file that has its name now, instead of the one that was opened. Raises as :func:`open_database`."""
        connection, file = _connect(self.path, self._package, reading=self._reads, create=self._creates)
        self.close()
        self._connection, self._file = connection, file

    def close(self) -> None:
        """Close the file. Idempotent."""
        if self._creates:
            self._connection.close()
            return
        # The last one brings the log into the file and removes it: while it is known to be this file's.
        with suppress(Busy), in_place(self.path.parent), suppress(apsw.ConnectionClosedError):
            self._connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0)
            self._connection.close()
        self._connection.close()


def open_database(path: Path, package: str, *, create: bool = True) -> Database:
    """Open (and create or migrate) the database of the room ``package``, such as ``ultralab.memory``.

    A new one is for its owner only (0600, whatever the umask), and so is what SQLite keeps beside it. Without ``create``
    it must be there (FileAccess), and somebody may put another in its place (``ultralab.system.place``).
    """
    return Database(path, package, create=create)


def open_to_read(path: Path, package: str) -> Database:
    """Open a database where nothing can be written (a full disk, a read-only one), for reading only.

    For when :func:`open_database` was refused for that: it takes no lock, so a writer must not be at work.
    """
    return Database(path, package, reading=True)


def _connect(path: Path, package: str, *, reading: bool, create: bool) -> tuple[apsw.Connection, tuple[int, int]]:
    if create and not reading:
        with explained(path.parent):
            path.parent.mkdir(parents=True, exist_ok=True)
            _make(path)
    with _translated(path), nullcontext() if create else in_place(path.parent):
        while True:
            before = _file(path)
            connection = _opened_to_read(path) if reading else _opened(path, create)
            try:
                if reading:
                    _migrate(connection, path, package)
                else:
                    _prepare(connection, path, package)
            except BaseException:
                connection.close()
                raise
            if (after := _file(path)) == before or before == _NO_FILE:
                return connection, after
            connection.close()  # somebody put another file in its place just now


def _opened(path: Path, create: bool) -> apsw.Connection:
    if create:
        return apsw.Connection(str(path))
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
    # One that is dropped and not closed leaves the log where it is.
    connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
    return connection


def _make(path: Path) -> None:
    """SQLite would make it with what the umask leaves; the log and the shared memory get the mode of the file."""
    if not path.exists():
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))


def _opened_to_read(path: Path) -> apsw.Connection:
    """Without shared memory, for which there may be no room (sqlite.org/wal.html, "Use of WAL Without Shared-Memory";
    sqlite.org/vfs.html, "unix-none"). Without a log to apply, as a file that nobody changes (sqlite.org/uri.html).
    """
    from urllib.parse import quote

    log = path.with_name(path.name + "-wal")
    how = "vfs=unix-none" if log.exists() and log.stat().st_size else "immutable=1"
    flags = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
    connection = apsw.Connection(f"file:{quote(os.fsencode(path))}?mode=ro&{how}", flags=flags)
    connection.execute("PRAGMA locking_mode=EXCLUSIVE")
    return connection


def _file(path: Path) -> tuple[int, int]:
    """The identity of the file of that name. (Opening it to see would free this process's locks on it: fcntl(2).)"""
    try:
        found = path.stat()
    except OSError:
        return _NO_FILE
    return found.st_dev, found.st_ino


def _prepare(connection: apsw.Connection, path: Path, package: str) -> None:
    connection.set_busy_timeout(_BUSY_MILLISECONDS)
    _use_write_ahead_log(connection)
    for pragma in ("synchronous=FULL", "foreign_keys=ON", "trusted_schema=OFF"):
        connection.execute(f"PRAGMA {pragma}")
    if sys.platform == "darwin":  # fsync alone does not reach the platter there
        connection.execute("PRAGMA fullfsync=ON")
    _migrate(connection, path, package)


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
                _take(connection, path, step.read_text(encoding="utf-8"))
        connection.execute(f"PRAGMA user_version={newest}")


def _take(connection: apsw.Connection, path: Path, step: str) -> None:
    try:
        connection.execute(step)
    except apsw.SQLError as error:
        if "already exists" in str(error):  # it was taken already: the version is not what was written
            raise _damaged(path, error) from error
        raise


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


def _schema(connection: apsw.Connection) -> list[tuple[Any, ...]]:
    return connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY type, name").fetchall()


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
        raise _damaged(path, error) from error
    except (apsw.ReadOnlyError, apsw.CantOpenError, apsw.PermissionsError) as error:
        raise _refused(path, error) from error
    except apsw.Error as error:
        if isinstance(error, apsw.IOError):  # a full disk, where it is SQLite's shared memory that cannot grow
            disk.require_space(path.parent, _LEAST_SPACE)
        raise Failure(_("{path}: {error}").format(path=path, error=error), path=str(path)) from error


def _damaged(path: Path, error: Exception) -> FileDamaged:
    return FileDamaged(
        _("{path} is damaged: {error}").format(path=path, error=error),
        hint=_("Move the file away; ultralab makes a new one."),
        path=str(path),
    )


def _refused(path: Path, error: apsw.Error) -> FileAccess:
    """A database needs its folder as well: SQLite keeps the write-ahead log and the shared memory beside it."""
    for place in (path.parent, path):
        if place.exists() and not os.access(place, os.W_OK):
            return FileAccess(
                _("{path} cannot be used: {place} is read-only here.").format(path=path, place=place),
                hint=_(
                    "Make it writable for this user (or its disk, if that is read-only), or use another lab (--home)."
                ),
                path=str(path),
            )
    if isinstance(error, apsw.CantOpenError) and not path.is_dir():
        disk.require_space(path.parent, _LEAST_SPACE)
    return FileAccess(
        _("{path}: {error}").format(path=path, error=error),
        hint=_("Check the path and its permissions."),
        path=str(path),
    )
