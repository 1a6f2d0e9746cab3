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


_NOT_FIRST = frozenset("，。、：；！？）」』】》”’…%,.:;!?)]}")  # never begins a line
_NOT_LAST = frozenset("（「『【《“‘([{")  # never ends one


def wrap(text: str, width: int) -> list[str]:
    """The text in lines of at most ``width`` columns: broken at spaces, and between Chinese characters.

    A word that is longer than a line stays whole. Punctuation stays with what it belongs to.
    """
    lines: list[str] = []
    line = ""
    for piece in _pieces(text):
        if line.strip() and display_width(line + piece.rstrip()) > width:
            lines.append(line.rstrip())
            line = piece.lstrip()
        else:
            line += piece
    return [*lines, line.rstrip()] if line.strip() else lines


def _pieces(text: str) -> list[str]:
    """What may not be broken: words with the space behind them, wide characters with their punctuation."""
    pieces = [""]
    for before, char in zip(" " + text, text, strict=False):
        joined = char in _NOT_FIRST or before in _NOT_LAST or char == " "
        breakable = before == " " or _columns(char) == 2 or _columns(before) == 2
        if breakable and not joined:
            pieces.append(char)
        else:
            pieces[-1] += char
    return pieces
