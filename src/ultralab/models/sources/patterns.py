"""Which files of a listing a reference means: by name, by pattern, by a part of a name. Pure."""

from __future__ import annotations

import difflib
import fnmatch
import re
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Final

from ultralab.kernel.errors import NotFound
from ultralab.kernel.language import _

_WILD: Final = frozenset("*?[")
_PART: Final = re.compile(r"(?P<before>.*[-.])\d{5}(?P<after>-of-\d{5}\..+)", re.DOTALL)
_MOST_COMPARED: Final = 2000


def select(names: Sequence[str], pattern: str) -> tuple[str, ...]:
    """The names that ``pattern`` means; all of them where it is empty.

    A file's own path or name means that file, and with one part of a split model the other parts. Else it is a shell
    pattern for the path or the base name, in any case of letters; without ``*?[`` it may stand anywhere in them.
    """
    if not pattern:
        return tuple(names)
    if named := _named(names, pattern):
        return _with_parts(names, named)
    wanted = (pattern if _WILD & set(pattern) else f"*{pattern}*").lower()
    fits = re.compile(fnmatch.translate(wanted)).match
    return tuple(name for name in names if fits(name.lower()) or fits(base_name(name).lower()))


def base_name(name: str) -> str:
    """The last part of a path with ``/``."""
    return PurePosixPath(name).name


def nothing_fits(where: str, names: Sequence[str], pattern: str) -> NotFound:
    """The error for a pattern that means no file: it names the nearest ones."""
    bases = {base_name(name).lower(): name for name in names[:_MOST_COMPARED]}
    found = difflib.get_close_matches(base_name(pattern).strip("*").lower(), bases, n=5, cutoff=0.3)
    near = [bases[name] for name in found] or list(names[:5])
    hint = _("There are: {names}.").format(names=", ".join(near)) if near else _("It holds no files at all.")
    message = _("{where} holds no file {pattern}.").format(where=where, pattern=pattern)
    return NotFound(message, hint=hint, ref=where, pattern=pattern, near=near)


def part_of(name: str) -> tuple[str, str] | None:
    """What the parts of one split model have in common, None for a file that is no part."""
    match = _PART.fullmatch(name)
    return (match["before"].lower(), match["after"].lower()) if match else None


def _named(names: Sequence[str], pattern: str) -> list[str]:
    exact = [name for name in names if name == pattern]
    if exact:
        return exact
    lower = pattern.lower()
    return [name for name in names if name.lower() == lower] or [n for n in names if base_name(n).lower() == lower]


def _with_parts(names: Sequence[str], named: Sequence[str]) -> tuple[str, ...]:
    wholes = {whole for name in named if (whole := part_of(name))}
    wanted = set(named)
    return tuple(name for name in names if name in wanted or part_of(name) in wholes)
