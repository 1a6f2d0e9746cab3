"""How a plan looks in a terminal: what it takes, whether it fits, how fast it would be, and how sure that is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from ultralab.cli.output import pairs, table
from ultralab.kernel.language import _
from ultralab.kernel.units import format_bytes, format_count, format_seconds

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

_BAR: Final = 40


def drawn(console: Console, data: Mapping[str, Any]) -> None:
    """Print a plan, as ``assess.data.to_data`` gives it."""
    from rich.text import Text

    console.print(
        pairs([(_("Model"), _model(data)), (_("Machine"), _machine(data)), (_("Loaded with"), _loaded(data))])
    )
    console.print()
    console.print(_memory(data))
    console.print(_bar(data))
    console.print(_verdict(data))
    if data["max_context"]:
        console.print(Text(_longest(data), style="dim"))
    console.print()
    console.print(_speed(data))
    for note in _notes(data):
        console.print(Text(note, style="dim"))
    for sentence in data["warnings"]:
        console.print(Text(sentence, style="yellow"))


def _model(data: Mapping[str, Any]) -> str:
    counted = _("{count} parameters").format(count=format_count(data["parameters"]))
    if data["active_parameters"] < data["parameters"]:
        counted += ", " + _("{count} active").format(count=format_count(data["active_parameters"]))
    beside = [
        (_("with the draft model {name}"), data["draft"]), (_("with the projector {name}"), data["projector"]),
    ]  # fmt: skip
    lines = [data["model"], f"{data['architecture']}, {data['quantization']}, {counted}"]
    return "\n".join((*lines, *(said.format(name=name) for said, name in beside if name)))


def _machine(data: Mapping[str, Any]) -> str:
    machine = data["machine"]
    parts = [machine["chip"] or "–", format_bytes(machine["memory_bytes"])]
    if machine["gpu_cores"]:
        parts.insert(1, _("{count} GPU cores").format(count=machine["gpu_cores"]))
    name = _("this machine") if machine["name"] == "this" else machine["name"]
    return f"{name}: {', '.join(parts)}"


def _loaded(data: Mapping[str, Any]) -> str:
    cache = data["key_type"] if data["key_type"] == data["value_type"] else f"{data['key_type']}/{data['value_type']}"
    context = _("{count} tokens of context").format(count=f"{data['context']:,}")
    if data["sequences"] > 1:
        shared = _("{count} sequences share them") if data["unified"] else _("for each of {count} sequences")
        context += " " + shared.format(count=data["sequences"])
    parts = [data["engine"], context, _("KV cache {type}").format(type=cache)]
    if not data["flash_attention"]:
        parts.append(_("no flash attention"))
    return ", ".join(parts)


def _memory(data: Mapping[str, Any]) -> Any:
    names = {
        "weights_bytes": _("Weights"), "kv_cache_bytes": _("KV cache"), "compute_bytes": _("Compute buffers"),
        "overhead_bytes": _("Process"), "total_bytes": _("Total"),
    }  # fmt: skip
    made = table(_("Memory"), "", _("Sure to"), _("How it is known"), numbers=(1, 2))
    for key, name in names.items():
        part = data["predictions"].get(key)
        if part is None:
            continue
        size = format_bytes(part["value"]) if part["known"] else f"≤ {format_bytes(part['high'])}"
        style = "bold" if key == "total_bytes" else ""
        made.add_row(name, size, _sure(part), part["basis"], style=style)
    return made


def _sure(part: Mapping[str, Any]) -> str:
    if not part["known"]:
        return "?"
    band = 100 * part["error_band"]
    return _("exact") if band == 0 else "<0.1 %" if band < 0.05 else f"±{band:.1f} %" if band < 1 else f"±{band:.0f} %"


def _bar(data: Mapping[str, Any]) -> Text:
    from rich.text import Text

    total, limit = data["predictions"]["total_bytes"], max(1, data["limit_bytes"])
    needed = total["value"] if total["known"] else total["high"]
    share = needed / limit
    filled = min(_BAR, max(1, round(_BAR * share)))
    style = {True: "green", False: "red", None: "yellow"}[data["fits"]]
    bar = Text("█" * filled, style=style) + Text("░" * (_BAR - filled), style="dim")
    told = _("{share} of {limit} that models may take").format(share=f"{100 * share:.0f} %", limit=format_bytes(limit))
    return bar + Text(f"  {told}")


def _verdict(data: Mapping[str, Any]) -> Text:
    from rich.text import Text

    if data["fits"] is None:
        return Text(_("Nobody can say whether it fits: only an upper bound is known."), style="bold yellow")
    if not data["fits"]:
        total = data["predictions"]["total_bytes"]
        over = format_bytes((total["value"] or data["predictions"]["weights_bytes"]["value"]) - data["limit_bytes"])
        said = _("Does not fit: {over} too much. “ultralab plan advise” says what would.").format(over=over)
        return Text(said, style="bold red")
    if data["predictions"]["total_bytes"]["high"] > data["limit_bytes"] and data["predictions"]["total_bytes"]["known"]:
        most = format_bytes(data["predictions"]["total_bytes"]["high"])
        said = _("Just fits: it may be as much as {most}, which would be too much.").format(most=most)
        return Text(said, style="bold yellow")
    if data["fits_now"] is False:
        free = format_bytes(data["available_bytes"])
        return Text(_("Fits, but not now: other models leave {free}.").format(free=free), style="bold yellow")
    return Text(_("Fits."), style="bold green")


def _longest(data: Mapping[str, Any]) -> str:
    said = _("Longest context that fits: {count} tokens")
    if data["max_context"] == data["trained_context"]:
        said = _("The whole context that it was trained for fits: {count} tokens")
    return said.format(count=f"{data['max_context']:,}")


def _speed(data: Mapping[str, Any]) -> Any:
    made = table(_("Speed"), "", _("Between"), numbers=(1, 2))
    rows = (
        ("decode_tok_s", _("Decode, the context full"), _rate, _("tok/s")),
        (
            "decode_begun_tok_s",
            _("Decode, after {count} tokens").format(count=f"{data['prompt']:,}"),
            _rate,
            _("tok/s"),
        ),
        ("prefill_tok_s", _("Prefill of {count} tokens").format(count=f"{data['prompt']:,}"), _rate, _("tok/s")),
        ("ttft_s", _("Time to the first token"), format_seconds, ""),
    )
    for key, name, shown, unit in rows:
        part = data["predictions"][key]
        if part["known"]:
            between = f"{shown(part['low'])} – {shown(part['high'])}"
            made.add_row(name, f"{shown(part['value'])} {unit}".rstrip(), between)
        else:
            most = f"≤ {shown(part['high'])} {unit}".rstrip() if part["high"] else ""
            made.add_row(name, _("unknown"), most)
    return made


def _notes(data: Mapping[str, Any]) -> Iterator[str]:
    """What the speeds rest on, and what they use of the memory's bandwidth."""
    parts = []
    if share := data["decode_of_nominal_bandwidth"]:
        parts.append(_("{share} of the chip's nominal bandwidth").format(share=f"{100 * share:.0f} %"))
    if share := data["decode_of_measured_bandwidth"]:
        parts.append(_("{share} of the bandwidth measured here").format(share=f"{100 * share:.0f} %"))
    if parts:
        yield _("Decoding uses {shares}.").format(shares=", ".join(parts))
    for key, name in (("decode_tok_s", _("Decode")), ("prefill_tok_s", _("Prefill")), ("ttft_s", _("First token"))):
        yield f"{name}: {data['predictions'][key]['basis']}"


def _rate(value: float) -> str:
    digits = 2 if value < 10 else 1 if value < 100 else 0
    return f"{value:,.{digits}f}"
