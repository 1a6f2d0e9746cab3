"""``ultralab plan advise`` and ``fits``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from ultralab.cli.frame import Command, Request
from ultralab.cli.home import lab_or_none
from ultralab.cli.models.names import complete_ref
from ultralab.cli.plan.options import complete_machine
from ultralab.kernel.language import _
from ultralab.kernel.units import format_bytes

if TYPE_CHECKING:
    from rich.console import Console

    from ultralab.assess.advice.types import Wish

_KV = ("f16", "q8_0", "q4_0")


def wish_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """What is wanted of a model, handed to the command as one ``wish``."""

    @wraps(command)
    def with_wish(*arguments: Any, kv: str, least: float, parallel: int, **given: Any) -> Any:
        from ultralab.assess.advice.types import Wish

        wish = Wish(
            context=given.pop("context"), least_decode=least, prompt=given.pop("prompt"), sequences=parallel,
            key_type=kv, value_type=kv,
        )  # fmt: skip
        return command(*arguments, wish=wish, **given)

    for option in reversed(_options()):
        with_wish = option(with_wish)
    return with_wish


def _options() -> list[Callable[[Callable[..., Any]], Callable[..., Any]]]:
    return [
        click.option(
            "--context", type=int, default=32_768, show_default=True, metavar="N", help=_("Tokens of context wanted.")
        ),
        click.option(
            "--least", type=float, default=10.0, show_default=True, metavar="SPEED",
            help=_("Tokens per second that decoding has to reach."),
        ),
        click.option(
            "--prompt", type=int, default=2_048, show_default=True, metavar="N",
            help=_("Tokens that are read before the answer begins."),
        ),
        click.option("--kv", type=click.Choice(_KV), default="f16", show_default=True, help=_("How the KV cache stores elements.")),
        click.option(
            "--parallel", type=int, default=1, show_default=True, metavar="S", help=_("Sequences served at one time.")
        ),
        click.option(
            "--machine", default="this", show_default=True, metavar="NAME", shell_complete=complete_machine,
            help=_("The machine to plan for; “ultralab plan machines” lists them."),
        ),
    ]  # fmt: skip


@click.command(
    "advise",
    cls=Command,
    help=_(
        "Compare what could be loaded of MODEL: quantizations, contexts, engines, with size, speed and known loss of "
        "quality; choose, and say why. MODEL is a model of the library (all its variants), a well-known model "
        "(“ultralab plan fits” lists them), a file, or a reference to a source."
    ),
    examples=(
        "ultralab plan advise deepseek-r1 --machine m3-ultra-512",
        "ultralab plan advise smollm2-135m-instruct --context 8192",
        "ultralab plan advise hf:unsloth/gpt-oss-120b-GGUF:MXFP4 --least 30",
    ),
)
@click.argument("model", shell_complete=complete_ref)
@wish_options
@click.pass_obj
def advise(request: Request, model: str, machine: str, wish: Wish) -> None:
    """Compare and choose."""
    from ultralab.app.plan_advice import advise as compare
    from ultralab.cli.output import show
    from ultralab.cli.progress import progress_for

    with progress_for(request).step(_("Reading headers")):
        found = compare(lab_or_none(request), model, wish, machine)
    show(request, found, lambda console: _advice(console, found))


@click.command(
    "fits",
    cls=Command,
    help=_(
        "Rank the well-known large models for a machine: which quantization would be chosen, what it takes, how fast it "
        "would be, or why it does not fit."
    ),
    examples=(
        "ultralab plan fits",
        "ultralab plan fits --machine m3-ultra-512 --context 131072",
        "ultralab plan fits --write",
    ),
)
@wish_options
@click.option("--write", is_flag=True, help=_("Write the guide models/large_models.md of the lab from it."))
@click.pass_obj
def fits(request: Request, machine: str, wish: Wish, *, write: bool) -> None:
    """Rank the known models."""
    from ultralab.app.plan_advice import fits as rank
    from ultralab.app.plan_advice import write_guide
    from ultralab.cli.output import show
    from ultralab.cli.progress import progress_for

    lab = lab_or_none(request)
    with progress_for(request).step(_("Planning the well-known models")):
        found = rank(lab, wish, machine)
        written = write_guide(lab, wish, machine) if write else ()
    found["written"] = [str(lab.home / path) for path in written]
    show(request, found, lambda console: _ranking(console, found, write=write))


def _advice(console: Console, found: Mapping[str, Any]) -> None:
    from rich.text import Text

    from ultralab.cli.output import table

    _place(console, found["machine"])
    made = table(
        _("Type"), _("Engine"), _("Context"), _("Memory"), _("Fits"), _("Decode"), _("Prefill"), _("Loss"),
        numbers=(2, 3, 5, 6),
    )  # fmt: skip
    for column in made.columns[1:]:
        column.no_wrap = True
    chosen = found["chosen"]
    for row in found["rows"]:
        marked = "bold green" if chosen and _same(row, chosen) else "" if row["fits"] else "dim"
        made.add_row(
            row["quantization"], row["engine"], f"{row['context']:,}", _size(row), _answer(row),
            _rate(row["decode_tok_s"]), _rate(row["prefill_tok_s"]), _loss(row["loss"]), style=marked,
        )  # fmt: skip
    console.print(made)
    note = _("Speeds in tok/s, decoding with the context full. Loss: perplexity; *: measured on another model.")
    console.print(Text(note, style="dim"))
    for sentence in found["why"]:
        console.print(Text(sentence, style="bold" if sentence == found["why"][0] else ""))
    for change in found["changes"]:
        console.print(f"· {change['sentence']}")
    told = any(change["kind"] == "machines" for change in found["changes"])  # for a better type than the smallest
    if not told and found["machines"] and found["machines"] > 1:
        console.print(_("It would take {count} machines like this one.").format(count=found["machines"]))


def _same(row: Mapping[str, Any], chosen: Mapping[str, Any]) -> bool:
    return all(row[key] == chosen[key] for key in ("quantization", "engine", "context", "format", "weights_bytes"))


def _ranking(console: Console, found: Mapping[str, Any], *, write: bool) -> None:
    from ultralab.cli.output import table

    _place(console, found["machine"])
    made = table(_("Model"), _("Type"), _("Memory"), _("Fits"), _("Decode"), _("Remarks"), numbers=(2, 4))
    for column in made.columns[1:-1]:
        column.no_wrap = True
    for one in found["models"]:
        row = one["choice"]
        remarks = "; ".join(one["remarks"]) if one["fits"] else one["why_not"] or ""
        if one["machines"] and one["machines"] > 1:
            remarks += "; " + _("{count} such machines").format(count=one["machines"])
        made.add_row(
            one["name"], row["quantization"], _size(row), _answer(row), _rate(row["decode_tok_s"]), remarks,
            style="" if one["fits"] else "dim",
        )  # fmt: skip
    console.print(made)
    told = _("With {context} tokens of context; ≈: a size that is estimated; decoding has to reach {least:g} tok/s.")
    console.print(told.format(context=f"{found['context']:,}", least=found["least_decode_tok_s"]))
    for path in found["written"]:
        console.print(_("Written: {path}").format(path=path))
    if write and not found["written"]:
        console.print(_("The guide is up to date already."))


def _place(console: Console, machine: Mapping[str, Any]) -> None:
    name = _("this machine") if machine["name"] == "this" else machine["name"]
    told = _("{name}: {chip}, {memory}; models may take {limit}")
    console.print(
        told.format(
            name=name,
            chip=machine["chip"],
            memory=format_bytes(machine["memory_bytes"]),
            limit=format_bytes(machine["limit_bytes"]),
        )
    )


def _size(row: Mapping[str, Any]) -> str:
    about = "≈ " if row["size_error_band"] else ""
    return about + format_bytes(row["total_bytes"]) if row["total_bytes"] else f"≤ {format_bytes(row['needed_bytes'])}"


def _answer(row: Mapping[str, Any]) -> str:
    return _("tight") if row["tight"] else {True: _("yes"), False: _("no"), None: "?"}[row["fits"]]


def _loss(loss: Mapping[str, Any] | None) -> str:
    if not loss or loss["perplexity_ratio"] is None:
        return "–"
    return f"{100 * (loss['perplexity_ratio'] - 1):+.1f} %{'*' if loss['transferred'] else ''}"


def _rate(value: float | None) -> str:
    if not value:
        return "–"
    return f"{value:.1f}" if value < 100 else f"{value:.0f}"
