"""``ultralab plan calibrate``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from ultralab.cli.frame import Command, Request
from ultralab.cli.home import lab_or_none
from ultralab.kernel.language import _
from ultralab.kernel.units import format_rate

if TYPE_CHECKING:
    from rich.console import Console


@click.command(
    "calibrate",
    cls=Command,
    help=_(
        "Measure how fast this machine reads memory, and how fast it runs the smallest model of the library; take in every "
        "measured run of the lab. Half a minute at most; keep the machine idle meanwhile."
    ),
    examples=("ultralab plan calibrate", "ultralab plan calibrate --json"),
)
@click.pass_obj
def calibrate(request: Request) -> None:
    """Measure this machine."""
    from ultralab.app.plan_advice import calibrate as measure
    from ultralab.cli.output import show
    from ultralab.cli.progress import progress_for

    found = measure(lab_or_none(request), progress_for(request))
    show(request, found, lambda console: _drawn(console, found))


def _drawn(console: Console, found: Mapping[str, Any]) -> None:
    from ultralab.cli.output import pairs, table

    nominal, measured = found["nominal_bandwidth"], found["measured_bandwidth"]
    rows = [(_("Chip"), found["chip"])]
    if nominal:
        rows.append((_("Memory bandwidth"), _("{rate} nominal").format(rate=format_rate(nominal))))
    if measured:
        told = _("{rate} read here").format(rate=format_rate(measured))
        rows.append((_("Measured"), f"{told} ({measured / nominal:.0%})" if nominal else told))
    console.print(pairs([*rows]))
    if found["samples"]:
        made = table(_("Model"), _("Engine"), _("Prompt"), _("Decode tok/s"), _("Prefill tok/s"), numbers=(2, 3, 4))
        for one in found["samples"]:
            made.add_row(
                one["model"], one["engine"], str(one["prompt"] or "–"),
                f"{one['decode_tok_s']:.1f}" if one["decode_tok_s"] else "–",
                f"{one['prefill_tok_s']:.0f}" if one["prefill_tok_s"] else "–",
            )  # fmt: skip
        console.print(made)
    if found["disturbed"]:
        said = _("{count} runs were not counted: other programs were busy meanwhile. Try again on an idle machine.")
        console.print(said.format(count=found["disturbed"]), style="yellow")
    console.print(_("Kept in {path}; plans for this machine use it from now on.").format(path=found["path"]))
