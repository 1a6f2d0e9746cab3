"""``ultralab jobs cancel``, ``hold``, ``release``, ``retry``, ``prune``, ``rebuild``, ``drain``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from ultralab.cli.frame import Command, Request
from ultralab.cli.home import opened
from ultralab.cli.jobs.options import JOBS
from ultralab.kernel.errors import UltralabError
from ultralab.kernel.language import _, ngettext

if TYPE_CHECKING:
    from ultralab.app import Lab
    from ultralab.jobs.types import Job


def _each(request: Request, references: tuple[str, ...], verb: Callable[[Lab, str], Job]) -> None:
    """Do it with each; what is refused hinders no other. The exit status is that of the first refusal."""
    from ultralab.cli.output import print_json

    lab = opened(request, anyway=True)
    done: list[Job] = []
    refused: dict[str, UltralabError] = {}
    for reference in dict.fromkeys(references):
        try:
            done.append(verb(lab, reference))
        except UltralabError as error:
            refused[reference] = error
    if request.json:
        print_json(_to_data(done, refused))
    else:
        _say(done, refused)
    if refused:
        raise SystemExit(next(iter(refused.values())).exit_status)


def _to_data(done: Sequence[Job], refused: Mapping[str, UltralabError]) -> dict[str, Any]:
    """What became of each, as JSON: always of this shape."""
    from ultralab.cli.jobs.views import to_data

    problems = [
        {"job": reference, "kind": error.kind, "message": error.message, "hint": error.hint}
        for reference, error in refused.items()
    ]
    return {"jobs": [to_data(job) for job in done], "refused": problems}


def _say(done: Sequence[Job], refused: Mapping[str, UltralabError]) -> None:
    """A line per job; where only one was refused, it is told as every error is, with its hint."""
    from ultralab.jobs.states import STATE_NAMES
    from ultralab.kernel.text import printable

    for job in done:
        click.echo(f"{job.id}  {printable(job.spec.name)}  {_(STATE_NAMES[job.state])}")
    for error in refused.values():
        if len(refused) == 1:
            raise error
        click.echo(_("Error: {message}").format(message=error.message), err=True)


@click.command(
    "cancel",
    cls=Command,
    help=_("Take JOB from the queue, or end it: SIGTERM to everything it started, then SIGKILL."),
    examples=("ultralab jobs cancel 17", "ultralab jobs cancel 17 18 nightly"),
)
@JOBS
@click.pass_obj
def cancel(request: Request, jobs: tuple[str, ...]) -> None:
    """Cancel jobs."""
    from ultralab.app.jobs import cancel as verb

    _each(request, jobs, verb)


@click.command("hold", cls=Command, help=_("Keep a queued JOB from starting."), examples=("ultralab jobs hold 17",))
@JOBS
@click.pass_obj
def hold(request: Request, jobs: tuple[str, ...]) -> None:
    """Hold jobs."""
    from ultralab.app.jobs import hold as verb

    _each(request, jobs, verb)


@click.command("release", cls=Command, help=_("Let a held JOB go on."), examples=("ultralab jobs release 17",))
@JOBS
@click.pass_obj
def release(request: Request, jobs: tuple[str, ...]) -> None:
    """Release jobs."""
    from ultralab.app.jobs import release as verb

    _each(request, jobs, verb)


@click.command("retry", cls=Command, help=_("Queue a JOB again that is over."), examples=("ultralab jobs retry last",))
@JOBS
@click.pass_obj
def retry(request: Request, jobs: tuple[str, ...]) -> None:
    """Run jobs again."""
    from ultralab.app.jobs import retry as verb

    _each(request, jobs, verb)


@click.command(
    "prune",
    cls=Command,
    help=_("Remove jobs that ended long ago, with what they printed. Those that others wait for stay."),
    examples=("ultralab jobs prune", "ultralab jobs prune --older-than 30d --dry-run"),
)
@click.option("--older-than", default="7d", metavar="DURATION", help=_("How long ago they ended (default: 7d)."))
@click.option("--dry-run", is_flag=True, help=_("Only say which."))
@click.pass_obj
def prune(request: Request, older_than: str, *, dry_run: bool) -> None:
    """Remove old jobs."""
    from ultralab.app.jobs import prune as verb
    from ultralab.cli.jobs.views import json_rows
    from ultralab.jobs.scheduling.when import parse_duration

    gone = verb(opened(request, anyway=True), older_than=parse_duration(older_than), dry_run=dry_run)
    if request.json:
        click.echo(json_rows(gone))
    elif dry_run:
        numbers = _(", ").join(str(job.id) for job in gone) or "–"
        click.echo(_("These would be removed: {numbers}").format(numbers=numbers))
    else:
        click.echo(ngettext("{count} job removed.", "{count} jobs removed.", len(gone)).format(count=len(gone)))


@click.command(
    "rebuild",
    cls=Command,
    help=_("Set the queue's database aside and make it anew from the jobs' folders."),
    examples=("ultralab jobs rebuild",),
)
@click.pass_obj
def rebuild(request: Request) -> None:
    """Rebuild the queue."""
    from ultralab.app.jobs import rebuild as verb
    from ultralab.cli.output import print_json

    notice = verb(opened(request))
    if request.json:
        print_json({"notice": notice})
    else:
        click.echo(notice)


@click.command(
    "drain",
    cls=Command,
    help=_("Schedule until nothing is left that could start soon. Submitting starts this where no daemon runs."),
    examples=("ultralab jobs drain",),
    hidden=True,
)
@click.pass_obj
def drain(request: Request) -> None:
    """Schedule for a while."""
    from ultralab.app.jobs import drain as verb

    verb(opened(request, anyway=True))  # a slip in the settings must not stop what waits
