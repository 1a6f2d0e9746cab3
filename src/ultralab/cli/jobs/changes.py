"""``ultralab jobs cancel``, ``hold``, ``release``, ``retry``, ``prune``, ``rebuild``, ``drain``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

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
    """Do it with each; what is refused hinders no other. Raises the first refusal at the end."""
    from ultralab.cli.jobs.views import print_json, to_data
    from ultralab.jobs.states import STATE_NAMES
    from ultralab.kernel.text import printable

    lab = opened(request)
    done: list[Job] = []
    refused: list[UltralabError] = []
    for reference in dict.fromkeys(references):
        try:
            done.append(verb(lab, reference))
        except UltralabError as error:
            refused.append(error)
    if request.json and not refused:
        print_json([to_data(job) for job in done])
    elif not request.json:
        for job in done:
            state = _(STATE_NAMES[job.state])
            click.echo(f"{job.id}  {printable(job.spec.name)}  {state}")
        for other in refused[1:]:
            click.echo(_("Warning: {message}").format(message=other.message), err=True)
    if refused:
        raise refused[0]


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
    from ultralab.jobs.when import parse_duration

    gone = verb(opened(request), older_than=parse_duration(older_than), dry_run=dry_run)
    if request.json:
        click.echo(json_rows(gone))
    elif dry_run:
        numbers = ", ".join(str(job.id) for job in gone) or "–"
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
    from ultralab.cli.jobs.views import print_json

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

    verb(opened(request))
