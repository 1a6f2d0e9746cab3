"""The jobs' verbs: wiring the queue of a lab to its settings, the ledger and the machine."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ultralab.app.job_queue import jobs_folder, ledger_of, opened, program_command, read_only, settle, sites, wake
from ultralab.app.job_views import AttemptView, JobView, Overview, counts, find, listed, names, overview, view
from ultralab.app.lab import Lab
from ultralab.jobs.marks import tell_supervisor
from ultralab.jobs.sense import require_sense
from ultralab.jobs.states import step
from ultralab.jobs.store import queue as queue_room
from ultralab.jobs.store.opening import take_notice
from ultralab.jobs.store.queue import Queue
from ultralab.jobs.types import Event, Job, JobSpec, Needs
from ultralab.kernel.errors import DiskFull, FileAccess, NotFound, RequestError
from ultralab.kernel.language import _
from ultralab.kernel.units import format_bytes
from ultralab.system import clock, environ

if TYPE_CHECKING:
    from ultralab.jobs.schedules import Schedule
    from ultralab.jobs.types import Gpu

__all__ = [
    "AttemptView",
    "JobView",
    "Overview",
    "add_schedule",
    "all_schedules",
    "cancel",
    "counts",
    "daemon_runs",
    "detach",
    "drain",
    "find",
    "hold",
    "jobs_folder",
    "listed",
    "names",
    "notice",
    "opened",
    "overview",
    "pause_schedule",
    "program_command",
    "prune",
    "rebuild",
    "release",
    "remove_schedule",
    "retry",
    "serve",
    "submit",
    "view",
]

_YOUNG_SECONDS: Final = 3600.0


def submit(lab: Lab, spec: JobSpec, *, held: bool = False) -> Job:
    """Put a job into the queue, ``held`` from its first moment if that is wanted, and wake whoever schedules.

    Raises NotFound (the command, its folder, a job that it depends on), RequestError (more memory than there is).
    """
    _require_sense(lab, spec)
    with opened(lab) as queue:
        job = queue_room.submit(queue, spec, environ.for_job(), clock.timestamp(), held=held)
    wake(lab)
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
    whole = (*program_command(), "--home", str(lab.home), *argv)
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


def cancel(lab: Lab, reference: str) -> Job:
    """Take a waiting job from the queue, or ask a running one to end. Raises NotFound, NotPossible.

    A running one is told to end also where that cannot be written (the disk is full, perhaps of its output): then this
    gives the job as it will be, and its end, when it is written, makes it cancelled. Raises DiskFull, FileAccess: one that
    waits stays as it is.
    """
    try:
        job = _happen(lab, reference, "cancel")
    except (DiskFull, FileAccess):
        job = find(lab, reference)
        if job.state != "running":
            raise
        job = replace(job, condition=step(job.spec, job.condition, Event("cancel", clock.timestamp())))
    if job.state == "cancelling":
        tell_supervisor(jobs_folder(lab.home), job)
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
    """Remove jobs that were over ``older_than`` seconds ago, with their output; what was (or would be) removed.

    Where the disk is so full that not even this can be written, their output goes first.
    """
    from ultralab.jobs.store.prune import free_space, prunable

    before = clock.timestamp() - older_than
    with read_only(lab) as queue:
        chosen = prunable(queue, ended_before=before)
    if dry_run:
        return chosen
    try:
        return _pruned(lab, before)
    except DiskFull:
        with read_only(lab, settled=False) as queue:
            free_space(queue, chosen)
        return _pruned(lab, before)


def _pruned(lab: Lab, before: float) -> list[Job]:
    from ultralab.jobs.store.prune import prune as prune_queue

    with opened(lab) as queue:
        gone = prune_queue(queue, ended_before=before)
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
    with closing((queue := queue_room.rebuild_queue(jobs_folder(lab.home))).database):
        notice(lab.home)  # whoever asked for it is told at once
        return queue.notice


def notice(home: Path) -> str:
    """What had to be mended in the lab's queue since somebody was told, in sentences; "" as a rule. Said once. Cheap."""
    return take_notice(jobs_folder(home))


def drain(lab: Lab) -> None:
    """Schedule until nothing is left that could start soon, or a daemon runs."""
    from ultralab.jobs import loop

    with opened(lab) as queue:
        loop.drain(queue, sites(lab), lambda: daemon_runs(lab))


def serve(lab: Lab, trouble: Callable[[str], None]) -> None:
    """Schedule until interrupted; ``trouble`` is told in a sentence what went wrong."""
    from ultralab.jobs import loop

    site = sites(lab)
    with opened(lab) as queue:
        try:
            loop.serve(queue, site, lambda failure: trouble(failure.message))
        except NotFound:  # a file of the queue: because the whole lab was moved or deleted, as a rule, which says more
            site()
            raise


def add_schedule(lab: Lab, name: str, cron: str, catch_up: str, spec: JobSpec) -> Schedule:
    """Submit a job again and again. Raises AlreadyExists, RequestError (the name, the expression)."""
    from ultralab.jobs import schedules
    from ultralab.jobs.scheduling.cron import check_cron

    check_cron(cron)
    _require_sense(lab, spec)
    with opened(lab) as queue:
        added = schedules.add(queue, name, cron, catch_up, spec, environ.for_job(), clock.timestamp())
        _poke(queue)
        return added


def all_schedules(lab: Lab) -> list[tuple[Schedule, datetime | None]]:
    """Every schedule, with its next due moment (None while it is paused, or for ever)."""
    from ultralab.jobs import schedules
    from ultralab.jobs.scheduling.cron import next_due

    now = clock.now()
    with read_only(lab, settled=False) as queue:
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
        settle(lab, queue)
        job = queue_room.find(queue, reference)
        changed = queue_room.happen(queue, job.id, Event(name, clock.timestamp()))  # type: ignore[arg-type]
    wake(lab)
    return changed


def _require_sense(lab: Lab, spec: JobSpec) -> None:
    """The folder and the command are there (unless another job comes first, which may bring it), and it can ever fit."""
    require_sense(spec)
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
    if spec.needs.memory and spec.needs.memory > (limit := ledger_of(lab).limit):
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


def _poke(queue: Queue) -> None:
    from ultralab.jobs.wake import poke

    poke(queue.folder)
