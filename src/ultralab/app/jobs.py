"""The jobs' verbs: wiring the queue of a lab to its settings, the ledger and the machine."""

from __future__ import annotations

import shutil
import signal
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ultralab.app.lab import Lab
from ultralab.jobs import queue as queue_room
from ultralab.jobs.queue import Queue, open_queue
from ultralab.jobs.types import Event, Job, JobSpec, Needs, State
from ultralab.kernel.errors import NotFound, RequestError
from ultralab.kernel.language import _
from ultralab.kernel.units import format_bytes
from ultralab.system import clock, environ

if TYPE_CHECKING:
    from ultralab.jobs.reasons import Reason
    from ultralab.jobs.record import Ended
    from ultralab.jobs.schedules import Schedule
    from ultralab.jobs.types import Gpu
    from ultralab.memory import Ledger
    from ultralab.system.process import ProcessId


_YOUNG_SECONDS: Final = 3600.0


@dataclass(frozen=True)
class AttemptView:
    """One attempt: its folder, when it began (epoch), how it ended, and the bytes that it printed so far."""

    fence: int
    folder: Path
    begun: float | None
    ended: Ended | None
    output_bytes: int


@dataclass(frozen=True)
class JobView:
    """A job with what its files and processes say. ``stopped``: its command is alive but stopped (SIGSTOP)."""

    job: Job
    waiting: Reason | None
    attempts: tuple[AttemptView, ...]
    progress: dict[str, Any] | None
    stopped: bool
    folder: Path


def jobs_folder(home: Path) -> Path:
    """Where a lab keeps its jobs."""
    return home / "state" / "jobs"


@contextmanager
def opened(lab: Lab) -> Iterator[Queue]:
    """The lab's queue. Raises Busy, FileAccess, Failure (a newer version's)."""
    queue = open_queue(jobs_folder(lab.home))
    with closing(queue.database):
        yield queue


def submit(lab: Lab, spec: JobSpec, *, held: bool = False) -> Job:
    """Put a job into the queue, ``held`` from its first moment if that is wanted, and wake whoever schedules.

    Raises NotFound (the command, its folder, a job that it depends on), RequestError (more memory than there is).
    """
    _require_sense(lab, spec)
    with opened(lab) as queue:
        job = queue_room.submit(queue, spec, environ.for_job({}), clock.timestamp(), held=held)
    _wake(lab)
    return job


def detach(
    lab: Lab,
    argv: Sequence[str],
    *,
    name: str,
    kind: str,
    memory: int = 0,
    gpu: Gpu = "exclusive",
    network: bool = False,
    resumable: bool = False,
    cwd: Path | None = None,
) -> Job:
    """Make a job of one of this program's own long verbs: ``argv`` without the program, for this lab."""
    whole = (*_program(), "--home", str(lab.home), *argv)
    needs = Needs(memory=memory, gpu=gpu, network=network)
    return submit(
        lab,
        JobSpec(
            argv=whole,
            cwd=str(cwd or Path.cwd()),
            name=name,
            kind=kind,
            owner=environ.user_name(),
            needs=needs,
            resumable=resumable,
        ),
    )


def daemon_runs(lab: Lab) -> bool:
    """Whether ``ultralab serve`` runs for this lab."""
    from ultralab.system.presence import present

    return present(lab.home / "state" / "daemon.json") is not None


def listed(lab: Lab, *, states: Collection[State] = (), limit: int | None = None) -> list[Job]:
    """The jobs in these states (all by default), oldest first; with ``limit``, the newest so many."""
    with opened(lab) as queue:
        _settle(lab, queue)
        found = queue_room.listed(queue, states=states, limit=limit, newest=limit is not None)
        return sorted(found, key=lambda job: job.id)


def find(lab: Lab, reference: str) -> Job:
    """The job with this number, the newest with this name, or the ``last`` one, as its row says. Raises NotFound."""
    with opened(lab) as queue:
        return queue_room.find(queue, reference)


def counts(lab: Lab) -> dict[State, int]:
    """How many jobs there are in each state."""
    with opened(lab) as queue:
        return queue_room.counts(queue)


def view(lab: Lab, reference: str) -> JobView:
    """One job with all that is known of it. Raises NotFound."""
    from ultralab.jobs.record import job_folder, read_progress, read_worker
    from ultralab.system.process import is_stopped

    with opened(lab) as queue:
        _settle(lab, queue)
        job = queue_room.find(queue, reference)
        folder = job_folder(queue.folder, job.id)
        attempts = tuple(_attempts(folder))
        last = attempts[-1].folder if attempts else None
        worker = read_worker(last) if last and job.state in ("running", "cancelling") else None
        return JobView(
            job=job,
            waiting=_waiting(lab, queue, job),
            attempts=attempts,
            progress=read_progress(last) if last else None,
            stopped=worker is not None and is_stopped(worker),
            folder=folder,
        )


def cancel(lab: Lab, reference: str) -> Job:
    """Take a waiting job from the queue, or ask a running one to end. Raises NotFound, NotPossible."""
    from ultralab.system.process import signal_process

    job = _happen(lab, reference, "cancel")
    if job.state == "cancelling" and job.condition.supervisor is not None:
        signal_process(job.condition.supervisor, signal.SIGUSR1)
    return job


def hold(lab: Lab, reference: str) -> Job:
    """Keep a queued job from starting. Raises NotFound, NotPossible."""
    return _happen(lab, reference, "hold")


def release(lab: Lab, reference: str) -> Job:
    """Let a held job go on. Raises NotFound, NotPossible."""
    return _happen(lab, reference, "release")


def retry(lab: Lab, reference: str) -> Job:
    """Queue a job again that is over. Raises NotFound, NotPossible."""
    return _happen(lab, reference, "retry")


def prune(lab: Lab, *, older_than: float, dry_run: bool) -> list[Job]:
    """Remove jobs that were over ``older_than`` seconds ago, with their output; what was (or would be) removed."""
    with opened(lab) as queue:
        _settle(lab, queue)
        gone = queue_room.prune(queue, ended_before=clock.timestamp() - older_than, dry_run=dry_run)
        if not dry_run:
            _prune_snapshots(lab, queue_room.listed(queue))
        return gone


def _prune_snapshots(lab: Lab, kept: Sequence[Job]) -> None:
    """Remove the copies of experiment files that no job names; one that is a moment old may get its job yet."""
    from ultralab.app.experiments import snapshots

    words = {word for job in kept for word in job.spec.argv}
    young = clock.timestamp() - _YOUNG_SECONDS
    for folder in snapshots(lab).glob("*"):
        if folder.stat().st_mtime < young and not any(word.startswith(f"{folder}/") for word in words):
            shutil.rmtree(folder, ignore_errors=True)


def rebuild(lab: Lab) -> str:
    """Set the queue's database aside and make it anew from the jobs' folders; a sentence that says what was found."""
    from ultralab.jobs.queue import rebuild_queue

    with closing((queue := rebuild_queue(jobs_folder(lab.home))).database):
        return queue.notice


def drain(lab: Lab) -> None:
    """Schedule until nothing is left that could start soon, or a daemon runs."""
    from ultralab.jobs import loop

    with opened(lab) as queue:
        loop.drain(queue, _sites(lab), lambda: daemon_runs(lab))


def serve(lab: Lab, trouble: Callable[[str], None]) -> None:
    """Schedule until interrupted; ``trouble`` is told in a sentence what went wrong."""
    from ultralab.jobs import loop

    with opened(lab) as queue:
        loop.serve(queue, _sites(lab), lambda failure: trouble(failure.message))


def add_schedule(lab: Lab, name: str, cron: str, catch_up: str, spec: JobSpec) -> Schedule:
    """Submit a job again and again. Raises AlreadyExists, RequestError (the name, the expression)."""
    from ultralab.jobs import schedules
    from ultralab.jobs.cron import check_cron

    check_cron(cron)
    _require_sense(lab, spec)
    with opened(lab) as queue:
        added = schedules.add(queue, name, cron, catch_up, spec, environ.for_job({}), clock.timestamp())
        _poke(queue)
        return added


def all_schedules(lab: Lab) -> list[tuple[Schedule, datetime | None]]:
    """Every schedule, with its next due moment (None while it is paused, or for ever)."""
    from ultralab.jobs import schedules
    from ultralab.jobs.cron import next_due

    now = clock.now()
    with opened(lab) as queue:
        found = schedules.schedules(queue)
    return [(item, None if item.paused else next_due(item.cron, now)) for item in found]


def remove_schedule(lab: Lab, name: str) -> None:
    """Forget a schedule; jobs that it submitted stay. Raises NotFound."""
    from ultralab.jobs import schedules

    with opened(lab) as queue:
        schedules.remove(queue, name)


def pause_schedule(lab: Lab, name: str, *, paused: bool) -> Schedule:
    """Pause a schedule, or let it go on from now: what was due meanwhile is passed over. Raises NotFound."""
    from ultralab.jobs import schedules

    with opened(lab) as queue:
        changed = schedules.pause(queue, name, paused=paused, now=clock.timestamp())
        _poke(queue)
        return changed


def _happen(lab: Lab, reference: str, name: str) -> Job:
    with opened(lab) as queue:
        _settle(lab, queue)
        job = queue_room.find(queue, reference)
        changed = queue_room.happen(queue, job.id, Event(name, clock.timestamp()))  # type: ignore[arg-type]
    _wake(lab)
    return changed


def _require_sense(lab: Lab, spec: JobSpec) -> None:
    """The folder and the command are there (unless another job comes first, which may bring it), and it can ever fit."""
    if not Path(spec.cwd).is_dir():
        raise NotFound(
            _("There is no such folder: {path}").format(path=spec.cwd), hint=_("Give another one with --cwd.")
        )
    if not spec.after and not _is_command(spec.argv[0], Path(spec.cwd)):
        raise NotFound(
            _("There is no such command: {command}").format(command=spec.argv[0]),
            hint=_("Check its spelling and your PATH; a pipeline needs a shell: -- sh -c '… | …'"),
            command=spec.argv[0],
        )
    if spec.needs.memory and spec.needs.memory > (limit := _ledger(lab).limit):
        raise RequestError(
            _("{need} of memory are asked for; jobs and models may take {limit} here.").format(
                need=format_bytes(spec.needs.memory), limit=format_bytes(limit)
            ),
            hint=_("Ask for less (--memory), or see: ultralab machine"),
            needed=spec.needs.memory,
            limit=limit,
        )


def _is_command(word: str, cwd: Path) -> bool:
    return shutil.which(str(cwd / word) if "/" in word else word) is not None


def _wake(lab: Lab) -> None:
    """Wake whoever schedules; where nobody does, start a drain."""
    from ultralab.jobs.wake import poke
    from ultralab.system.process import start_detached

    if not poke(jobs_folder(lab.home)):
        start_detached(_drain_command(lab), cwd=Path("/"))


def _poke(queue: Queue) -> None:
    from ultralab.jobs.wake import poke

    poke(queue.folder)


def _program() -> tuple[str, ...]:
    """How a child starts this program: from the same interpreter, and nothing taken from the current folder."""
    return (sys.executable, "-P", "-m", "ultralab.cli")


def _drain_command(lab: Lab) -> tuple[str, ...]:
    return (*_program(), "jobs", "drain", "--home", str(lab.home))


def _attempts(folder: Path) -> Iterator[AttemptView]:
    from ultralab.jobs.record import read_begun, read_ended
    from ultralab.system import output

    for attempt in sorted((item for item in folder.iterdir() if item.name.isdigit()), key=lambda item: int(item.name)):
        yield AttemptView(
            fence=int(attempt.name),
            folder=attempt,
            begun=read_begun(attempt),
            ended=read_ended(attempt),
            output_bytes=output.total(attempt),
        )


def _waiting(lab: Lab, queue: Queue, job: Job) -> Reason | None:
    from ultralab.jobs.passes import planned_now
    from ultralab.jobs.types import WAITING

    if job.state not in WAITING:
        return None
    site = _sites(lab)()
    others = queue_room.listed(queue, states=WAITING)
    return planned_now(queue, site.capacity(), site, others, clock.now()).waiting.get(job.id)


def _settle(lab: Lab, queue: Queue) -> None:
    """Before anything is said about jobs: what ended meanwhile has ended. The ledger is opened only where it matters.

    A job that may run again (after a reboot, say) is not only called queued: somebody is woken to start it.
    """
    from ultralab.jobs.settle import settle

    changed = settle(queue, partial(_give_back, lab))
    if any(job.state == "queued" for job in changed):
        _wake(lab)


def _give_back(lab: Lab, reservation: int, holder: ProcessId) -> None:
    from ultralab.app.job_site import give_back

    give_back(_ledger(lab), reservation, holder)


def _ledger(lab: Lab) -> Ledger:
    from ultralab.app.job_site import ledger_of

    return ledger_of(lab)


def _sites(lab: Lab) -> Any:
    from ultralab.app.job_site import sites

    return sites(lab, _drain_command(lab))
