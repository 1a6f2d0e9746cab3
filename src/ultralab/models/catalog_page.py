"""The library as documents: ``models/catalog.md`` and one page per model name. What is yours on them stays yours."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Final

from ultralab.kernel.ids import slug
from ultralab.kernel.language import N_, translation
from ultralab.kernel.units import format_bytes, format_count
from ultralab.models.types import ModelRecord
from ultralab.pages import Metadata, parts_of, render, write_page

CATALOG: Final = "models/catalog.md"
DOCUMENT_VERSION: Final = "1.0"

_PACKAGE: Final = "ultralab.models"


def page_of(record: ModelRecord) -> str:
    """The page of a model, relative to the lab: ``models/<family>/<name>.md``."""
    return f"models/{slug(record.family, 'other')}/{slug(record.name)}.md"


def catalog_parts(records: Sequence[ModelRecord], language: str) -> dict[str, str]:
    """The part ``catalog``: all models in one table, by name, sources before what was made from them."""
    return parts_of(_catalog_text(records, language))


def model_page_parts(
    records: Sequence[ModelRecord],
    language: str,
    measured: Mapping[str, str] | None = None,
    experiments: Mapping[str, tuple[str, ...]] | None = None,
) -> dict[str, str]:
    """The parts of one model's page, from the records of its variants (one or more, all of one name).

    ``measured``: for a reference, one line on its speed and memory. ``experiments``: for a reference, documents
    about it, as paths relative to the lab.
    """
    return parts_of(_model_text(records, language, measured or {}, experiments or {}))


def write_model_pages(
    home: Path,
    records: Sequence[ModelRecord],
    language: str,
    author: str,
    date: str,
    *,
    measured: Mapping[str, str] | None = None,
    experiments: Mapping[str, tuple[str, ...]] | None = None,
) -> tuple[str, ...]:
    """Bring the catalog and the pages of all ``records`` up to date; what changed, relative to ``home``.

    ``date`` is today's (ISO 8601). The page of a model that left the library stays as it was: its notes are yours.
    Raises InvalidSpec (a document's fences are broken), FileAccess, DiskFull.
    """
    text = _catalog_text(records, language)
    metadata = Metadata(_title(text), date, author, DOCUMENT_VERSION)
    changed = [CATALOG] if write_page(home / CATALOG, text, metadata, language) else []
    by_name: dict[str, list[ModelRecord]] = {}
    for record in _in_order(records):
        by_name.setdefault(record.name, []).append(record)
    for variants in by_name.values():
        page = page_of(variants[0])
        text = _model_text(variants, language, measured or {}, experiments or {})
        if write_page(home / page, text, _model_metadata(variants[0], _title(text), author, date, language), language):
            changed.append(page)
    return tuple(changed)


def _catalog_text(records: Sequence[ModelRecord], language: str) -> str:
    rows = [_values(record) for record in _in_order(records)]
    return render(_PACKAGE, f"templates/{language}/catalog.md", language, models=rows)


def _model_text(
    records: Sequence[ModelRecord],
    language: str,
    measured: Mapping[str, str],
    experiments: Mapping[str, tuple[str, ...]],
) -> str:
    ordered = _in_order(records)
    first = ordered[0]
    links = dict.fromkeys(path for record in ordered for path in experiments.get(record.ref, ()))
    return render(
        _PACKAGE,
        f"templates/{language}/model.md",
        language,
        model=_values(first),
        path_literal=json.dumps(_path(first), ensure_ascii=False),
        variants=[{**_values(record), "measured": measured.get(record.ref, "")} for record in ordered],
        experiments=list(links),
    )


def _model_metadata(record: ModelRecord, title: str, author: str, date: str, language: str) -> Metadata:
    say = translation(language).gettext
    extra = (
        (say(N_("Name")), record.name),
        (say(N_("Source")), record.source),
        (say(N_("URL")), record.source_url or "-"),
        (say(N_("Parameters")), format_count(record.parameters)),
        (say(N_("Format")), record.format),
        (say(N_("Licence")), record.licence or "-"),
        (say(N_("Added")), record.added[:10]),
    )
    return Metadata(title, date, author, DOCUMENT_VERSION, extra)


def _in_order(records: Sequence[ModelRecord]) -> list[ModelRecord]:
    def key(record: ModelRecord) -> tuple[str, bool, float, str]:
        return record.name, record.derived is not None, -record.bits_per_weight, record.variant

    return sorted(records, key=key)


def _values(record: ModelRecord) -> dict[str, object]:
    """What the templates show of a record, as text."""
    return {
        "ref": record.ref,
        "title": record.title or record.name,
        "page": PurePosixPath(page_of(record)).relative_to("models").as_posix(),
        "architecture": record.architecture,
        "format": record.format,
        "quantization": record.quantization,
        "bits": f"{record.bits_per_weight:.2f}",
        "size": format_bytes(record.size),
        "parameters": format_count(record.parameters),
        "context": record.context,
        "added": record.added[:10],
        "source": record.source,
        "parent": record.derived["parent"] if record.derived else "",
        "description": record.description,
        "path": _path(record),
    }


def _path(record: ModelRecord) -> str:
    folder = f"store/tree/{slug(record.family, 'other')}/{record.name}/{record.variant}"
    entry = record.entry or (record.files[0].name if len(record.files) == 1 else "")
    return f"{folder}/{entry}" if entry else folder


def _title(text: str) -> str:
    return text.partition("\n")[0].removeprefix("# ")
