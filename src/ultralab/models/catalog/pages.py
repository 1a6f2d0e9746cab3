"""The library as documents: ``models/catalog.md`` and one card per family. What is yours on them stays yours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from ultralab.kernel.errors import UltralabError
from ultralab.kernel.ids import slug
from ultralab.models.catalog.card import card_facts, card_parts, card_text, in_order, no_variants, page_of, values
from ultralab.models.catalog.card_notes import CARD, folder_of, is_old_page, owners_text, with_notes
from ultralab.models.types import ModelRecord
from ultralab.pages import Metadata, fill, parts_of, read_page, render, write_page
from ultralab.system import files

CATALOG: Final = "models/catalog.md"
DOCUMENT_VERSION: Final = "1.0"

_PACKAGE: Final = "ultralab.models.catalog"

__all__ = ["CATALOG", "card_parts", "catalog_parts", "page_of", "write_model_pages"]


def catalog_parts(records: Sequence[ModelRecord], language: str) -> dict[str, str]:
    """The part ``catalog``: all models in one table, by name, sources before what was made from them."""
    return parts_of(_catalog_text(records, language))


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
    """Bring the catalog and the cards of all families up to date; what changed, relative to ``home``.

    ``date`` is today's (ISO 8601). Pages of single models, as older versions wrote them, become part of their family's
    card: their notes move there, and they say so. The card of a family that left the library says that and else stays
    as it was: its notes are yours. Raises InvalidSpec (a document's fences are broken), FileAccess, DiskFull.
    """
    text = _catalog_text(records, language)
    changed = []
    if write_page(home / CATALOG, text, Metadata(_title(text), date, author, DOCUMENT_VERSION), language):
        changed.append(CATALOG)
    families: dict[str, list[ModelRecord]] = {}
    for record in sorted(in_order(records), key=page_of):
        families.setdefault(page_of(record), []).append(record)
    for page, members in families.items():
        text = card_text(members, language, measured or {}, experiments or {})
        metadata = Metadata(_title(text), date, author, DOCUMENT_VERSION, card_facts(members, language))
        if write_page(home / page, text, metadata, language):
            changed.append(page)
        changed += _move_notes(home, page, members, language)
    changed += _empty_cards(home, families, language)
    return tuple(dict.fromkeys(changed))


def _move_notes(home: Path, page: str, members: Sequence[ModelRecord], language: str) -> list[str]:
    """Move what the owner wrote on pages of single models to the card: first it is there, then it is gone here."""
    changed: list[str] = []
    folder = folder_of(home, members[0].family)
    names = {record.name: record.title or record.name for record in members}
    for name, title in names.items():
        old = folder / f"{slug(name)}.md"
        if old.name.lower() == CARD.lower() or not old.is_file() or not is_old_page(document := read_page(old)):
            continue
        notes = owners_text(document)
        card = read_page(home / page)
        if (fuller := with_notes(card, [(name, notes)]) if notes else card) is None:
            continue
        if fuller != card:
            files.write((home / page).resolve(), fuller)
            changed.append(page)
        files.write(old, render(_PACKAGE, f"templates/{language}/moved.md", language, title=title, card=CARD))
        changed.append(old.relative_to(home).as_posix())
    return changed


def _empty_cards(home: Path, families: Mapping[str, object], language: str) -> list[str]:
    changed: list[str] = []
    for path in sorted((home / "models").glob(f"*/{CARD}")):
        page = path.relative_to(home).as_posix()
        if page in families:
            continue
        try:
            document = read_page(path)
            if "variants" not in parts_of(document):
                continue
            emptied = fill(document, {"variants": no_variants(language)}, path)
        except UltralabError:  # doctor tells; it keeps no other page from being written
            continue
        if emptied != document:
            files.write(path.resolve(), emptied)
            changed.append(page)
    return changed


def _catalog_text(records: Sequence[ModelRecord], language: str) -> str:
    rows = [values(record) for record in in_order(records)]
    return render(_PACKAGE, f"templates/{language}/catalog.md", language, models=rows)


def _title(text: str) -> str:
    return text.partition("\n")[0].removeprefix("# ")
