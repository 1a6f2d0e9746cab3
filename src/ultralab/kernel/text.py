"""Small pure functions on text."""

from __future__ import annotations

import unicodedata


def display_width(text: str) -> int:
    """Columns that a terminal needs for a text: wide (Chinese, emoji) characters take two, combining ones none."""
    return sum(_columns(char) for char in text)


def _columns(char: str) -> int:
    if unicodedata.category(char) in ("Mn", "Me", "Cf"):  # marks, joiners, variation selectors
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def shorten(text: str, width: int) -> str:
    """The text cut to ``width`` columns, with an ellipsis where something was taken away."""
    if display_width(text) <= width:
        return text
    kept = ""
    for char in text:
        if display_width(kept + char) > width - 1:
            break
        kept += char
    return kept + "…"


def printable(text: str, width: int = 200) -> str:
    """A foreign text (a file's metadata, a program's answer) made safe for a terminal: no control characters."""
    return shorten("".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text), width)
