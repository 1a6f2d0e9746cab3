"""Finding out what became of the jobs that run: from their supervisors' lives and the files that these left."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

from ultralab.jobs.queue import Queue, happen, listed
from ultralab.jobs.record import Ended, attempt_folder, has_begun, read_ended, read_worker
from ultralab.jobs.states import NotPossible
from ultralab.jobs.types import ACTIVE, Event, Job
from ultralab.kernel.errors import NotFound
from ultralab.system import clock
from ultralab.system.process import alive, end_attempt, signal_process


def settle(queue: Queue, release: Callable[[int], None]) -> list[Job]:
    """Give every running job whose attempt is over its next state; the jobs that changed.

    What a killed supervisor left running is ended first, so that a job never runs beside itself.
    """
    changed = []
    for job in listed(queue, states=ACTIVE):
        event = _what_happened(queue, job)
        if event is None:
            continue
        try:
            changed.append(happen(queue, job.id, event))
        except (NotPossible, NotFound):  # another process has settled it meanwhile
            continue
        if job.condition.reservation is not None:  # its holder may live a moment longer; the next job need not wait
            release(job.condition.reservation)
    return changed


def _what_happened(queue: Queue, job: Job) -> Event | None:
    """What became of the job's attempt; None while it runs."""
    folder = attempt_folder(queue.folder, job.id, job.condition.fence)
    supervisor = job.condition.supervisor
    lives = supervisor is not None and alive(supervisor)  # before the files are read: it may end in between
    if ended := read_ended(folder):
        return event_of(ended, job.condition.fence)
    if lives:
        assert supervisor is not None
        if job.state == "cancelling":  # whoever cancelled may have died between the row and the signal
            signal_process(supervisor, signal.SIGUSR1)
        return None
    if not has_begun(folder):
        return Event("never_began", clock.timestamp(), job.condition.fence)
    end_attempt(str(folder), read_worker(folder))
    return Event("lose", clock.timestamp(), job.condition.fence, cause="lost")


def event_of(ended: Ended, fence: int) -> Event:
    """What a supervisor's last record means for its job."""
    if ended.cause == "shutdown":
        return Event("lose", ended.at, fence, status=ended.status, cause="shutdown")
    name = "end_well" if (ended.status, ended.cause) == (0, "exit") else "end_badly"
    return Event("end_well" if name == "end_well" else "end_badly", ended.at, fence, ended.status, ended.cause)


def command_folder(queue: Queue, job: Job) -> Path:
    """The folder of the job's last attempt."""
    return attempt_folder(queue.folder, job.id, job.condition.fence)
