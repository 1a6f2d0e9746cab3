"""Finding out what became of the jobs that run: from their supervisors' lives and the files that these left."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from ultralab.jobs.marks import mark, supervises, tell_supervisor
from ultralab.jobs.states import NotPossible
from ultralab.jobs.store.attempts import Ended, has_begun, read_ended, read_mark, read_worker
from ultralab.jobs.store.queue import Queue, happen, listed
from ultralab.jobs.store.record import attempt_folder
from ultralab.jobs.types import ACTIVE, Event, Job
from ultralab.kernel.errors import NotFound
from ultralab.system import clock
from ultralab.system.process import ProcessId, end_attempt

Release = Callable[[int, ProcessId], None]

# What does not die of SIGKILL at once (it waits for a disk, say) must not keep the others waiting.
_PATIENCE_SECONDS: Final = 2.0
# So many supervisors in a row that ended before they began: something is wrong here, and the next would end, too.
_MOST_UNBEGUN: Final = 10
_CANNOT_START: Final = 126


def settle(queue: Queue, release: Release) -> list[Job]:
    """Give every running job whose attempt is over its next state; the jobs that changed.

    What a killed supervisor left running is ended first, so that a job never runs beside itself.
    """
    return [changed for job in listed(queue, states=ACTIVE) if (changed := _settled(queue, job, release)) is not None]


def _settled(queue: Queue, job: Job, release: Release) -> Job | None:
    changed = None
    try:
        for event in _what_happened(queue, job):
            changed = happen(queue, job.id, event)
    except (NotPossible, NotFound):  # another process has settled it meanwhile
        return None
    condition = job.condition
    if changed and condition.reservation is not None and condition.supervisor is not None:
        release(condition.reservation, condition.supervisor)  # it may live a moment longer; the next job need not wait
    return changed


def _what_happened(queue: Queue, job: Job) -> Iterator[Event]:
    """What became of the job's attempt; nothing while it runs."""
    fence, supervisor = job.condition.fence, job.condition.supervisor
    folder = attempt_folder(queue.folder, job.id, fence)
    carried = mark(queue.folder, job.id, fence)
    lives = supervisor is not None and supervises(supervisor, carried)  # before the files: it may end in between
    if ended := read_ended(folder):
        if ended.cause == "cancel" and job.state == "running":  # its row could not be written when it was cancelled
            yield Event("cancel", ended.at)
        yield event_of(ended, fence)
    elif lives:
        if job.state == "cancelling":  # whoever cancelled may have died between the row and the signal
            tell_supervisor(queue.folder, job)
    elif folder.is_dir() and not has_begun(folder):
        if _unbegun(folder) >= _MOST_UNBEGUN:
            yield Event("end_badly", clock.timestamp(), fence, _CANNOT_START, "not_started")
        else:
            yield Event("never_began", clock.timestamp(), fence)
    elif _end_what_is_left(folder, carried):  # else it may not run again yet
        yield Event("lose", clock.timestamp(), fence, cause="lost")


def _end_what_is_left(folder: Path, carried: str) -> bool:
    """Kill what the attempt left; whether nothing is left. What a copied lab's files name is the original's."""
    worker = read_worker(folder) if read_mark(folder) == carried else None
    return end_attempt(carried, worker, _PATIENCE_SECONDS)


def event_of(ended: Ended, fence: int) -> Event:
    """What a supervisor's last record means for its job."""
    if ended.cause == "shutdown":
        return Event("lose", ended.at, fence, status=ended.status, cause="shutdown")
    if (ended.status, ended.cause) == (0, "exit"):
        return Event("end_well", ended.at, fence, 0, "exit")
    return Event("end_badly", ended.at, fence, ended.status, ended.cause)


def _unbegun(folder: Path) -> int:
    """How many attempts up to this one, in a row, never began."""
    attempts = range(int(folder.name), 0, -1)
    places = (folder.parent / str(number) for number in attempts)
    return next((count for count, place in enumerate(places) if not place.is_dir() or has_begun(place)), len(attempts))
