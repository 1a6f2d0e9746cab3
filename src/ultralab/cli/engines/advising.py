"""``ultralab engines advise``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from ultralab.cli.frame import Command, Request
from ultralab.cli.home import lab_or_none
from ultralab.cli.models.names import complete_ref
from ultralab.cli.plan.advising import wish_options
from ultralab.kernel.language import _
from ultralab.kernel.units import format_bytes

if TYPE_CHECKING:
    from rich.console import Console

    from ultralab.assess.advice.types import Wish


@click.command(
    "advise",
    cls=Command,
    help=_(
        "The engine and its options for MODEL on this chip, with the reason and its source; without a model, every note."
    ),
    examples=(
        "ultralab engines advise",
        "ultralab engines advise smollm2-135m-instruct --context 8192",
        "ultralab engines advise deepseek-r1 --machine m3-ultra-512",
    ),
)
@click.argument("model", required=False, default="", shell_complete=complete_ref)
@wish_options
@click.pass_obj
def advise(request: Request, model: str, machine: str, wish: Wish) -> None:
    """Advise."""
    from ultralab.app.engine_advice import advise as advice
    from ultralab.cli.output import show
    from ultralab.cli.progress import progress_for

    with progress_for(request).step(_("Planning")):
        data = advice(lab_or_none(request), model, wish, machine)
    show(request, data, lambda console: _draw(console, data))


def _draw(console: Console, data: Mapping[str, Any]) -> None:
    from rich.padding import Padding
    from rich.text import Text

    if choice := data["choice"]:
        parts = [choice["quantization"], _("KV cache {type}").format(type=choice["key_type"])]
        parts.append(_("{total} of memory").format(total=format_bytes(choice["total_bytes"])))
        console.print(
            Text(f"{choice['engine']}", style="bold green").append(f"  {choice['model']}, {', '.join(parts)}")
        )
        if not choice["ready"]:
            console.print(Text(_("This engine is not ready here: ultralab engines list"), style="yellow"))
    if data["command"]:
        console.print(Text(data["command"], style="cyan"), soft_wrap=True)
    for sentence in data["reasons"]:
        console.print(sentence)
    for number, note in enumerate(data["notes"]):
        if number or data["choice"] or data["reasons"]:
            console.print()
        console.print(Text(note["advice"], style="bold"))
        console.print(Padding(Text(note["reason"]), (0, 0, 0, 2), expand=False))
        for source in note["source"].split(", "):
            console.print(Padding(Text(source, style="dim", overflow="fold"), (0, 0, 0, 2), expand=False))
