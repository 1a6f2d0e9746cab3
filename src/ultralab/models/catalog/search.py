"""Which models: by conditions (pure), and by words, on a full-text table beside the catalog's index.

Searched are name, title, tags, family, description, base models, what else the record says (architecture, licence,
source, format, quantization), and what the owner wrote on the family's card. All words must occur, each anywhere; a word
may be a part of one (``coder`` finds ``qwen2.5-coder``), of one character too, and Chinese needs no spaces. Case, width
and composition of letters do not matter, and nothing in a question is an operator.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from ultralab.kernel.text import shorten
from ultralab.models.catalog.bits import quantization_fits
from ultralab.models.catalog.card_notes import notes_of, pages_of
from ultralab.models.catalog.index import UNTRUSTED, Row, asked, rows, stamp_of, trusted
from ultralab.models.library import Library
from ultralab.models.types import ModelRecord
from ultralab.system import clock
from ultralab.system.database import Database

_TRIGRAM: Final = 3
_MOST_WORDS: Final = 32
_MOST_LETTERS: Final = 1000
_WIDTH: Final = 100
_BEFORE: Final = 30


@dataclass(frozen=True)
class Filter:
    """Conditions, of which all must hold. ``None``, ``""`` and ``()`` ask for nothing.

    ``family`` is a family or how it begins (``qwen`` is ``qwen2.5`` too); ``quant`` is as
    :func:`ultralab.models.catalog.bits.quantization_fits` says; ``max_size`` in bytes; ``min_context`` in tokens (a model that
    does not say its context has none); ``fits`` asks for what is known to fit into memory; ``unused_for`` for what was
    neither used nor added within that time; ``tags`` for all of these; ``unsafe`` for what could run code when loaded
    (False: what could not).
    """

    family: str = ""
    format: str = ""
    quant: str = ""
    max_size: int | None = None
    min_context: int | None = None
    fits: bool = False
    unused_for: timedelta | None = None
    tags: tuple[str, ...] = ()
    unsafe: bool | None = None


@dataclass(frozen=True)
class Hit:
    """A model that was found, and a piece of the text that says so, on one line."""

    record: ModelRecord
    snippet: str


def matching(
    known: Iterable[ModelRecord],
    wanted: Filter,
    *,
    fits: Callable[[ModelRecord], bool | None] = lambda _record: None,
    last_used: Mapping[str, datetime] | None = None,
    now: datetime,
) -> tuple[ModelRecord, ...]:
    """The records that a filter lets through, in their order. ``last_used`` is by reference; ``fits`` may not know."""
    used = last_used or {}
    return tuple(
        record
        for record in known
        if _is_of(record, wanted)
        and (wanted.unused_for is None or _unused(record, used, now, wanted.unused_for))
        and (not wanted.fits or fits(record) is True)  # last: it may have to read a header
    )


def last_touched(record: ModelRecord, last_used: Mapping[str, datetime]) -> datetime | None:
    """When a model was last used, or added if that was later; None where no moment can be read."""
    moments = [moment for moment in (last_used.get(record.ref), _moment(record.added)) if moment is not None]
    return max(moments, default=None)


def find_text(library: Library, words: str | Sequence[str]) -> tuple[Hit, ...]:
    """The models in whose texts all ``words`` occur, best first; none for no words. Raises Busy, DiskFull, FileAccess."""
    asked_for = _words(words if isinstance(words, str) else " ".join(words))
    if not asked_for:
        return ()

    def question(database: Database) -> list[ModelRecord]:
        known = {row.file: row for row in rows(database, library.metadata)}
        pages = {row.record.family: _page_stamp(library.home, row.record.family) for row in known.values()}
        _bring_up_to_date(database, library.home, known, pages)
        return [known[name].record for name in _found(database, asked_for) if name in known]

    found = asked(library.catalog, library.metadata, question)
    notes = {family: notes_of(library.home, family) for family in {record.family for record in found}}
    return tuple(Hit(record, snippet(_texts(record, notes[record.family]).values(), asked_for)) for record in found)


def folded(text: str) -> str:
    """A text as it is compared: one case, one form and one width of each letter, nothing that is not printed."""
    plain = "".join(char if char.isprintable() else " " for char in unicodedata.normalize("NFKC", text))
    return unicodedata.normalize("NFKC", plain.casefold())


def snippet(texts: Iterable[str], words: Sequence[str]) -> str:
    """A piece of the first text that holds the most of ``words`` (folded), about where the first of them stands."""
    lines = [" ".join(text.split()) for text in texts]
    best = max(lines, key=lambda line: sum(word in folded(line) for word in words), default="")
    lower = best.lower()
    places = [place for word in words if (place := lower.find(word)) >= 0]
    start = max(0, min(places, default=0) - _BEFORE)
    shown = best[start : start + 2 * _WIDTH]
    clean = "".join(char if char.isprintable() else " " for char in shown)
    return shorten(("…" if start else "") + clean, _WIDTH)


def _is_of(record: ModelRecord, wanted: Filter) -> bool:
    tags = {folded(tag) for tag in record.tags}
    return (
        (not wanted.family or _begins(record.family, wanted.family))
        and (not wanted.format or record.format.casefold() == wanted.format.strip().casefold())
        and (not wanted.quant or quantization_fits(record.quantization, wanted.quant))
        and (wanted.max_size is None or record.size <= wanted.max_size)
        and (wanted.min_context is None or record.context >= wanted.min_context)
        and all(folded(tag.strip()) in tags for tag in wanted.tags)
        and wanted.unsafe in (None, bool(record.unsafe))
    )


def _begins(family: str, wanted: str) -> bool:
    whole, beginning = folded(family), folded(wanted.strip())
    rest = whole.removeprefix(beginning)
    return whole == beginning or (len(rest) < len(whole) and not rest[0].isalpha())


def _unused(record: ModelRecord, used: Mapping[str, datetime], now: datetime, duration: timedelta) -> bool:
    moment = last_touched(record, used)
    return moment is not None and now - moment >= duration


def _moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:  # written by hand
        return None
    return moment if moment.tzinfo else moment.astimezone()


def _words(text: str) -> tuple[str, ...]:
    clean = folded(text[:_MOST_LETTERS].encode("utf-8", "replace").decode())
    return tuple(dict.fromkeys(clean.split()))[:_MOST_WORDS]


def _found(database: Database, words: Sequence[str]) -> list[str]:
    """The metadata files in whose texts all words occur."""
    long = [word for word in words if len(word) >= _TRIGRAM]
    lists: list[list[str]] = []
    if long:
        query = " ".join('"' + word.replace('"', '""') + '"' for word in long)
        lists.append([str(row["file"]) for row in database.run("matching_words", wanted=query)])
    lists += [
        [str(row["file"]) for row in database.run("containing_word", word=word)]
        for word in words
        if len(word) < _TRIGRAM
    ]
    everywhere = set[str].intersection(*(set(names) for names in lists))
    return [name for name in lists[0] if name in everywhere]


def _bring_up_to_date(database: Database, home: Path, known: Mapping[str, Row], pages: Mapping[str, str]) -> None:
    present = {name: f"{row.stamp}|{pages[row.record.family]}" for name, row in known.items()}
    seen = {str(row["file"]): str(row["stamp"]) for row in database.run("searched")}
    stale = [name for name, stamp in present.items() if seen.get(name) != stamp or UNTRUSTED in stamp]
    gone = seen.keys() - present.keys()
    if not stale and not gone:
        return
    notes = {family: notes_of(home, family) for family in {known[name].record.family for name in stale}}
    with database.transaction():
        for name in gone:
            _forget(database, name)
        for name in stale:
            record = known[name].record
            _put(database, name, present[name], _texts(record, notes[record.family]))


def _page_stamp(home: Path, family: str) -> str:
    """Of all pages of a family. Taken before they are read: what changes in between is seen the next time."""
    now = clock.timestamp()
    stamps: list[str] = []
    for page in pages_of(home, family):
        with suppress(OSError):
            stamps.append(f"{page.name}:{trusted(stamp_of(page.stat()), now)}")
    return "|".join(stamps)


def _put(database: Database, name: str, stamp: str, texts: Mapping[str, str]) -> None:
    (row,) = database.run("put_searched", file=name, stamp=stamp)
    number = int(str(row["id"]))
    database.run("forget_words", id=number)
    database.run("put_words", id=number, **{field: folded(text) for field, text in texts.items()})


def _forget(database: Database, name: str) -> None:
    for row in database.run("forget_searched", file=name):
        database.run("forget_words", id=int(str(row["id"])))


def _texts(record: ModelRecord, notes: str) -> dict[str, str]:
    """What is searched of a model, by column, most telling first."""
    facts = (record.architecture, record.licence, record.source, record.format, record.quantization, record.dtype)
    return {
        "name": record.ref,
        "title": record.title,
        "tags": " ".join(record.tags),
        "family": record.family,
        "description": record.description,
        "notes": notes,
        "base_models": " ".join(record.base_models),
        "facts": " · ".join(fact for fact in facts if fact),
    }
