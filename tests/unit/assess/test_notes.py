"""Notes: each has a source, and those about a question are found."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ultralab.assess.engines import MEMORY
from ultralab.assess.notes import NOTES, Subject, notes_for
from ultralab.assess.notes.types import LONG_CONTEXT

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("note", NOTES, ids=lambda note: note.id)
def test_every_note_has_a_source_that_can_be_looked_up(note: object) -> None:
    source = getattr(note, "source")  # noqa: B009
    for one in source.split(", "):
        assert re.fullmatch(r"https://[\w.-]+/\S+", one) or (ROOT / one).is_file(), one


def test_they_name_engines_that_there_are() -> None:
    assert {engine for note in NOTES for engine in note.engines} <= set(MEMORY)
    assert len({note.id for note in NOTES}) == len(NOTES)


def ids(subject: Subject) -> set[str]:
    return {note.id for note in notes_for(NOTES, subject)}


def test_what_is_asked_about_decides() -> None:
    mac = Subject("Apple M3 Ultra", ("llamacpp",))
    assert {"gpu", "ane", "flash"} <= ids(mac)
    assert not {"wired", "m5", "torch", "kv", "limit"} & ids(mac)
    assert "wired" in ids(Subject("Apple M3 Ultra", ("mlx",)))
    assert "m5" in ids(Subject("Apple M5 Max", ("mlx",)))
    assert "m5" not in ids(Subject("Apple M5 Max", ("llamacpp",)))
    assert "limit" in ids(Subject("Apple M3 Ultra", ("llamacpp",), share=0.51))
    assert "limit" not in ids(Subject("Apple M3 Ultra", ("llamacpp",), share=0.5))
    assert "kv" in ids(Subject("Apple M3 Ultra", ("llamacpp",), context=LONG_CONTEXT))
    assert "kv" not in ids(Subject("Apple M3 Ultra", ("llamacpp",), context=LONG_CONTEXT - 1))
