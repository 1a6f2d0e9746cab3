"""Starting a job once, whoever else tries: the steps of ``design.md``, in their order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ultralab.jobs.marks import mark
from ultralab.jobs.scheduling.plan import blocked
from ultralab.jobs.site import Site
from ultralab.jobs.store import queue as queue_room
from ultralab.jobs.store.attempts import record_refusal
from ultralab.jobs.store.queue import Queue
from ultralab.jobs.store.record import attempt_folder
from ultralab.jobs.types import Capacity, Event, Job
from ultralab.jobs.wake import WAKE
from ultralab.kernel.errors import FileDamaged, ToolFailed
from ultralab.kernel.language import _
from ultralab.supervisor import SCRIPT
from ultralab.system import clock
from ultralab.system.files import explained
from ultralab.system.process import Supervisor, identify, start_supervisor


def start(queue: Queue, site: Site, capacity: Capacity, job: Job) -> Job | None:
    """Start an attempt; None if somebody else was quicker or it no longer fits. Raises OutOfMemory, DiskFull, Busy.

    A job whose folder is damaged gets an attempt that could not be started, so that it stands in nobody's way.
    """
    fence = job.condition.fence + 1
    folder = attempt_folder(queue.folder, job.id, fence)
    try:
        environment = queue_room.environment(queue, job)
    except FileDamaged as error:
        _refuse(queue, job, error)
        return None
    with explained(folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # before the row: gone later means that the job did that
    supervisor = start_supervisor(SCRIPT, f"job {job.id}", mark(queue.folder, job.id, fence))
    reservation = None
    started = None
    try:
        if job.spec.needs.memory:
            purpose = _("job {id} ({name})").format(id=job.id, name=job.spec.name)
            reservation = site.reserve(job.spec.needs.memory, purpose, supervisor.identity)
        event = Event("start", clock.timestamp(), fence, supervisor=supervisor.identity, reservation=reservation)
        started = queue_room.start(queue, job.id, event, _fits(site, capacity))
        if started is not None:
            _go(supervisor, _instruction(queue, site, started, folder, environment))
    finally:
        if started is None:
            supervisor.abandon()
            if reservation is not None:
                site.release(reservation, supervisor.identity)
    return started


def _refuse(queue: Queue, job: Job, error: FileDamaged) -> None:
    """An attempt that ends before it begins: nothing can be started, and why is on record."""
    fence = job.condition.fence + 1
    event = Event("start", clock.timestamp(), fence, supervisor=identify())
    if queue_room.start(queue, job.id, event, lambda _job, _running: True) is not None:
        record_refusal(attempt_folder(queue.folder, job.id, fence), fence, clock.timestamp(), error.message)


def _fits(site: Site, capacity: Capacity) -> queue_room.Fits:
    """Whether it still fits beside what runs now; its memory is granted already."""
    granted = replace(capacity, memory_free=capacity.memory_limit)

    def fits(job: Job, running: Sequence[Job]) -> bool:
        return blocked(job, running, granted, site.rules) is None

    return fits


def _go(supervisor: Supervisor, instruction: Mapping[str, object]) -> None:
    try:
        supervisor.go(instruction)
    except ToolFailed:  # it was killed before its go-ahead: the next settling finds that it never began
        return


def _instruction(queue: Queue, site: Site, job: Job, folder: Path, environment: Mapping[str, str]) -> dict[str, object]:
    condition = job.condition
    assert condition.supervisor is not None
    own = {
        "ULTRALAB_JOB": mark(queue.folder, job.id, condition.fence),
        "ULTRALAB_ATTEMPT": str(condition.fence),
        "ULTRALAB_PROGRESS": str(folder / "progress.json"),
    }
    if condition.reservation is not None:
        own["ULTRALAB_RESERVATION"] = str(condition.reservation)
    return {
        "version": 1,
        "folder": str(folder),
        "fence": condition.fence,
        "argv": list(job.spec.argv),
        "cwd": job.spec.cwd,
        "environment": {**environment, **own},
        "log_limit": site.log_limit,
        "timeout": job.spec.timeout,
        "grace": site.grace,
        "alongside": site.awake(condition.supervisor.pid),
        "wake": f"../../{WAKE}",  # the supervisor goes into its folder: the lab may be moved while the job runs
        "afterwards": list(site.drain),
        "afterwards_cwd": "/",
    }
