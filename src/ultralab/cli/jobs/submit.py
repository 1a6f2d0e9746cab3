"""``ultralab jobs submit``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ultralab.cli.frame import Command, Request
from ultralab.cli.home import opened
from ultralab.cli.jobs.options import COMMAND, ITS_OWN_WORDS, announce, declares, spec_of
from ultralab.kernel.language import _

if TYPE_CHECKING:
    from ultralab.app import Lab


@click.command(
    "submit",
    cls=Command,
    help=_("Put COMMAND into the queue. It starts when what it declares is free, wherever you are by then."),
    examples=(
        "ultralab jobs submit -- python train.py --epochs 3",
        "ultralab jobs submit --memory 48G --gpu exclusive --when night -- ./bench.sh",
        "ultralab jobs submit --after 17 -- sh -c 'tar c runs | zstd > runs.tar.zst'",
    ),
    context_settings=ITS_OWN_WORDS,
)
@click.option("--name", metavar="NAME", help=_("How it is called (default: the command's name)."))
@declares
@click.option("--after", multiple=True, metavar="JOB", help=_("Only after the success of this job (repeatable)."))
@click.option(
    "--after-end", multiple=True, metavar="JOB", help=_("Only after the end of this job, however it ends (repeatable).")
)
@click.option(
    "--when",
    default="now",
    metavar="WHEN",
    help=_("When it may start: now, night, 22:30, +2h or a date (default: now)."),
)
@click.option("--hold", is_flag=True, help=_("Keep it until it is released."))
@COMMAND
@click.pass_obj
def submit(
    request: Request,
    /,
    command: tuple[str, ...],
    name: str | None,
    after: tuple[str, ...],
    after_end: tuple[str, ...],
    when: str,
    *,
    hold: bool,
    **given: Any,
) -> None:
    """Submit a job."""
    from ultralab.app import jobs as verbs
    from ultralab.jobs.scheduling.when import parse_when
    from ultralab.jobs.types import Dependency
    from ultralab.system import clock

    lab = opened(request)
    moment = parse_when(when, clock.now())
    needs = [Dependency(_number(lab, job), "success") for job in after]
    needs += [Dependency(_number(lab, job), "end") for job in after_end]
    spec = spec_of(command, name, given, after=tuple(needs), not_before=moment.not_before, night=moment.night)
    announce(request, lab, verbs.submit(lab, spec, held=hold))


def _number(lab: Lab, reference: str) -> int:
    from ultralab.app.jobs import find

    return find(lab, reference).id
