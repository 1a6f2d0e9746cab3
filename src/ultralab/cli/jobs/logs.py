"""``ultralab jobs logs`` and ``ultralab jobs attach``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import click

from ultralab.cli.frame import Command, Request
from ultralab.cli.home import opened
from ultralab.cli.jobs.options import JOB
from ultralab.kernel.language import _

if TYPE_CHECKING:
    from ultralab.app.jobs import JobView
    from ultralab.cli.jobs.output import Beside

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
    from ultralab.cli.jobs.look import Look
    from ultralab.cli.jobs.page import why
    from ultralab.cli.output import print_json
    from ultralab.system.output import tail_offset

    lab = opened(request, anyway=True)
    seen = verbs.view(lab, job)
    found = output.attempt_of(seen, attempt)
    limit = lab.settings.jobs.log_limit
    if follow:
        beside = output.Beside("nothing" if request.quiet or request.json else "waits")
        out = None if request.json else sys.stdout.buffer
        back = _("Job {number} goes on. Back to it: ultralab jobs logs -f {number}")
        with _until_interrupted(seen, beside, back):
            seen = output.follow(Look(lab, seen), out, beside, limit, tail=tail, only=attempt)
        found = output.attempt_of(seen, attempt)
    if request.json:
        numbers = {"job": seen.job.id, "attempt": found.fence if found else None}
        print_json({**numbers, **output.parts(found.folder if found else seen.folder)})
    elif found is None:
        click.echo(why(seen) or _("It has not printed anything."), err=True)
    elif not follow:
        start = 0 if tail is None else tail_offset(found.folder, tail)
        output.copy(found.folder, sys.stdout.buffer, start, limit)


@click.command(
    "attach",
    cls=Command,
    help=_("Follow JOB until it is over and exit with its status. Ctrl-C only stops following."),
    examples=("ultralab jobs attach last", "ultralab jobs attach nightly && echo done"),
)
@JOB
@click.option(
    "--tail", type=click.IntRange(0), default=_TAIL, metavar="N", help=_("Begin with its last N lines (default: 200).")
)
@click.pass_obj
def attach(request: Request, job: str, tail: int) -> None:
    """Follow a job."""
    from ultralab.app.jobs import view
    from ultralab.cli.jobs import output
    from ultralab.cli.jobs.look import Look
    from ultralab.cli.jobs.views import view_data
    from ultralab.cli.output import print_json

    lab = opened(request, anyway=True)
    seen = view(lab, job)
    beside = output.Beside("nothing" if request.quiet or request.json else "all")
    out = None if request.json else sys.stdout.buffer
    back = _("Job {number} goes on. Back to it: ultralab jobs attach {number}")
    with _until_interrupted(seen, beside, back):
        seen = output.follow(Look(lab, seen), out, beside, lab.settings.jobs.log_limit, tail=tail)
    if request.json:
        print_json(view_data(seen))
    elif not request.quiet:
        beside.say(_ending(seen))
    raise SystemExit(_status(seen))


@contextmanager
def _until_interrupted(seen: JobView, beside: Beside, back: str) -> Iterator[None]:
    """Ctrl-C ends the following only, and says how to come ``back``."""
    try:
        yield
    except KeyboardInterrupt:
        beside.say(back.format(number=seen.job.id))
        raise SystemExit(_DETACHED) from None


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
