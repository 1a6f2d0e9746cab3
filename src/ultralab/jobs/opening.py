"""Opening the queue's database, and mending it: what is damaged or missing is rebuilt from the job folders."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path
from typing import Final

from ultralab.jobs.rebuild import DATABASE, explanation, rebuild, set_aside
from ultralab.kernel.errors import FileAccess, FileDamaged, UltralabError
from ultralab.kernel.language import _
from ultralab.system import files
from ultralab.system.database import Database, open_database, open_to_read

_ROOM: Final = "ultralab.jobs"
_LOCK: Final = "queue.lock"
_NEW: Final = "queue.new.db"
_NOTICE: Final = "notice.txt"
# Whoever met damage leaves this file: the next one who opens the queue looks at all of it, which takes a while.
_SUSPECT: Final = "queue.suspect"


def open_mended(folder: Path) -> tuple[Database, str]:
    """The database, and what had to be done to it in a sentence ("" as a rule). Makes the folder, for its owner only.

    One that is damaged, empty or missing is rebuilt, by one process at a time; it appears under its name when it is
    whole. Raises Busy, DiskFull, FileAccess (read-only, forbidden), Failure (from a newer ultralab).
    """
    with files.explained(folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not needs_look(folder):
        try:
            return open_database(folder / DATABASE, _ROOM), ""
        except FileDamaged:
            suspect(folder)
    return mend(folder)


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
    from ultralab.system.locks import exclusive

    with exclusive(folder / _LOCK, _("the job queue, which it is rebuilding")):
        if not anyway and (database := _whole(folder)) is not None:
            (folder / _SUSPECT).unlink(missing_ok=True)
            return database, ""
        return _rebuilt(folder)


def _whole(folder: Path) -> Database | None:
    if _size(folder / DATABASE) == 0:
        return None
    try:
        database = open_database(folder / DATABASE, _ROOM)
    except FileDamaged:
        return None
    try:
        if database.integrity() == "ok":
            return database
    except FileDamaged:
        pass
    database.close()
    return None


def _rebuilt(folder: Path) -> tuple[Database, str]:
    there = set_aside(folder)
    with files.explained(folder):
        for name in (_NEW, f"{_NEW}-wal", f"{_NEW}-shm"):
            (folder / name).unlink(missing_ok=True)
        os.close(os.open(folder / _NEW, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    fresh = open_database(folder / _NEW, _ROOM)
    try:
        notices = rebuild(folder, fresh)
        jobs = fresh.tuples("ids")
    finally:
        fresh.close()  # which brings the write-ahead log into the file, synced
    with files.explained(folder):
        (folder / _NEW).replace(folder / DATABASE)
        files.sync_directory(folder)
        (folder / _SUSPECT).unlink(missing_ok=True)
    notice = ""
    if there is not None or jobs or notices:
        notice = explanation(there, len(jobs), notices)
        _leave_notice(folder, notice)
    return open_database(folder / DATABASE, _ROOM), notice


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


def _size(path: Path) -> int:
    """Of a file; 0 for a folder or whatever else has the name."""
    try:
        found = path.stat()
    except OSError:
        return 0
    return found.st_size if stat.S_ISREG(found.st_mode) else 0
