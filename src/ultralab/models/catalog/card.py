"""The card of a family of models: all that the library knows of it, as the fenced parts of one document. Pure.

Its shape is that of the model document in the lab's documentation system (metadata, description, quantized versions,
performance, usage, notes, experiments).
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from ultralab.kernel.ids import slug
from ultralab.kernel.language import N_, translation
from ultralab.kernel.text import printable
from ultralab.kernel.units import format_bytes, format_count
from ultralab.models.catalog.bits import bits_of
from ultralab.models.catalog.card_notes import CARD
from ultralab.models.types import ModelRecord
from ultralab.pages import parts_of, render

_PACKAGE: Final = "ultralab.models.catalog"
_GROUPS: Final = ("4-bit", "8-bit", "GGUF", "other")
_KINDS: Final = {
    "gguf": "gguf",
    "mlx": "mlx",
    "safetensors": "transformers",
    "gptq": "transformers",
    "awq": "transformers",
}
_TITLES: Final = {
    "gguf": "GGUF: llama.cpp",
    "mlx": "MLX: mlx_lm",
    "transformers": "PyTorch: transformers",
    "": "PyTorch",
}
_MOST_LISTED: Final = 5


def page_of(record: ModelRecord) -> str:
    """The card of a model's family, relative to the lab: ``models/<family>/README.md``."""
    return f"models/{slug(record.family, 'other')}/{CARD}"


def in_order(records: Iterable[ModelRecord]) -> list[ModelRecord]:
    """By name, originals before what was made from them, more bits before fewer."""

    def key(record: ModelRecord) -> tuple[str, bool, float, str]:
        return record.name, record.derived is not None, -record.bits_per_weight, record.variant

    return sorted(records, key=key)


def card_parts(
    records: Sequence[ModelRecord],
    language: str,
    measured: Mapping[str, str] | None = None,
    experiments: Mapping[str, tuple[str, ...]] | None = None,
) -> dict[str, str]:
    """The parts of a family's card, from its records (one or more).

    ``measured``: for a reference, one line on its speed and memory. ``experiments``: for a reference, documents
    about it, as paths relative to the lab.
    """
    return parts_of(card_text(records, language, measured or {}, experiments or {}))


def card_text(
    records: Sequence[ModelRecord],
    language: str,
    measured: Mapping[str, str],
    experiments: Mapping[str, tuple[str, ...]],
) -> str:
    """The card as it is when it is new."""
    ordered = in_order(records)
    rows = [{**values(record), "measured": measured.get(record.ref, "")} for record in ordered]
    grouped = [(group_of(record), row) for record, row in zip(ordered, rows, strict=True)]
    groups = [{"name": name, "models": [row for group, row in grouped if group == name]} for name in _GROUPS]
    return render(
        _PACKAGE,
        f"templates/{language}/card.md",
        language,
        title=family_title(ordered),
        first=next((row for row in rows if not row["unsafe"]), rows[0]),
        models=[values(record) for record in _one_each(ordered)],
        groups=[group for group in groups if group["models"]],
        measured=[row for row in rows if row["measured"]],
        examples=_examples(ordered),
        experiments=list(dict.fromkeys(path for record in ordered for path in experiments.get(record.ref, ()))),
    )


def no_variants(language: str) -> str:
    """The part ``variants`` of a family that left the library."""
    empty = dict.fromkeys(("models", "groups", "measured", "examples", "experiments"), ())
    text = render(_PACKAGE, f"templates/{language}/card.md", language, title="-", first={"ref": "-"}, **empty)
    return parts_of(text)["variants"]


def card_facts(records: Sequence[ModelRecord], language: str) -> tuple[tuple[str, str], ...]:
    """The lines of the metadata block, labels in the document's language."""
    say = translation(language).gettext
    ordered = in_order(records)
    sources = [record for record in ordered if record.derived is None] or ordered
    return (
        (say(N_("Name")), _listed(record.title or record.name for record in _one_each(ordered))),
        (say(N_("Source")), _listed(printable(record.source, 1000) for record in sources)),
        (say(N_("URL")), _listed(printable(record.source_url, 1000) for record in sources)),
        (say(N_("Parameters")), _listed(format_count(record.parameters) for record in _by_size(ordered))),
        (say(N_("Format")), _listed(record.format for record in ordered)),
        (say(N_("Licence")), _listed(record.licence for record in ordered)),
        (say(N_("Added")), _listed(sorted({record.added[:10] for record in sources}))),
    )


def family_title(records: Sequence[ModelRecord]) -> str:
    """What people call a family: as the titles of its models spell its beginning (``SmolLM2``)."""
    family = records[0].family
    titles = [record.title for record in records]
    if len({record.name for record in records}) == 1 and titles[0]:
        return titles[0]
    spelt = [title[: len(family)] for title in titles if title.lower().startswith(family.lower())]
    return min(spelt, default=family)


def group_of(record: ModelRecord) -> str:
    """Under which heading a version stands: ``GGUF``; of the other formats ``4-bit``, ``8-bit`` or ``other``."""
    if record.format == "gguf":
        return "GGUF"
    return {4: "4-bit", 8: "8-bit"}.get(bits_of(record.quantization), "other")


def values(record: ModelRecord) -> dict[str, object]:
    """What the templates show of a record, as text."""
    sparse = 0 < record.active_parameters < record.parameters
    return {
        "ref": record.ref,
        "title": record.title or record.name,
        "page": page_of(record).removeprefix("models/"),
        "architecture": record.architecture or "-",
        "format": record.format,
        "quantization": record.quantization,
        "bits": f"{record.bits_per_weight:.2f}",
        "size": format_bytes(record.size),
        "parameters": format_count(record.parameters),
        "active": format_count(record.active_parameters) if sparse else "",
        "experts": record.experts,
        "experts_used": record.experts_used,
        "context": record.context or "?",
        "licence": record.licence,
        "base_models": ", ".join(record.base_models),
        "added": record.added[:10],
        "source": printable(record.source, 1000),
        "parent": record.derived["parent"] if record.derived else "",
        "description": record.description,
        "tags": ", ".join(record.tags),
        "unsafe": bool(record.unsafe),
        "path": _path(record),
    }


def _examples(ordered: Sequence[ModelRecord]) -> list[dict[str, str]]:
    """One example for each way of loading, with the first model that is loaded so. Nothing unsafe is loaded."""
    found: dict[str, dict[str, str]] = {}
    for record in ordered:
        kind = "" if record.unsafe else _KINDS.get(record.format, "")
        if kind or record.unsafe:
            path = _path(record) if kind == "gguf" else _folder(record)
            found.setdefault(
                kind,
                {
                    "kind": kind,
                    "title": _TITLES[kind],
                    "shell": shlex.quote(path),
                    "literal": json.dumps(path, ensure_ascii=False),
                },
            )
    return [found[kind] for kind in _TITLES if kind in found]


def _one_each(ordered: Sequence[ModelRecord]) -> list[ModelRecord]:
    """The first record of each name; its description may be another version's."""
    first: dict[str, ModelRecord] = {}
    for record in ordered:
        known = first.setdefault(record.name, record)
        if record.description and not known.description:
            first[record.name] = record
    return list(first.values())


def _by_size(ordered: Sequence[ModelRecord]) -> list[ModelRecord]:
    return sorted(ordered, key=lambda record: record.parameters)


def _listed(texts: Iterable[str]) -> str:
    distinct = list(dict.fromkeys(text for text in texts if text))
    more = len(distinct) - _MOST_LISTED
    return ", ".join(distinct[:_MOST_LISTED]) + (f" … (+{more})" if more > 0 else "") or "-"


def _path(record: ModelRecord) -> str:
    folder = _folder(record)
    entry = record.entry or (record.files[0].name if len(record.files) == 1 else "")
    return f"{folder}/{entry}" if entry else folder


def _folder(record: ModelRecord) -> str:
    return f"store/tree/{slug(record.family, 'other')}/{record.name}/{record.variant}"
