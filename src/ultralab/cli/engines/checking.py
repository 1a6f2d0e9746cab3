"""``ultralab engines check``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from ultralab.cli.engines.options import complete_engine
from ultralab.cli.frame import Command, Request
from ultralab.cli.home import lab_or_none
from ultralab.kernel.language import _

if TYPE_CHECKING:
    from rich.console import Console


@click.command(
    "check",
    cls=Command,
    help=_(
        "Run a real generation on a tiny model with each engine that is installed, compare its tokens with a plain "
        "computation, and say what is missing for the others and how to get it. Servers that are not ours are asked "
        "whether they answer."
    ),
    examples=("ultralab engines check", "ultralab engines check mlx", "ultralab engines check --json"),
)
@click.argument("names", nargs=-1, metavar="[ENGINE]...", shell_complete=complete_engine)
@click.pass_obj
def check(request: Request, names: tuple[str, ...]) -> None:
    """Try them."""
    from ultralab.app.engine_trials import try_engines
    from ultralab.cli.output import show
    from ultralab.cli.progress import progress_for

    data = try_engines(lab_or_none(request), names, progress_for(request))
    show(request, data, lambda console: _draw(console, data))
    if any(one["status"] == "failed" for one in data):
        raise SystemExit(1)


def _draw(console: Console, data: Sequence[Mapping[str, Any]]) -> None:
    from rich.text import Text

    from ultralab.cli.output import table

    marks = {"passed": ("✓", "green"), "failed": ("✗", "red"), "missing": ("–", "yellow")}
    made = table("", _("Engine"), _("What was seen"))
    for one in data:
        mark, style = marks[one["status"]]
        said = Text(one["detail"])
        if one["hint"]:
            said.append(f"\n{one['hint']}", style="dim")
        made.add_row(Text(mark, style=style), one["engine"], said)
    console.print(made)
