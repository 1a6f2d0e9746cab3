"""Opening the queue's database, and mending it: what is damaged or missing is rebuilt from the job folders."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from ultralab.jobs.store import record
from ultralab.jobs.store.rebuild import explanation, rebuild, set_aside
from ultralab.jobs.store.record import DATABASE
from ultralab.kernel.errors import FileAccess, FileDamaged, UltralabError
from ultralab.kernel.language import _
from ultralab.system import files
from ultralab.system.database import Database, open_database, open_to_read
from ultralab.system.place import alone, in_place

_ROOM: Final = "ultralab.jobs.store"
_LOCK: Final = "queue.lock"
_NEW: Final = "queue.new.db"
_NOTICE: Final = "notice.txt"
# Whoever met damage leaves this file: the next one who opens the queue looks at all of it, which takes a while.
_SUSPECT: Final = "queue.suspect"


def open_mended(folder: Path) -> tuple[Database, str]:
    """The database, and what had to be done to it in a sentence ("" as a rule). Makes the folder, for its owner only.

    One that is damaged, emptied or missing is rebuilt, by one process at a time; it appears under its name when it is
    whole, and nobody else makes one. Raises Busy, DiskFull, FileAccess (read-only, forbidden), Failure (from a newer
    ultralab).
    """
    with files.explained(folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return _opened(folder, lambda: open_database(folder / DATABASE, _ROOM, create=False))


def renew(folder: Path, database: Database) -> str:
    """Open the file that has its name now, mended first if it must be; what had to be done. Raises as the above."""

    def again() -> Database:
        database.reopen()
        return database

    return _opened(folder, again)[1]


@contextlib.contextmanager
def standing(folder: Path, database: Database) -> Iterator[None]:
    """For a change: while this lasts, the database is the one that has the name, and nobody sets it aside.

    Otherwise a job could be written into one that is on its way out, under a number that the next one gives out as well.
    Raises as :func:`open_mended`.
    """
    while True:
        with in_place(folder):
            if database.is_current():
                yield
                return
        renew(folder, database)


def _opened(folder: Path, open_it: Callable[[], Database]) -> tuple[Database, str]:
    notices: list[str] = []
    looked = False
    while True:
        if needs_look(folder):
            notices.append(_mended(folder, asked=False))
        before = _identity(folder)
        try:
            database = open_it()
            if looked or not _is_emptied(folder, database):
                return database, " ".join(filter(None, notices))
            database.close()
        except UltralabError as error:
            if _identity(folder) != before:  # somebody mends it just now
                continue
            if looked or not isinstance(error, FileDamaged):
                raise
        looked = True
        notices.append(_mended(folder))


def _is_emptied(folder: Path, database: Database) -> bool:
    """Whether the table or its index lost all its rows. The folders are looked at only where there is no row."""
    for number, indexed in database.tuples("last_twice"):
        return bool(number != indexed)
    return any(record.was_submitted(record.job_folder(folder, number)) for number in record.numbers(folder))


def open_unwritable(folder: Path) -> Database:
    """The database where nothing can be written, for reading only. Raises FileAccess, FileDamaged, Failure."""
    if _size(folder / DATABASE) == 0:
        raise FileAccess(_("{path} cannot be read.").format(path=folder / DATABASE), path=str(folder / DATABASE))
    return open_to_read(folder / DATABASE, _ROOM)


def needs_look(folder: Path) -> bool:
    """Whether the database is missing, empty, no file or under suspicion. Two looks at names: nothing is read."""
    return _size(folder / DATABASE) == 0 or (folder / _SUSPECT).exists()


def suspect(folder: Path) -> None:
    """Ask for a look at the whole database before it is used again."""
    with contextlib.suppress(OSError):
        (folder / _SUSPECT).touch(mode=0o600)


def mend(folder: Path, *, anyway: bool = False) -> tuple[Database, str]:
    """Check the whole database and rebuild it if it is not whole, or ``anyway``. Raises as :func:`open_mended`."""
    notice = _mended(folder, anyway=anyway)
    database, more = open_mended(folder)
    return database, f"{notice} {more}".strip()


def _mended(folder: Path, *, asked: bool = True, anyway: bool = False) -> str:
    from ultralab.system.locks import exclusive

    with exclusive(folder / _LOCK, _("the job queue, which it is rebuilding")):
        if not anyway:
            if not asked and not needs_look(folder):  # somebody was quicker
                return ""
            if _size(folder / DATABASE) > 0 and _whole(folder):
                (folder / _SUSPECT).unlink(missing_ok=True)
                return ""
        return _rebuilt(folder)


def _whole(folder: Path) -> bool:
    from ultralab.jobs.store.whole import is_whole

    try:
        with contextlib.closing(open_database(folder / DATABASE, _ROOM, create=False)) as database:
            return is_whole(folder, database)
    except FileDamaged:
        return False


def _rebuilt(folder: Path) -> str:
    suspect(folder)  # whoever comes now waits, and is not in the way of moving the files
    with alone(folder):
        there = set_aside(folder)
    with files.explained(folder):
        for name in (_NEW, f"{_NEW}-wal", f"{_NEW}-shm"):
            (folder / name).unlink(missing_ok=True)
        os.close(os.open(folder / _NEW, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    with contextlib.closing(open_database(folder / _NEW, _ROOM, create=False)) as fresh:
        notices = rebuild(folder, fresh)
        jobs = fresh.tuples("ids")
    with alone(folder), files.explained(folder):
        set_aside(folder)  # what somebody put there meanwhile by hand
        (folder / _NEW).replace(folder / DATABASE)
        files.sync_directory(folder)
        (folder / _SUSPECT).unlink(missing_ok=True)
    if there is None and not jobs and not notices:
        return ""
    notice = explanation(there, len(jobs), notices)
    _leave_notice(folder, notice)
    return notice


def take_notice(folder: Path) -> str:
    """What had to be mended since somebody was last told, in sentences; "" as a rule. It is forgotten by this."""
    path = folder / _NOTICE
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
        path.unlink(missing_ok=True)
    except OSError:
        return ""
    return " ".join(text.split("\n")).strip()


def _leave_notice(folder: Path, notice: str) -> None:
    """Whoever mends may be a daemon, which nobody reads: the next command says it."""
    with contextlib.suppress(UltralabError):
        files.append_line(folder / _NOTICE, notice)


def _identity(folder: Path) -> tuple[int, int]:
    try:
        found = (folder / DATABASE).stat()
    except OSError:
        return (0, 0)
    return found.st_dev, found.st_ino


def _size(path: Path) -> int:
    """Of a file; 0 for a folder or whatever else has the name."""
    try:
        found = path.stat()
    except OSError:
        return 0
    return found.st_size if stat.S_ISREG(found.st_mode) else 0
