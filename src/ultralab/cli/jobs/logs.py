"""``ultralab jobs logs`` and ``ultralab jobs attach``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import click

from ultralab.cli.frame import Command, Request
from ultralab.cli.home import opened
from ultralab.cli.jobs.options import JOB
from ultralab.kernel.language import _

if TYPE_CHECKING:
    from ultralab.app import Lab
    from ultralab.app.jobs import JobView

_TAIL: Final = 200
_DETACHED: Final = 130


@click.command(
    "logs",
    cls=Command,
    help=_("Print what JOB printed, byte for byte; notes about what was left out go to standard error."),
    examples=("ultralab jobs logs 17", "ultralab jobs logs last -f", "ultralab jobs logs 17 --attempt 1 --tail 50"),
)
@JOB
@click.option("-f", "--follow", is_flag=True, help=_("Go on until it is over."))
@click.option("--attempt", type=click.IntRange(1), metavar="N", help=_("That attempt (default: the last one)."))
@click.option("--tail", type=click.IntRange(0), metavar="N", help=_("Only the last N lines."))
@click.pass_obj
def logs(request: Request, job: str, attempt: int | None, tail: int | None, *, follow: bool) -> None:
    """Print a job's output."""
    from ultralab.app import jobs as verbs
    from ultralab.cli.jobs import output
    from ultralab.cli.jobs.page import why
    from ultralab.cli.jobs.views import print_json
    from ultralab.system.output import tail_offset

    lab = opened(request)
    seen = verbs.view(lab, job)
    found = output.attempt_of(seen, attempt)
    limit = lab.settings.jobs.log_limit
    if follow:
        beside = output.Beside(quiet=True)
        out = None if request.json else sys.stdout.buffer
        seen = output.follow(_look(lab, seen), out, beside, limit, tail=tail, only=attempt)
        found = output.attempt_of(seen, attempt)
    if request.json:
        numbers = {"job": seen.job.id, "attempt": found.fence if found else None}
        print_json({**numbers, **output.parts(found.folder if found else seen.folder)})
    elif found is None:
        click.echo(why(seen) or _("It has not printed anything."), err=True)
    elif not follow:
        start = 0 if tail is None else tail_offset(found.folder, tail)
        output.copy(found.folder, sys.stdout.buffer, start, limit)


def _look(lab: Lab, seen: JobView) -> Callable[[], JobView]:
    """Reads the job again, by its number: a newer one may take its name."""
    from ultralab.app.jobs import view

    return lambda: view(lab, str(seen.job.id))


@click.command(
    "attach",
    cls=Command,
    help=_("Follow JOB until it is over and exit with its status. Ctrl-C only stops following."),
    examples=("ultralab jobs attach last", "ultralab jobs attach nightly && echo done"),
)
@JOB
@click.option("--tail", type=click.IntRange(0), default=_TAIL, metavar="N", help=_("Begin with its last N lines."))
@click.pass_obj
def attach(request: Request, job: str, tail: int) -> None:
    """Follow a job."""
    from ultralab.app.jobs import view
    from ultralab.cli.jobs import output
    from ultralab.cli.jobs.views import print_json, view_data

    lab = opened(request)
    seen = view(lab, job)
    beside = output.Beside(quiet=request.quiet or request.json)
    out = None if request.json else sys.stdout.buffer
    try:
        seen = output.follow(_look(lab, seen), out, beside, lab.settings.jobs.log_limit, tail=tail)
    except KeyboardInterrupt:
        beside.hush()
        back = _("Job {number} goes on. Back to it: ultralab jobs attach {number}").format(number=seen.job.id)
        click.echo(back, err=True)
        raise SystemExit(_DETACHED) from None
    if request.json:
        print_json(view_data(seen))
    elif not request.quiet:
        click.echo(_ending(seen), err=True)
    raise SystemExit(_status(seen))


def _status(seen: JobView) -> int:
    """The job's exit status; never 0 for one that did not succeed."""
    status = seen.job.condition.status or 0
    return status if seen.job.state == "succeeded" else status or 1


def _ending(seen: JobView) -> str:
    from ultralab.jobs.states import STATE_NAMES

    name = _(STATE_NAMES[seen.job.state])
    status = seen.job.condition.status
    if status in (0, None):
        return _("Job {number}: {state}.").format(number=seen.job.id, state=name)
    return _("Job {number}: {state} (exit {status}).").format(number=seen.job.id, state=name, status=status)
