"""What can be seen of a lab's jobs. All of it works on a disk that is full or read-only, too."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ultralab.app.job_queue import UNWRITABLE, jobs_folder, ledger_of, read_only, sites
from ultralab.app.lab import Lab
from ultralab.jobs.store import queue as queue_room
from ultralab.jobs.store.queue import Queue
from ultralab.jobs.types import ACTIVE, WAITING, Job, State
from ultralab.kernel.errors import UltralabError
from ultralab.system import clock

if TYPE_CHECKING:
    from ultralab.jobs.scheduling.reasons import Reason
    from ultralab.jobs.store.attempts import Ended
    from ultralab.system.process import ProcessId

# Between the reservation and the row of a job that is just started lies less than this.
_MOMENT_SECONDS: Final = 0.05


@dataclass(frozen=True)
class Overview:
    """The jobs to be shown, by number; ``more``: how many others there are that are over."""

    jobs: list[Job]
    more: int


@dataclass(frozen=True)
class AttemptView:
    """One attempt: its folder, when it began (epoch), how it ended, and the bytes that it printed so far.

    ``worker``: the command's process, while it lives.
    """

    fence: int
    folder: Path
    begun: float | None
    ended: Ended | None
    output_bytes: int
    worker: ProcessId | None


@dataclass(frozen=True)
class JobView:
    """A job with what its files and processes say. ``stopped``: its command is alive but stopped (SIGSTOP)."""

    job: Job
    waiting: Reason | None
    attempts: tuple[AttemptView, ...]
    progress: dict[str, Any] | None
    stopped: bool
    folder: Path


def overview(
    lab: Lab, *, states: Collection[State] = (), limit: int | None = None, everything: bool = False, ended: int = 10
) -> Overview:
    """What waits and runs, and the newest ``ended`` jobs that are over, all of one moment.

    With ``everything``, or of these ``states``: all of them. ``limit``: of all that, the newest so many.
    """
    with read_only(lab) as queue:
        if states or everything:
            found = queue_room.listed(queue, states=states, limit=limit, newest=limit is not None)
            return Overview(sorted(found, key=lambda job: job.id) if limit is not None else found, 0)
        found, more = queue_room.overview(queue, ended)
    if limit is None or limit >= len(found):
        return Overview(found, more)
    left_out = found[: len(found) - limit]
    return Overview(found[len(left_out) :], more + sum(job.state not in (*WAITING, *ACTIVE) for job in left_out))


def listed(lab: Lab, *, states: Collection[State] = (), limit: int | None = None) -> list[Job]:
    """The jobs in these states (all by default), oldest first; with ``limit``, the newest so many."""
    return overview(lab, states=states, limit=limit, everything=True).jobs


def find(lab: Lab, reference: str) -> Job:
    """The job with this number, the newest with this name, or the ``last`` one, as its row says. Raises NotFound."""
    with read_only(lab, settled=False) as queue:
        return queue_room.find(queue, reference)


def counts(lab: Lab) -> dict[State, int]:
    """How many jobs there are in each state."""
    with read_only(lab, settled=False) as queue:
        return queue_room.counts(queue)


def names(lab: Lab, limit: int) -> list[str]:
    """What a person may call a job, at most ``limit`` words: numbers, the newest first, then names.

    For completion: nothing is settled, no queue is made where there is none, and no error is raised.
    """
    folder = jobs_folder(lab.home)
    if not (folder / "queue.db").exists():
        return []
    with suppress(UltralabError), read_only(lab, settled=False) as queue:
        newest = queue_room.newest_number(queue)
        numbers = [str(job.id) for job in queue_room.listed(queue, limit=limit, newest=True)] if newest else []
        return [*numbers, *queue_room.names(queue, limit)][:limit]
    return []


def view(lab: Lab, reference: str) -> JobView:
    """One job with all that is known of it. Raises NotFound."""
    from ultralab.jobs.store.attempts import read_progress
    from ultralab.jobs.store.record import job_folder
    from ultralab.system.process import is_stopped

    with read_only(lab) as queue:
        job, waiting = _with_reason(lab, queue, queue_room.find(queue, reference))
        folder = job_folder(queue.folder, job.id)
        attempts = tuple(_attempts(folder, job))
        worker = attempts[-1].worker if attempts else None
        return JobView(
            job=job,
            waiting=waiting,
            attempts=attempts,
            progress=read_progress(attempts[-1].folder) if attempts else None,
            stopped=worker is not None and is_stopped(worker),
            folder=folder,
        )


def _attempts(folder: Path, job: Job) -> Iterator[AttemptView]:
    from ultralab.jobs.store.attempts import read_begun, read_ended
    from ultralab.jobs.store.record import attempt_of
    from ultralab.system import output

    found = {attempt_of(item.name): item for item in folder.iterdir()} if folder.is_dir() else {}
    for fence in sorted(number for number in found if number):
        attempt = found[fence]
        yield AttemptView(
            fence=fence,
            folder=attempt,
            begun=read_begun(attempt),
            ended=read_ended(attempt),
            output_bytes=output.total(attempt),
            worker=_worker(attempt) if job.state in ACTIVE and fence == job.condition.fence else None,
        )


def _worker(attempt: Path) -> ProcessId | None:
    from ultralab.jobs.store.attempts import read_worker
    from ultralab.system.process import alive

    worker = read_worker(attempt)
    return worker if worker is not None and alive(worker) else None


def _with_reason(lab: Lab, queue: Queue, job: Job) -> tuple[Job, Reason | None]:
    """The job as it stands now, and why it waits; no reason for one that began meanwhile, or that could start."""
    if job.state not in WAITING:
        return job, None
    reason = None
    with suppress(*UNWRITABLE):  # the ledger cannot be asked
        reason = _reason(lab, queue, job)
        if reason is not None and reason.code == "memory":  # held by its own supervisor, which is just being started?
            clock.sleep(_MOMENT_SECONDS)
            reason = _reason(lab, queue, job, held=True)
    now = queue_room.job(queue, job.id)
    return now, reason if now.state in WAITING else None


def _reason(lab: Lab, queue: Queue, job: Job, *, held: bool = False) -> Reason | None:
    """Why a pass would not start the job at this moment; with ``held``, it knows who else holds memory."""
    from ultralab.app.job_site import holders_beside
    from ultralab.jobs.scheduling.plan import plan

    site = sites(lab)()
    waiting, running, known = queue_room.under_way(queue)
    capacity = site.capacity()
    if held:
        capacity = replace(capacity, holders=holders_beside(ledger_of(lab), running))
    return plan(waiting, running, known, capacity, site.rules, clock.now()).waiting.get(job.id)
