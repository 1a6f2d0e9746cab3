"""``ultralab plugins``."""

from __future__ import annotations

from dataclasses import asdict

import click

from ultralab.cli.frame import Command, Request
from ultralab.kernel.language import _


@click.command(
    cls=Command,
    help=_("List every extension that is installed: engines, sources, formats, samplers, templates, recipes."),
    examples=("ultralab plugins", "ultralab plugins --json"),
)
@click.pass_obj
def plugins(request: Request) -> None:
    """List the extensions."""
    from ultralab.cli.output import show, table
    from ultralab.kernel.plugins import GROUPS, installed

    found = [plugin for group in GROUPS for plugin in installed(group)]
    rows = table(_("Extension point"), _("Name"), _("Package"))
    for plugin in found:
        rows.add_row(plugin.group, plugin.name, f"{plugin.distribution} {plugin.version}")
    show(request, [asdict(plugin) for plugin in found], lambda console: console.print(rows))
