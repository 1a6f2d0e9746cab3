"""``ultralab jobs list`` and ``ultralab jobs show``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from ultralab.cli.frame import Command, Request
from ultralab.cli.home import opened
from ultralab.cli.jobs.options import JOB
from ultralab.kernel.language import _

if TYPE_CHECKING:
    from ultralab.app import Lab
    from ultralab.jobs.types import Job

_ENDED_SHOWN: Final = 10
_STATES: Final = ("queued", "held", "running", "cancelling", "succeeded", "failed", "cancelled", "interrupted")


@click.command(
    "list",
    cls=Command,
    help=_("List the jobs that wait or run, and the last ones that ended."),
    examples=("ultralab jobs list", "ultralab jobs list --state failed", "ultralab jobs list --all --json"),
)
@click.option("--all", "everything", is_flag=True, help=_("Every job that is kept."))
@click.option("--state", type=click.Choice(_STATES), help=_("Only jobs in this state."))
@click.option("--limit", type=click.IntRange(1), metavar="N", help=_("The newest N of them."))
@click.pass_obj
def list_(request: Request, state: str | None, limit: int | None, *, everything: bool) -> None:
    """List the jobs."""
    import gc
    import shutil

    from ultralab.cli.jobs.views import json_rows, lines
    from ultralab.system import clock

    gc.disable()  # thousands of values that live until the end: looking for garbage among them only takes time
    found, more = _chosen(opened(request), state, limit, everything=everything)
    if request.json:
        click.echo(json_rows(found))
        return
    text = lines(found, clock.timestamp(), shutil.get_terminal_size().columns)
    if not found:
        text = [_("No job here. Submit one: ultralab jobs submit -- COMMAND")]
    if more:
        text.append(" " + _("… and {count} that ended before: ultralab jobs list --all").format(count=more))
    click.echo("\n".join(text))


def _chosen(lab: Lab, state: str | None, limit: int | None, *, everything: bool) -> tuple[list[Job], int]:
    """The jobs to list, and how many more there are that are over."""
    from ultralab.app.jobs import counts, listed
    from ultralab.jobs.types import ACTIVE, OVER, WAITING

    if everything or state is not None:
        return listed(lab, states=(state,) if state else (), limit=limit), 0  # type: ignore[arg-type]
    under_way = listed(lab, states=(*WAITING, *ACTIVE))
    ended = listed(lab, states=OVER, limit=_ENDED_SHOWN)
    number = counts(lab)
    found = sorted([*under_way, *ended], key=lambda job: job.id)
    return found[-limit:] if limit else found, sum(number.get(state, 0) for state in OVER) - len(ended)


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

    seen = view(opened(request), job)
    show(request, view_data(seen), lambda out: draw(out, seen, clock.timestamp()))
