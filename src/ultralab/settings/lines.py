"""Where a key stands in a TOML text. Python's reader says what a file holds, not where."""

from __future__ import annotations

import re

_KEY = r"""(?:[A-Za-z0-9_-]+|"[^"\n]*"|'[^'\n]*')"""
_DOTTED = rf"{_KEY}(?:\s*\.\s*{_KEY})*"
_TABLE = re.compile(rf"\s*\[\[?\s*({_DOTTED})\s*\]\]?\s*(?:#.*)?\Z")
_PAIR = re.compile(rf"\s*({_DOTTED})\s*=(.*)", re.DOTALL)
_SYNTAX_LINE = re.compile(r"\(at line (\d+), column \d+\)")


def key_lines(text: str) -> dict[str, int]:
    """The 1-based line of each dotted key, tables included, in a valid TOML text; keys of inline tables are not."""
    found: dict[str, int] = {}
    table: tuple[str, ...] = ()
    closing = ""
    for number, line in enumerate(text.split("\n"), 1):
        if closing:
            closing = "" if closing in line else closing
            continue
        if header := _TABLE.match(line):
            table = _split(header.group(1))
            _note(found, table, number)
        elif pair := _PAIR.match(line):
            _note(found, table + _split(pair.group(1)), number)
            value = pair.group(2).lstrip()
            mark = value[:3] if value.startswith(('"""', "'''")) else ""
            closing = "" if mark and mark in value[3:] else mark
    return found


def line_of(text: str, key: str) -> int:
    """The line of a dotted key, or of the nearest table around it; 0 where neither is found."""
    lines = key_lines(text)
    while key:
        if key in lines:
            return lines[key]
        key = key.rpartition(".")[0]
    return 0


def syntax_error_line(message: str, text: str) -> int:
    """The line that Python's TOML reader names in its message; the last line for an unexpected end."""
    match = _SYNTAX_LINE.search(message)
    return int(match.group(1)) if match else text.rstrip("\n").count("\n") + 1


def _split(dotted: str) -> tuple[str, ...]:
    return tuple(part.strip("\"'") for part in re.findall(_KEY, dotted))


def _note(found: dict[str, int], path: tuple[str, ...], line: int) -> None:
    for length in range(1, len(path) + 1):
        found.setdefault(".".join(path[:length]), line)
