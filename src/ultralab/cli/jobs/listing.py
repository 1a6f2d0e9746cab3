"""``ultralab jobs list`` and ``ultralab jobs show``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from ultralab.cli.frame import Command, Request
from ultralab.cli.home import opened
from ultralab.cli.jobs.options import JOB
from ultralab.kernel.language import _

if TYPE_CHECKING:
    from ultralab.jobs.types import State

_ENDED_SHOWN: Final = 10
_STATES: Final = ("queued", "held", "running", "cancelling", "succeeded", "failed", "cancelled", "interrupted")


@click.command(
    "list",
    cls=Command,
    help=_("List the jobs that wait or run, and the last 10 that ended (with --json too); --all lists every one."),
    examples=("ultralab jobs list", "ultralab jobs list --state failed", "ultralab jobs list --all --json"),
)
@click.option("--all", "everything", is_flag=True, help=_("Every job that is kept."))
@click.option("--state", type=click.Choice(_STATES), help=_("Only jobs in this state."))
@click.option("--limit", type=click.IntRange(1), metavar="N", help=_("The newest N of them."))
@click.pass_obj
def list_(request: Request, state: State | None, limit: int | None, *, everything: bool) -> None:
    """List the jobs."""
    import gc
    import shutil

    from ultralab.app.jobs import overview
    from ultralab.cli.jobs.views import json_rows, lines
    from ultralab.system import clock

    gc.disable()  # thousands of values that live until the end: looking for garbage among them only takes time
    states = () if state is None else (state,)
    seen = overview(opened(request, anyway=True), states=states, limit=limit, everything=everything, ended=_ENDED_SHOWN)
    if request.json:
        click.echo(json_rows(seen.jobs))
        return
    text = lines(seen.jobs, clock.timestamp(), shutil.get_terminal_size().columns)
    if not seen.jobs:
        text = [_nothing(state)]
    if seen.more:
        text.append(" " + _("… and {count} that ended before: ultralab jobs list --all").format(count=seen.more))
    click.echo("\n".join(text))


def _nothing(state: State | None) -> str:
    from ultralab.jobs.states import STATE_NAMES

    if state is None:
        return _("No job here. Submit one: ultralab jobs submit -- COMMAND")
    return _("No job is {state}.").format(state=_(STATE_NAMES[state]))


@click.command(
    "show",
    cls=Command,
    help=_("Show JOB (a number, a name, or 'last'): why it waits, its attempts, its progress."),
    examples=("ultralab jobs show 17", "ultralab jobs show last --json | jq .waiting"),
)
@JOB
@click.pass_obj
def show_(request: Request, job: str) -> None:
    """Show a job."""
    from ultralab.app.jobs import view
    from ultralab.cli.jobs.page import draw
    from ultralab.cli.jobs.views import view_data
    from ultralab.cli.output import show
    from ultralab.system import clock

    seen = view(opened(request, anyway=True), job)
    show(request, view_data(seen), lambda out: draw(out, seen, clock.timestamp()))
