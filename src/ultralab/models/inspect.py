"""What a model is, from its headers alone: here or far away, before a byte of its weights is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from ultralab.kernel.errors import UltralabError, Unsupported
from ultralab.kernel.language import _
from ultralab.kernel.text import printable
from ultralab.kernel.units import format_bytes
from ultralab.models.bundles import require_items
from ultralab.models.formats.base import Bundle, Format, Item, ModelHeader
from ultralab.models.front_matter import Card, read_card

_MOST_README: Final = 2 * 1024 * 1024
_MOST_LISTED: Final = 20


@dataclass(frozen=True)
class Inspection:
    """A model's header, in which format it is, the files that belong to it (name and bytes) and what its card says."""

    format: str
    header: ModelHeader
    files: tuple[tuple[str, int], ...]
    total_bytes: int
    card: Card


def choose_format(bundle: Bundle, formats: Sequence[Format]) -> Format:
    """The format that recognises these files. Raises NotFound (no files), Unsupported, FileAccess, FetchFailed."""
    require_items(bundle)
    for form in formats:
        if form.recognises(bundle):
            return form
    several = bundle.ending(".gguf")
    if len(several) > 1:
        raise Unsupported(
            _("{name} holds several models, and one has to be named.").format(name=printable(bundle.where, 1000)),
            hint=_("It holds: {names}.").format(names=_listed(several)),
            where=bundle.where,
            files=[item.name for item in several],
        )
    raise Unsupported(
        _("{name} is in no model format that ultralab knows.").format(name=printable(bundle.where)),
        hint=_("Known formats: {names}.").format(names=", ".join(form.name for form in formats) or "-"),
        where=bundle.where,
    )


def _listed(items: Sequence[Item]) -> str:
    shown = [f"{printable(item.name, 100)} ({format_bytes(item.size)})" for item in items[:_MOST_LISTED]]
    return ", ".join([*shown, *(["…"] if len(items) > _MOST_LISTED else [])])


def inspect(bundle: Bundle, formats: Sequence[Format]) -> Inspection:
    """Read headers and the model card. Raises what choosing and reading a format raise."""
    form = choose_format(bundle, formats)
    header = form.read_header(bundle)
    card = _card(bundle)
    header = replace(
        header,
        licence=header.licence or card.licence,
        base_models=header.base_models or card.base_models,
    )
    sizes = {item.name: item.size for item in bundle.items}
    names = header.files or tuple(sizes)
    files = tuple((name, sizes[name]) for name in sorted(names) if name in sizes)
    return Inspection(form.name, header, files, sum(size for _name, size in files), card)


def to_data(inspection: Inspection) -> dict[str, Any]:
    """The inspection for ``--json``. Keys are stable; numbers that a header does not say are 0, texts empty.

    ``size`` and the sizes of ``files`` and ``tensor_types`` are bytes. ``safe_to_load`` says that the format holds data
    and nothing else; it is false wherever ``unsafe`` has a reason.
    """
    header, shape = inspection.header, inspection.header.shape
    return {
        "format": inspection.format,
        "title": header.title,
        "architecture": shape.architecture,
        "parameters": shape.parameters,
        "active_parameters": header.active_parameters or shape.parameters,
        "layers": shape.layers,
        "heads": shape.heads,
        "kv_heads": shape.kv_heads,
        "embedding": shape.embedding,
        "experts": header.experts,
        "experts_used": header.experts_used,
        "context": shape.trained_context,
        "quantization": header.quantization,
        "bits_per_weight": round(header.bits_per_weight, 4),
        "tensor_types": dict(header.tensor_types),
        "dtype": header.dtype,
        "tokenizer": header.tokenizer,
        "vocabulary": shape.vocabulary,
        "chat_template": header.chat_template,
        "licence": header.licence,
        "base_models": list(header.base_models),
        "tags": list(inspection.card.tags),
        "languages": list(inspection.card.languages),
        "entry": header.entry,
        "files": [{"name": name, "size": size} for name, size in inspection.files],
        "size": inspection.total_bytes,
        "unsafe": list(header.unsafe),
        "safe_to_load": not header.unsafe,
    }


def _card(bundle: Bundle) -> Card:
    """The card in the README at the top of the bundle; a card is a courtesy, so one that cannot be read says nothing."""
    readme = next((item for item in bundle.items if item.name.lower() == "readme.md"), None)
    if readme is None:
        return Card()
    try:
        with readme.open() as stream:
            return read_card(stream.read(_MOST_README).decode("utf-8", "replace"))
    except UltralabError:
        return Card()
