"""Fenced parts of a Markdown document, as pure functions on text.

A part stands between two comments on lines of their own, outside code blocks::

    <!-- ultralab:begin NAME -->
    … ours, rewritten …
    <!-- ultralab:end NAME -->

Everything else belongs to the owner. ``<!-- ultralab:no NAME -->`` anywhere in a document says: keep your hands off
this part.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ultralab.kernel.errors import InvalidSpec
from ultralab.kernel.language import _

BOM: Final = "\N{ZERO WIDTH NO-BREAK SPACE}"

_LINE = re.compile(r"[^\n]*\n|[^\n]+")
_MARK = re.compile(r" {0,3}<!--\s*ultralab:((?:(?!-->).)*)-->\s*\Z")
_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]*\Z")
# A code block may open behind list bullets and quotation marks; one made of backticks has none in its info string.
_OPENING = re.compile(r" {0,3}((?:(?:[-*+]|\d{1,9}[.)])[ \t]+|>[ \t]?)*)(`{3,}(?=[^`]*\Z)|~{3,})")
_CLOSING = re.compile(r"([ \t>]*)(`{3,}|~{3,})[ \t]*\Z")


@dataclass(frozen=True)
class _Part:
    """A fenced part: the indexes of its two fence lines."""

    name: str
    begin: int
    end: int


@dataclass(frozen=True)
class _Scan:
    lines: tuple[str, ...]
    parts: tuple[_Part, ...]
    refused: frozenset[str]
    open_code: int  # 1-based line of a code block that is never closed, else 0


def fill(document: str, parts: Mapping[str, str], path: Path | str = "-") -> str:
    """The document with the inside of each named part replaced; filling twice is the same as filling once.

    A part that the document has no fence for is appended at its end. A deleted fence alone does not keep a part
    away: deleting is how people undo damage to a generated part, and a page that quietly lost its table would go
    stale unseen. Whoever wants it gone writes ``<!-- ultralab:no NAME -->``, which also freezes a part that is there.

    Line ends follow the document's (each part its own fence line's), a missing final newline stays missing, a byte
    order mark stays. Raises InvalidSpec naming ``path``, the part and the line for a fence that is nested, doubled,
    unbalanced or unreadable, and for new text that would itself break the fences.
    """
    scan = _scan(document, path)
    for name, text in parts.items():
        _require_whole(name, text, path)
    here = {part.name: part for part in scan.parts}
    lines = list(scan.lines)
    for part in reversed(scan.parts):
        if part.name in parts and part.name not in scan.refused:
            lines[part.begin + 1 : part.end] = _inside(parts[part.name], _line_end(lines[part.begin]))
    missing = {name: text for name, text in parts.items() if name not in here and name not in scan.refused}
    if missing and scan.open_code:
        raise InvalidSpec(
            path,
            _("this code block is never closed, so nothing can be added after it"),
            field=next(iter(missing)),
            line=scan.open_code,
            hint=_("Close the code block with a line of ```."),
        )
    return _append("".join(lines), missing)


def parts_of(document: str, path: Path | str = "-") -> dict[str, str]:
    """The inside of every part, by name, with plain newlines. Raises InvalidSpec as :func:`fill` does."""
    scan = _scan(document, path)
    return {
        part.name: "".join(scan.lines[part.begin + 1 : part.end]).replace("\r\n", "\n").rstrip("\n")
        for part in scan.parts
    }


def fenced(name: str, text: str, line_end: str = "\n") -> str:
    """One part with its fences."""
    body = "".join(_inside(text, line_end))
    return f"<!-- ultralab:begin {name} -->{line_end}{body}<!-- ultralab:end {name} -->{line_end}"


def _append(document: str, parts: Mapping[str, str]) -> str:
    if not parts:
        return document
    first_line = _LINE.match(document)
    line_end = _line_end(first_line.group()) if first_line else "\n"
    blocks = line_end.join(fenced(name, text, line_end) for name, text in parts.items())
    if not document.strip(BOM):
        return document + blocks
    if not document.endswith("\n"):
        return document + line_end * 2 + blocks.removesuffix(line_end)
    blank = document.endswith(("\n\n", "\r\n\r\n"))
    return document + ("" if blank else line_end) + blocks


def _inside(text: str, line_end: str) -> list[str]:
    plain = text.replace("\r\n", "\n").strip("\n")
    return [line + line_end for line in plain.split("\n")] if plain else []


def _line_end(line: str) -> str:
    return "\r\n" if line.endswith("\r\n") else "\n"


def _require_whole(name: str, text: str, path: Path | str) -> None:
    """New text must hold no fence of its own and leave no code block open: the document could not be read again."""
    if not _NAME.match(name):
        raise ValueError(name)
    try:
        scan = _scan(text, path)
        whole = not (scan.parts or scan.refused or scan.open_code)
    except InvalidSpec:
        whole = False
    if not whole:
        raise InvalidSpec(
            path, _("the new text of this part holds a fence or a code block that is never closed"), field=name
        )


def _scan(document: str, path: Path | str) -> _Scan:
    lines = tuple(_LINE.findall(document))
    in_code, open_code = _code_lines(lines)
    parts: list[_Part] = []
    refused: set[str] = set()
    begin: tuple[str, int] | None = None
    for index, line in enumerate(lines):
        mark = None if in_code[index] else _read_mark(line.removeprefix(BOM) if index == 0 else line, index, path)
        if mark is None:
            continue
        kind, name = mark
        if kind == "no":
            refused.add(name)
        elif kind == "begin":
            _require_can_begin(name, begin, parts, index, path)
            begin = (name, index)
        elif begin is None or begin[0] != name:
            raise _wrong(path, name, index, _("this fence ends a part that was not begun"))
        else:
            parts.append(_Part(name, begin[1], index))
            begin = None
    if begin is not None:
        raise _wrong(path, begin[0], begin[1], _("this part is begun and never ended"))
    return _Scan(lines, tuple(parts), frozenset(refused), open_code)


def _read_mark(line: str, index: int, path: Path | str) -> tuple[str, str] | None:
    match = _MARK.match(line)
    if match is None:
        return None
    words = match.group(1).split()
    if len(words) != 2 or words[0] not in ("begin", "end", "no") or not _NAME.match(words[1]):
        raise InvalidSpec(
            path,
            _("this fence cannot be read: {line}").format(line=line.strip()),
            line=index + 1,
            hint=_("Write <!-- ultralab:begin NAME -->, <!-- ultralab:end NAME --> or <!-- ultralab:no NAME -->."),
        )
    return words[0], words[1]


def _require_can_begin(
    name: str, begun: tuple[str, int] | None, parts: Sequence[_Part], index: int, path: Path | str
) -> None:
    if begun is not None:
        problem = _("this part begins inside the part {outer!r} of line {line}")
        raise _wrong(path, name, index, problem.format(outer=begun[0], line=begun[1] + 1))
    for part in parts:
        if part.name == name:
            problem = _("this part was already begun in line {line}")
            raise _wrong(path, name, index, problem.format(line=part.begin + 1))


def _wrong(path: Path | str, name: str, index: int, problem: str) -> InvalidSpec:
    return InvalidSpec(
        path,
        problem,
        field=name,
        line=index + 1,
        hint=_("Each part has one begin and one end fence; a code block (```) that is not closed hides them."),
    )


def _code_lines(lines: Sequence[str]) -> tuple[list[bool], int]:
    """For each line whether it is part of a fenced code block (CommonMark 4.5), and the line of one left open."""
    inside: list[bool] = []
    opened: re.Match[str] | None = None
    opened_at = 0
    for number, raw in enumerate(lines, 1):
        line = raw.rstrip("\r\n").removeprefix(BOM)
        if opened is not None and ">" in opened.group(1) and not line.lstrip(" ").startswith(">"):
            opened = None  # the quotation that held the block is over
        if opened is None:
            opened = _OPENING.match(line)
            opened_at = number
            inside.append(opened is not None)
        else:
            inside.append(True)
            if _closes(opened, line):
                opened = None
    return inside, 0 if opened is None else opened_at


def _closes(opened: re.Match[str], line: str) -> bool:
    match = _CLOSING.match(line)
    if match is None or not match.group(2).startswith(opened.group(2)):
        return False
    return bool(opened.group(1)) or (">" not in match.group(1) and len(match.group(1)) <= 3)
