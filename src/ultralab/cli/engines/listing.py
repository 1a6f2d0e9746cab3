"""``ultralab engines list``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from ultralab.cli.frame import Command, Request
from ultralab.cli.home import lab_or_none
from ultralab.kernel.language import _

if TYPE_CHECKING:
    from rich.console import Console

_LOADS, _CAN = 11, 20
"""Columns for formats and capabilities: what is left holds an address such as http://127.0.0.1:1234/v1 on one line."""


@click.command(
    "list",
    cls=Command,
    help=_("List the engines: whether they can run here, what they load, what they can do, what they take."),
    examples=("ultralab engines list", "ultralab engines list --options", "ultralab engines list --json"),
)
@click.option("--options", "with_options", is_flag=True, help=_("Show the options that each engine takes."))
@click.pass_obj
def list_(request: Request, *, with_options: bool) -> None:
    """List them."""
    from ultralab.app.engine_lists import list_engines
    from ultralab.cli.output import show

    data = list_engines(lab_or_none(request))
    show(request, data, lambda console: _draw(console, data, with_options=with_options))


def _draw(console: Console, data: Sequence[Mapping[str, Any]], *, with_options: bool) -> None:
    from rich.text import Text

    from ultralab.cli.output import table

    made = table(_("Engine"), _("Here"), _("Loads"), _("Can"))
    made.columns[0].no_wrap = True
    made.columns[2].max_width, made.columns[3].max_width = _LOADS, _CAN
    for one in data:
        here = (
            Text(one["version"] or _("ready"), style="green") if one["ready"] else Text(one["reason"], style="yellow")
        )
        name = one["engine"] + (" *" if one["default"] else "")
        made.add_row(
            name, here, _(", ").join(one["formats"]) or "–", ", ".join(_capability(c) for c in one["capabilities"])
        )
    console.print(made)
    console.print(Text(_("* the setting engines.default"), style="dim"))
    for one in data:
        if one["hint"]:
            console.print(Text(f"{one['engine']}: {one['hint']}", style="dim"))
    if with_options:
        for one in data:
            console.print()
            _options(console, one)


def _options(console: Console, one: Mapping[str, Any]) -> None:
    from ultralab.cli.output import table

    made = table(_("Option"), _("Meaning"), _("Takes"), _("Here"), title=one["engine"])
    for option in one["options"]:
        takes = _(", ").join(option["only"]) or option["takes"]
        made.add_row(option["option"], option["meaning"], takes, option["note"])
    console.print(made)


def _capability(name: str) -> str:
    return {
        "chat": _("chat"),
        "completion": _("completion"),
        "scoring": _("scoring"),
        "embeddings": _("embeddings"),
        "tools": _("tools"),
        "vision": _("vision"),
    }[name]
