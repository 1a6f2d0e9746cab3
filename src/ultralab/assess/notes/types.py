"""A note, and which notes are about a question. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Note:
    """One piece of advice. ``advice`` and ``reason`` are message ids, ``source`` a public address or one of our documents.

    ``engines`` and ``chips`` narrow what it is about (empty: all); a chip is named by how its name begins (``Apple M5``).
    ``large``: only for models that take more than half of what models may take; ``long_context``: only for long contexts.
    """

    id: str
    advice: str
    reason: str
    source: str
    engines: tuple[str, ...] = ()
    chips: tuple[str, ...] = ()
    large: bool = False
    long_context: bool = False


@dataclass(frozen=True)
class Subject:
    """What is asked about: the chip's name, the engines that come into question, and the model as far as it matters."""

    chip: str
    engines: tuple[str, ...]
    share: float = 0.0
    context: int = 0


LONG_CONTEXT = 32_768
"""Tokens from which on the KV cache is worth a note."""


def notes_for(notes: Iterable[Note], subject: Subject) -> tuple[Note, ...]:
    """The notes about a subject, in their order."""
    return tuple(note for note in notes if _is_about(note, subject))


def _is_about(note: Note, subject: Subject) -> bool:
    if note.engines and not set(note.engines) & set(subject.engines):
        return False
    if note.chips and not any(subject.chip.startswith(chip) for chip in note.chips):
        return False
    if note.large and subject.share <= 0.5:
        return False
    return not note.long_context or subject.context >= LONG_CONTEXT
