"""A look at all of the queue's database, for when it is under suspicion: SQLite's own check does not read the values."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final, get_args

from ultralab.jobs.store import record, rows
from ultralab.jobs.store.mirror import checked_row
from ultralab.jobs.types import Cause, Gpu, Job, State
from ultralab.system import clock
from ultralab.system.database import Database

# Prune removes the rows before the folders: by then it has gone on.
_A_MOMENT: Final = 0.1


def is_whole(folder: Path, database: Database) -> bool:
    """Whether every page, row and schedule can be read, and every job that has a folder has its row.

    Raises FileDamaged (it is not), Busy, DiskFull, FileAccess.
    """
    if database.integrity(full=True) != "ok" or not database.is_as_made() or not _is_readable(database):
        return False
    if _unknown(folder, database):
        clock.sleep(_A_MOMENT)
        return not _unknown(folder, database)
    return True


def _is_readable(database: Database) -> bool:
    found = database.tuples("oldest", states=json.dumps(get_args(State)), most=-1)
    after = database.tuples("dependencies", low=0, high=2**63 - 1)
    try:
        jobs = rows.jobs(found, rows.dependencies(after))
    except (TypeError, ValueError, RecursionError):
        return False
    # Those in a state that is none are not found above.
    known = [row[0] for row in database.tuples("ids")] == [job.id for job in jobs]
    return known and all(map(_makes_sense, jobs)) and all(map(checked_row, database.run("schedules")))


def _makes_sense(job: Job) -> bool:
    words = (*job.spec.argv, job.spec.cwd)
    choices = job.spec.needs.gpu in get_args(Gpu) and job.condition.cause in get_args(Cause)
    return choices and all(isinstance(word, str) for word in words)


def _unknown(folder: Path, database: Database) -> bool:
    """Whether a job has a folder and no row, at a moment at which no submit is under way."""
    with database.transaction():
        known = {row[0] for row in database.tuples("ids")}
        others = [number for number in record.numbers(folder) if number not in known]
    return any(record.was_submitted(record.job_folder(folder, number)) for number in others)
