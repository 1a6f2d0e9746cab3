"""Removing jobs that are over, with their output; also where the disk is so full that nothing can be written."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence

from ultralab.jobs.store import opening, record
from ultralab.jobs.store.queue import Queue, changing, in_states
from ultralab.jobs.store.rebuild import keep_highest
from ultralab.jobs.types import OVER, Job, State


def prunable(queue: Queue, *, ended_before: float, states: Collection[State] = OVER) -> list[Job]:
    """The jobs in these states, of those that are over, that ended before a moment and that no other job needs.

    One stays as long as a job that stays depends on it: so no unfinished job loses what it waits for, and a finished
    one can be retried. Raises Busy, FileAccess.
    """
    over = in_states(queue, [state for state in states if state in OVER])
    return _not_needed(queue, [item for item in over if (item.condition.ended or 0.0) < ended_before])


def free_space(queue: Queue, jobs: Sequence[Job]) -> None:
    """Remove what the attempts of these jobs left, before their rows go: it is their output that fills the disk.

    An attempt that a retry begins meanwhile is left alone.
    """
    for item in jobs:
        record.discard_attempts(queue.folder, item.id, item.condition.fence)


def prune(queue: Queue, *, ended_before: float, states: Collection[State] = OVER) -> list[Job]:
    """Remove what is :func:`prunable`, and give it back: the rows first, then the folders, with all output.

    What a killed submit left goes as well. But a folder without a row that is a job's to which something happened stays:
    the database does not know it (or a prune was killed), so all of it is looked at. Raises Busy, DiskFull (see
    :func:`free_space`), FileAccess.
    """
    with changing(queue):
        chosen = prunable(queue, ended_before=ended_before, states=states)
        if chosen:
            ((highest,),) = queue.database.tuples("highest")
            if chosen[-1].id == highest:  # a number that is lower is known from the folders that stay
                keep_highest(queue.folder, highest)
            queue.database.run("remove", ids=json.dumps([item.id for item in chosen]))
    with changing(queue):  # where no submit is under way, whose row nobody sees yet
        known, gone = {row[0] for row in queue.database.tuples("ids")}, {item.id for item in chosen}
        for number in record.numbers(queue.folder):
            if number not in known:
                if number in gone or not record.has_history(record.job_folder(queue.folder, number)):
                    record.put_away(queue.folder, number)
                else:
                    opening.suspect(queue.folder)
    record.discard_put_away(queue.folder)
    return chosen


def _not_needed(queue: Queue, candidates: list[Job]) -> list[Job]:
    """The candidates that only other chosen ones depend on. Who depends on a job has a higher number than it."""
    needed_by: dict[int, list[int]] = {}
    ids = json.dumps([item.id for item in candidates])
    for number, needs in queue.database.tuples("dependents", ids=ids):
        needed_by.setdefault(needs, []).append(number)
    chosen: dict[int, Job] = {}
    for item in reversed(candidates):
        if all(number in chosen for number in needed_by.get(item.id, ())):
            chosen[item.id] = item
    return list(reversed(chosen.values()))
