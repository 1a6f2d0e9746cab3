"""``ultralab plan machines`` and ``limits``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ultralab.cli.frame import Command, Request
from ultralab.cli.home import lab_or_none
from ultralab.cli.plan.options import complete_machine
from ultralab.kernel.language import _
from ultralab.kernel.units import format_bytes, format_rate

if TYPE_CHECKING:
    from rich.console import Console

    from ultralab.app.plan_machines import Limits


@click.command(
    "machines",
    cls=Command,
    help=_(
        "List the machines that can be planned for: this one, and every Apple chip with the memory it was sold with."
    ),
    examples=("ultralab plan machines", "ultralab plan machines --json"),
)
@click.pass_obj
def machines(request: Request) -> None:
    """The named machines."""
    from ultralab.app.plan_machines import listed
    from ultralab.cli.output import show, table

    found = listed(lab_or_none(request))
    made = table(_("Name"), _("GPU cores"), _("Memory"), _("Models may take"), _("Bandwidth"), numbers=(1, 2, 3, 4))
    for one in found:
        made.add_row(
            one["name"], str(one["gpu_cores"] or "–"), format_bytes(one["memory_bytes"]),
            format_bytes(one["limit_bytes"]), format_rate(one["bandwidth"]) if one["bandwidth"] else "–",
        )  # fmt: skip
    show(request, {"machines": found}, lambda console: console.print(made))


@click.command(
    "limits",
    cls=Command,
    help=_(
        "Say what models may take on a machine and why, who holds it now, and how the limit can be raised and put back. "
        "Changes nothing."
    ),
    examples=("ultralab plan limits", "ultralab plan limits --machine m3-ultra-512"),
)
@click.option(
    "--machine", default="this", show_default=True, metavar="NAME", shell_complete=complete_machine,
    help=_("The machine to look at; “ultralab plan machines” lists them."),
)  # fmt: skip
@click.pass_obj
def limits(request: Request, machine: str) -> None:
    """Limits of a machine."""
    from ultralab.app.plan_machines import limits as look
    from ultralab.cli.output import show

    found = look(lab_or_none(request), machine)
    show(request, found.data, lambda console: _drawn(console, found))


def _drawn(console: Console, found: Limits) -> None:
    from ultralab.cli.output import pairs

    where, advice = found.place, found.advice
    if not found.sentences:
        console.print(f"{_('Models may take')} {format_bytes(where.limit_bytes)}: {where.basis}.")
    for sentence in found.sentences:
        console.print(sentence)
    if found.sentences:
        console.print(_("The limit is {basis}.").format(basis=where.basis))
    if advice is None:
        return
    console.print()
    console.print(advice.why)
    rows = [(_("To raise it"), advice.command), (_("To put it back"), advice.undo)]
    rows = [(name, command) for name, command in rows if command]
    if rows:
        console.print(pairs([*rows]))
    for sentence in (*advice.risks, advice.persistence):
        if sentence:
            console.print(f"· {sentence}")
