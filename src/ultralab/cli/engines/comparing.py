"""``ultralab engines compare``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from ultralab.cli.engines.options import complete_engine, load_options
from ultralab.cli.frame import Command, Request
from ultralab.cli.home import lab_or_none
from ultralab.cli.models.names import complete_ref
from ultralab.kernel.language import _
from ultralab.kernel.units import format_bytes, format_seconds

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from ultralab.app.engine_options import Wanted


@click.command(
    "compare",
    cls=Command,
    help=_(
        "Run one prompt, greedily, on every engine that can load MODEL (and its other forms, --with): the tokens, how far "
        "they agree with the first one's, speed, memory, and where they part, why."
    ),
    examples=(
        'ultralab engines compare smollm2-135m-instruct -p "Why is the sky blue?"',
        'ultralab engines compare qwen3:q8_0 --with qwen3:mlx-8bit -p "Say hello."',
        "ultralab engines compare ./model.gguf -p hello --engine llamacpp --raw",
    ),
)
@click.argument("model", shell_complete=complete_ref)
@click.option(
    "--with", "others", multiple=True, metavar="MODEL", help=_("The same model in another form; may be repeated.")
)
@click.option("--prompt", "-p", required=True, metavar="TEXT", help=_("What is asked."))
@click.option(
    "--engine", "engines", multiple=True, metavar="NAME", shell_complete=complete_engine,
    help=_("Only these engines; may be repeated."),
)  # fmt: skip
@click.option(
    "--tokens", type=click.IntRange(1), default=64, show_default=True, metavar="N", help=_("Tokens to generate.")
)
@click.option("--raw", is_flag=True, help=_("The prompt as it is, without the model's chat template."))
@load_options
@click.pass_obj
def compare(
    request: Request,
    model: str,
    *,
    others: tuple[str, ...],
    prompt: str,
    engines: tuple[str, ...],
    tokens: int,
    raw: bool,
    wanted: Wanted,
) -> None:
    """Compare."""
    from ultralab.app.engine_compare import Asked
    from ultralab.app.engine_compare import compare as run
    from ultralab.app.engines import require_text
    from ultralab.cli.output import show
    from ultralab.cli.progress import progress_for

    refs = tuple(dict.fromkeys((model, *others)))
    asked = Asked(refs, require_text(prompt), tokens, raw, engines)
    data = run(lab_or_none(request), asked, wanted, progress_for(request))
    show(request, data, lambda console: _draw(console, data))
    if not data["runs"]:
        raise SystemExit(1)


def _draw(console: Console, data: Mapping[str, Any]) -> None:
    from rich.text import Text

    console.print(_table(data))
    for run in data["runs"]:
        console.print()
        console.print(Text(f"{run['engine']}  {run['model']}", style="bold"))
        console.print(run["text"].strip("\n") or Text(_("(nothing)"), style="dim"))
        if found := run["agreement"]:
            style = "green" if found["cause"] in ("same", "tie") else "yellow"
            console.print(Text(f"→ {found['sentence']}", style=style))
    for one in data["failed"]:
        console.print()
        console.print(Text(f"{one['engine']}  {one['model']}: {one['problem']}", style="red"))
        if one["hint"]:
            console.print(Text(one["hint"], style="dim"))


def _table(data: Mapping[str, Any]) -> Table:
    from ultralab.cli.output import table

    made = table(
        _("Engine"), _("Weights"), _("Agrees"), _("Prefill tok/s"), _("Decode tok/s"), _("Loaded in"), _("Memory"),
        numbers=(2, 3, 4, 5, 6),
    )  # fmt: skip
    for column in (made.columns[0], made.columns[2], *made.columns[5:]):
        column.no_wrap = True
    for run in data["runs"]:
        made.add_row(
            run["engine"],
            run["weights"] or "–",
            _agrees(run["agreement"]),
            _speed(run["prefill_tok_s"]),
            _speed(run["decode_tok_s"]),
            format_seconds(run["load_s"]),
            format_bytes(run["memory_bytes"]) if run["memory_bytes"] else "–",
        )
    return made


def _agrees(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return _("(first)")
    if found["by_tokens"]:
        return f"{found['agreed']}/{found['compared']}"
    return _("{part} of text").format(part=f"{found['share']:.0%}")


def _speed(value: float | None) -> str:
    return "–" if not value else f"{value:,.1f}" if value < 1000 else f"{value:,.0f}"
