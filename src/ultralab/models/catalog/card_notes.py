"""What the owner wrote about a family of models: on its card, and on other pages beside it.

Until issue 4 each model had a page of its own, ``models/<family>/<name>.md``. What somebody wrote there moves to the
family's card word for word.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from ultralab.kernel.errors import InvalidSpec, UltralabError
from ultralab.kernel.ids import slug
from ultralab.pages import fill, parts_of, read_page

CARD: Final = "README.md"

_MOST_PAGES: Final = 50
_MOST_LETTERS: Final = 262_144
_REFUSED: Final = re.compile(r"<!--\s*ultralab:no\s")
_OURS: Final = frozenset({
    "## Notes", "## 注意事项",
    "What to mind with this model: this part is yours.", "使用这个模型时要注意什么：这一部分由您书写。",
    "What to mind with these models: this part is yours.", "使用这些模型时要注意什么：这一部分由您书写。",
})  # fmt: skip
"""What the templates, old and new, write outside of fences."""
_OUR_TITLES: Final = ("# Model: ", "# 模型：")
_BEFORE: Final = re.compile(r"^ {0,3}<!--\s*ultralab:begin experiments\s*-->", re.MULTILINE)
_OLD_PARTS: Final = frozenset({"metadata", "variants", "usage"})


def folder_of(home: Path, family: str) -> Path:
    """Where the pages of a family are."""
    return home / "models" / slug(family, "other")


def pages_of(home: Path, family: str) -> tuple[Path, ...]:
    """The family's card and what other pages lie beside it, by name."""
    return tuple(sorted(folder_of(home, family).glob("*.md"))[:_MOST_PAGES])


def notes_of(home: Path, family: str) -> str:
    """All that the owner wrote on a family's pages; what cannot be read is left out."""
    found: list[str] = []
    for page in pages_of(home, family):
        with suppress(UltralabError):
            found.append(_owners_part(read_page(page)))
    return "\n\n".join(text for text in found if text)[:_MOST_LETTERS]


def _owners_part(document: str) -> str:
    try:
        return owners_text(document)
    except InvalidSpec:  # broken fences: doctor tells
        return document


def owners_text(document: str) -> str:
    """A page without its fenced parts and what else its template wrote; not a letter of the rest is changed.

    Raises InvalidSpec (broken fences).
    """
    document = document.replace("\r\n", "\n").lstrip("\N{ZERO WIDTH NO-BREAK SPACE}")
    names = tuple(parts_of(document))
    inside = "ultralab"
    while inside in document:
        inside += "-"
    # What one could write in a code block to show a part is no part.
    marked = fill(document, dict.fromkeys(names, inside))
    part = r"^ {0,3}<!--\s*ultralab:begin [^\n]*\n" + re.escape(inside) + r"\n {0,3}<!--\s*ultralab:end [^\n]*(?:\n|\Z)"
    lines = re.sub(part, "", marked, flags=re.MULTILINE).split("\n")
    if lines[0].startswith(_OUR_TITLES):
        del lines[0]
    return "\n".join(line for line in lines if line not in _OURS).strip("\n")


def is_old_page(document: str) -> bool:
    """Whether a page was generated for one model. One that says ``ultralab:no`` stays what its owner made of it."""
    try:
        return parts_of(document).keys() >= _OLD_PARTS and _REFUSED.search(document) is None
    except InvalidSpec:
        return False


def with_notes(card: str, notes: Sequence[tuple[str, str]]) -> str | None:
    """The card with notes (title, text) that it does not have yet, in front of the experiments; None where a note would
    hide what follows it, such as by a code block that is never closed.
    """
    ending = "\r\n" if "\r\n" in card else "\n"
    for title, text in notes:
        block = f"### {title}\n\n{text}\n".replace("\n", ending)
        if block in card:
            continue
        place = _BEFORE.search(card)
        start = place.start() if place else len(card)
        before = card[:start] if card[:start].endswith("\n") else card[:start] + ending
        changed = f"{before}{block}{ending}{card[start:]}"
        try:
            if parts_of(changed) != parts_of(card):
                return None
        except InvalidSpec:
            return None
        card = changed
    return card
