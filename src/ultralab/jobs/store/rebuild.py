"""The queue from its folders alone, and what is damaged set aside: never deleted, never in the way."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Final

from ultralab.jobs.states import fold
from ultralab.jobs.store import record
from ultralab.jobs.store.mirror import MIRROR, read_mirror, write_mirror
from ultralab.jobs.store.record import DATABASE
from ultralab.jobs.store.rows import job_values
from ultralab.jobs.types import Condition, JobSpec
from ultralab.kernel.errors import FileDamaged
from ultralab.kernel.language import _, ngettext
from ultralab.system import clock, files
from ultralab.system.database import Database

DAMAGED: Final = "damaged"  # what was set aside: databases under a dated name, job folders
_FILES: Final = (DATABASE, DATABASE + "-wal", DATABASE + "-shm")
_HIGHEST: Final = "highest.json"
_VERSION: Final = 1


def rebuild(folder: Path, database: Database) -> list[str]:
    """Fill an empty database from the job folders and the schedules' mirror; sentences about what could not be read.

    A job's condition is the fold of its events, by the function that made them. A job folder whose ``job.json`` is
    damaged moves into ``damaged/``. What a submit or a prune that was killed left behind comes back as it was written,
    if it was written whole. No number is given out twice: the highest one ever is known from the folders, and from
    ``highest.json``, which :func:`keep_highest` writes before the highest ones are pruned.
    Raises DiskFull, FileAccess, Failure (a newer ultralab wrote a folder).
    """
    notices: list[str] = []
    with database.transaction():
        for number in sorted(record.numbers(folder)):
            place = record.job_folder(folder, number)
            if not record.was_submitted(place):
                continue
            try:
                _restore(database, number, place)
            except FileDamaged as error:
                there = _move(place, folder / DAMAGED, place.name)
                notices.append(_("{problem} Its folder is now {path}.").format(problem=error.message, path=there))
        notices.extend(_restore_schedules(folder, database))
        _raise_highest(database, _highest(folder))
    return notices


def set_aside(folder: Path) -> Path | None:
    """Move the database's files into ``damaged/``, under a dated name; that of the database, None if there was none.

    A write-ahead log without its database goes as well: SQLite would apply it to the next one of that name.
    """
    if not any((folder / name).exists() for name in _FILES):
        return None
    stem = f"queue-{clock.now():%Y%m%d-%H%M%S}"
    number = 1
    while any((folder / DAMAGED).glob(f"{stem}.db*")):
        number += 1
        stem = f"{stem.partition('.')[0]}.{number}"
    for name in _FILES:  # the database first: without its log it would look whole, and be old
        if (folder / name).exists():
            _move(folder / name, folder / DAMAGED, stem + name.removeprefix("queue"))
    there = folder / DAMAGED / f"{stem}.db"
    return there if there.exists() else None


def keep_highest(folder: Path, highest: int) -> None:
    """Write down, synced, that this number was given out: its folder will be gone."""
    if highest > _kept_highest(folder):
        files.write(folder / _HIGHEST, json.dumps({"version": _VERSION, "highest": highest}) + "\n", mode=0o600)


def explanation(there: Path | None, jobs: int, notices: list[str]) -> str:
    """What happened, for the person who opens the queue."""
    if there is None:
        first = ngettext(
            "The job queue's database was missing; it was rebuilt from the job folders: {count} job.",
            "The job queue's database was missing; it was rebuilt from the job folders: {count} jobs.",
            jobs,
        )
    else:
        first = ngettext(
            "The job queue's database was set aside ({path}) and rebuilt from the job folders: {count} job.",
            "The job queue's database was set aside ({path}) and rebuilt from the job folders: {count} jobs.",
            jobs,
        )
    return " ".join([first.format(path=there, count=jobs), *notices])


def _restore(database: Database, number: int, place: Path) -> None:
    given = record.read_job(place)
    events, recorded = record.read_recorded(place)  # at once: a supervisor's scheduler may append one at any moment
    add_job(database, given.spec, fold(given.spec, given.submitted, events), number=number, recorded=recorded)


def add_job(
    database: Database, spec: JobSpec, condition: Condition, *, number: int | None = None, recorded: int = 0
) -> int:
    """Insert the row of a job and those of its dependencies; its number (None: the next one)."""
    rows = database.tuples("add_job", id=number, recorded=recorded, **job_values(spec, condition))
    given = int(rows[0][0])
    for need in spec.after:
        database.run("add_dependency", job=given, needs=need.job, how=need.how)
    return given


def _restore_schedules(folder: Path, database: Database) -> list[str]:
    path = folder / MIRROR
    if not path.exists():
        return []
    try:
        rows, unreadable = read_mirror(path)
    except (KeyError, TypeError, ValueError, RecursionError):
        there = _move(path, folder / DAMAGED, path.name)
        return [_("The schedules could not be read, add them again: {path}").format(path=there)]
    for row in rows:
        database.run("add_schedule", **row)
    database.run("consider_submitted")
    if not unreadable:
        return []
    there = _copy(path, folder / DAMAGED, path.name)
    write_mirror(folder, database)
    names = ", ".join(unreadable)
    return [_("Schedules that could not be read, add them again: {names} ({path})").format(names=names, path=there)]


def _raise_highest(database: Database, highest: int) -> None:
    rows = database.tuples("highest")
    if highest > (rows[0][0] if rows else 0):
        database.run("forget_highest")
        database.run("set_highest", highest=highest)


def _highest(folder: Path) -> int:
    aside = (folder / DAMAGED).iterdir() if (folder / DAMAGED).is_dir() else ()
    return max([_kept_highest(folder), *(record.number_of(path.name.partition(".")[0]) for path in aside)])


def _kept_highest(folder: Path) -> int:
    try:
        kept = json.loads((folder / _HIGHEST).read_bytes())["highest"]
    except (OSError, KeyError, TypeError, ValueError):
        return 0
    return kept if isinstance(kept, int) else 0


def _move(what: Path, into: Path, name: str) -> Path:
    """Move a file or folder, beside others that may have its name; where it is now."""
    with files.explained(what):
        there = _free_name(into, name)
        shutil.move(what, there)
        files.sync_directory(into)
        return there


def _copy(what: Path, into: Path, name: str) -> Path:
    """The same with a copy (0600), synced."""
    with files.explained(what):
        there = _free_name(into, name)
        files.write(there, what.read_bytes(), mode=0o600)
        return there


def _free_name(into: Path, name: str) -> Path:
    into.mkdir(mode=0o700, exist_ok=True)
    number, there = 1, into / name
    while there.exists():
        number += 1
        there = into / f"{name}.{number}"
    return there
