"""One scheduling pass: settle what ended, submit what is due, start what the plan says. Any process may run one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from ultralab.jobs import schedules
from ultralab.jobs.scheduling import cron
from ultralab.jobs.scheduling.plan import plan, resting
from ultralab.jobs.site import Site
from ultralab.jobs.start import start
from ultralab.jobs.store.queue import Queue, under_way
from ultralab.jobs.types import Capacity, Job
from ultralab.kernel.errors import Busy, FileAccess, OutOfMemory, ToolFailed

# What others than jobs hold, too: nobody says when it is free. For a moment, or for another job, nobody need look.
_FREED_WITHOUT_A_POKE: Final = ("memory", "disk", "pressure", "disk_low", "overtaking")


@dataclass(frozen=True)
class Pass:
    """What a pass found. ``look_again``: when time alone changes the picture; ``unsure``: something that was planned
    could not be done now; ``blocked``: jobs wait for memory or disk, which come back without a word; ``resting``: nothing could start soon.
    """

    started: tuple[Job, ...]
    running: int
    look_again: datetime | None
    unsure: bool
    blocked: bool
    resting: bool


def run_pass(queue: Queue, site: Site, now: datetime) -> Pass:
    """Plan and start. Raises Busy, DiskFull, FileDamaged, FileAccess (the queue's files)."""
    waiting, running, known = under_way(queue)
    if not waiting:
        return Pass((), len(running), None, unsure=False, blocked=False, resting=True)
    capacity = site.capacity()
    planned = plan(waiting, running, known, capacity, site.rules, now)
    started = tuple(made for job in planned.start if (made := _started(queue, site, capacity, job)) is not None)
    still = [job for job in waiting if job.id not in {made.id for made in started}]
    return Pass(
        started=started,
        running=len(running) + len(started),
        look_again=planned.look_again,
        unsure=len(started) < len(planned.start),
        blocked=any(reason.code in _FREED_WITHOUT_A_POKE for reason in planned.waiting.values()),
        resting=resting(still, [*running, *started], known, capacity, site.rules, now),
    )


def submit_due(queue: Queue, now: datetime) -> datetime | None:
    """Submit what the schedules want by now; when the next one is due."""
    upcoming = []
    for schedule in schedules.schedules(queue):
        if schedule.paused:
            continue
        considered = datetime.fromtimestamp(schedule.considered, now.tzinfo)
        due = cron.due(schedule.cron, considered, now, schedule.catch_up)
        if due.considered != considered:
            schedules.submit_due(queue, schedule, [at.timestamp() for at in due.moments], due.considered.timestamp())
        if following := cron.next_due(schedule.cron, now):
            upcoming.append(following)
    return min(upcoming, default=None)


def _started(queue: Queue, site: Site, capacity: Capacity, job: Job) -> Job | None:
    try:
        return start(queue, site, capacity, job)
    except (OutOfMemory, Busy, ToolFailed, FileAccess):
        # Somebody took the memory meanwhile, the queue is busy, no process can be made, or this job's own folder cannot
        # be written: it stays where it was, and the others have their turn.
        return None
