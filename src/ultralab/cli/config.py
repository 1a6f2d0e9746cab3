"""``ultralab config``."""

from __future__ import annotations

import click

from ultralab.cli.frame import Group, Request
from ultralab.cli.home import opened
from ultralab.kernel.errors import UnknownChoice
from ultralab.kernel.language import _


@click.group(
    cls=Group,
    help=_("Read and change the lab's settings (lab.toml)."),
    examples=("ultralab config list", "ultralab config get engines.default", "ultralab config set language zh_CN"),
)
def config() -> None:
    """The settings."""


@config.command("list", help=_("List every setting with its value."), examples=("ultralab config list",))
@click.pass_obj
def list_(request: Request) -> None:
    """List the settings."""
    from ultralab.cli.output import show, table
    from ultralab.settings import describe, values

    found = values(opened(request).settings)
    rows = table(_("Setting"), _("Value"), _("What it is"))
    for field in describe():
        rows.add_row(field.key, _plain(found[field.key]), _(field.description))
    show(request, found, lambda console: console.print(rows))


@config.command("get", help=_("Print one setting."), examples=("ultralab config get engines.default",))
@click.argument("key")
@click.pass_obj
def get(request: Request, key: str) -> None:
    """Print a setting."""
    from ultralab.cli.output import show
    from ultralab.settings import values

    found = values(opened(request).settings)
    if key not in found:
        raise UnknownChoice.among(_("setting"), key, found)
    show(request, found[key], lambda console: console.print(_plain(found[key]), soft_wrap=True))


@config.command(
    "set",
    help=_("Change one setting; comments and order of lab.toml are kept."),
    examples=("ultralab config set language zh_CN", "ultralab config set memory.reserve 16GiB"),
)
@click.argument("key")
@click.argument("value")
@click.pass_obj
def set_(request: Request, key: str, value: str) -> None:
    """Change a setting."""
    from ultralab.app.settings import change_setting
    from ultralab.cli.output import show
    from ultralab.settings import values

    lab = opened(request)
    found = values(change_setting(lab, key, value))
    show(request, found, lambda console: console.print(f"{key} = {_plain(found[key])}", soft_wrap=True))


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
