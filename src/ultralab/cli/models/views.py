"""How models look: as JSON, as a list of facts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ultralab.kernel.language import _
from ultralab.kernel.text import printable
from ultralab.kernel.units import format_bytes, format_count

if TYPE_CHECKING:
    from ultralab.models import ModelRecord

Row = tuple[str, Any]


def to_data(record: ModelRecord) -> dict[str, Any]:
    """A model as JSON."""
    from dataclasses import asdict

    return {"ref": record.ref, "size": record.size, "sha256": record.sha256, **asdict(record)}


def facts(record: ModelRecord) -> list[Row]:
    """What the library knows of a model, for a person."""
    rows: list[Row] = [
        (_("Model"), f"{record.title}  ({record.ref})"),
        (_("Format"), format_line(record.format, record.quantization, record.bits_per_weight)),
        (_("Architecture"), architecture_line(_numbers(record))),
        (_("Context"), _("{count} tokens").format(count=record.context)),
        (_("Types"), mix_line(record.tensor_types)),
        (_("Tokenizer"), tokenizer_line(record.tokenizer, record.chat_template)),
        (_("Licence"), record.licence or "–"),
        (_("Base model"), ", ".join(record.base_models) or "–"),
        (_("Source"), source_line(record.source, record.revision)),
        (_("Made from"), _derived(record)),
        (_("Tags"), ", ".join(record.tags) or "–"),
        (_("Added"), f"{record.added}  {record.added_by}".rstrip()),
    ]
    rows += unsafe_rows(record.unsafe)
    return rows + file_rows([(file.name, file.size, file.sha256) for file in record.files])


def inspected(data: Mapping[str, Any]) -> list[Row]:
    """What ``models.inspect.to_data`` says, for a person."""
    rows: list[Row] = [
        (_("Format"), format_line(data["format"], data["quantization"], data["bits_per_weight"])),
        (_("Architecture"), architecture_line(data)),
        (_("Context"), _("{count} tokens").format(count=data["context"]) if data["context"] else "–"),
        (_("Types"), mix_line(data["tensor_types"])),
        (_("Tokenizer"), tokenizer_line(data["tokenizer"], bool(data["chat_template"]), data["vocabulary"])),
        (_("Licence"), data["licence"] or "–"),
        (_("Base model"), ", ".join(data["base_models"]) or "–"),
    ]
    return rows + unsafe_rows(data["unsafe"])


def source_line(ref: str, revision: str) -> str:
    """A reference, with what it stood for where it does not say that itself."""
    shown = printable(ref, 1000)
    return shown if not revision or revision in ref else f"{shown}  ({revision[:12]})"


def format_line(format_: str, quantization: str, bits: float) -> str:
    """Format, dominant type and bits per weight."""
    return f"{format_}, {quantization}, " + _("{bits} bits per weight").format(bits=f"{bits:.2f}")


def architecture_line(data: Mapping[str, Any]) -> str:
    """Architecture, parameters (active ones where only some are), layers, heads, experts."""
    parts = [data["architecture"] or "–", _("{count} parameters").format(count=format_count(data["parameters"]))]
    if data["active_parameters"] not in (0, data["parameters"]):
        parts.append(_("{count} active").format(count=format_count(data["active_parameters"])))
    if data["layers"]:
        parts.append(_("{count} layers").format(count=data["layers"]))
    if data.get("heads"):
        parts.append(_("{heads} heads ({kv} for keys and values)").format(heads=data["heads"], kv=data["kv_heads"]))
    if data["experts"]:
        parts.append(_("{used} of {count} experts").format(used=data["experts_used"] or "?", count=data["experts"]))
    return ", ".join(parts)


def mix_line(types: Mapping[str, int]) -> str:
    """The tensor types with their shares of the bytes, the largest first."""
    total = sum(types.values()) or 1
    ordered = sorted(types.items(), key=lambda item: -item[1])
    shown = [f"{name} {100 * size / total:.1f} %" for name, size in ordered[:6]]
    return ", ".join([*shown, *(["…"] if len(ordered) > 6 else [])]) or "–"


def tokenizer_line(kind: str, template: bool, vocabulary: int = 0) -> str:
    """The tokenizer's kind, its size, whether there is a chat template."""
    parts = [kind or "–"]
    if vocabulary:
        parts.append(_("{count} tokens").format(count=vocabulary))
    parts.append(_("chat template") if template else _("no chat template"))
    return ", ".join(parts)


def unsafe_rows(unsafe: Any) -> list[Row]:
    """One row per finding."""
    return [(_("Unsafe"), finding) for finding in unsafe]


def file_rows(files: list[tuple[str, int, str]]) -> list[Row]:
    """Name, size and hash of each file; of many, the first and how many there are."""
    rows: list[Row] = []
    for name, size, sha256 in files[:4]:
        rows.append((_("File"), f"{name}  {format_bytes(size)}"))
        rows.append(("SHA-256", sha256 or "–"))
    if len(files) > 4:
        size = sum(size for _name, size, _sha in files)
        rows.append((_("Files"), _("{count} in all, {size}").format(count=len(files), size=format_bytes(size))))
    return rows


def _numbers(record: ModelRecord) -> dict[str, Any]:
    return {
        "architecture": record.architecture,
        "parameters": record.parameters,
        "active_parameters": record.active_parameters,
        "layers": record.layers,
        "experts": record.experts,
        "experts_used": record.experts_used,
    }


def _derived(record: ModelRecord) -> str:
    if record.derived is None:
        return "–"
    parts = [record.derived["parent"], record.derived["tool"], record.derived["tool_version"]]
    return ", ".join([*parts, *(extra for key in ("options", "judged") if (extra := str(record.derived.get(key, ""))))])


def origin(record: ModelRecord) -> str:
    """Where a model is from, short: its source, or an arrow to the variant that it was made from."""
    if record.derived is None:
        return printable(record.source, 1000)
    name, _colon, variant = record.derived["parent"].partition(":")
    return f"← {variant}" if name == record.name else f"← {record.derived['parent']}"
