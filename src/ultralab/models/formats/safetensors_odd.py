"""Entries of a SafeTensors header in an unusual spelling, judged as serde does for the library.

Legal and seen nowhere: other fields, another order, an array instead of an object, escapes inside field names. Few of
them are read, so that a hostile header cannot make this slow.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from math import isfinite
from typing import Final, NoReturn

from ultralab.kernel.errors import FileDamaged
from ultralab.kernel.language import _
from ultralab.kernel.text import printable

STRING: Final = (
    rb'(?:[^"\\\x00-\x1f]++|\\(?:["\\/bfnrt]|u(?:(?![dD][89a-fA-F])[0-9a-fA-F]{4}'
    rb"|[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})))*+"
)
"""The inside of a JSON text, as bytes: no control characters, no half of a surrogate pair."""

DEEPEST: Final = 126
"""serde_json stops at 128 levels, of which the header's own and the entry's are two."""

MOST_ENTRIES: Final = 20_000
MOST_BYTES: Final = 1024 * 1024
LONGEST: Final = 256 * 1024
"""Bytes of one such entry."""

MOST_SIDES: Final = 64

_TOKEN: Final = re.compile(rb'"' + STRING + rb'"|[\[{]|[\]}]|[^"\[\]{}]++')


def skip_value(raw: bytes, at: int, damaged: Callable[[str], FileDamaged]) -> int | None:
    """Where the JSON array or object that begins at ``at`` ends; None where it does not end in ``raw``, or is too long."""
    if at >= len(raw):
        return None
    if raw[at] not in b"[{":
        raise damaged(_("an entry is neither an object nor an array"))
    depth = 0
    stop = min(len(raw), at + LONGEST)
    while at < stop:
        token = _TOKEN.match(raw, at, stop)
        if token is None:  # a text that does not end here, or is none
            return None
        at = token.end()
        first = token[0][:1]
        if first in b"[{":
            depth += 1
            if depth > DEEPEST:
                raise damaged(_("its header is nested too deep"))
        elif first in b"]}":
            depth -= 1
            if not depth:
                return at
    return None


class Odd:
    """Reads such entries within a budget for the whole file."""

    def __init__(self, damaged: Callable[[str], FileDamaged]) -> None:
        self._damaged = damaged
        self._entries = 0
        self._bytes = 0

    def entry(self, name: str, raw: bytes) -> tuple[str, tuple[int, ...], int, int]:
        """Type, shape, start and end. Raises FileDamaged."""
        self._entries += 1
        self._bytes += len(raw)
        if self._entries > MOST_ENTRIES or self._bytes > MOST_BYTES:
            raise self._damaged(_("its header is written too unusually to be read in bounded time"))
        try:
            value = json.loads(
                raw.decode(), object_pairs_hook=_unique, parse_constant=_refuse, parse_float=_finite, parse_int=_whole
            )
            return _fields(value)
        except (ValueError, RecursionError):
            raise self._damaged(
                _("the entry of {name!r} is no type, shape and pair of offsets").format(name=printable(name, 100))
            ) from None


def _fields(value: object) -> tuple[str, tuple[int, ...], int, int]:
    if isinstance(value, dict):
        value = [value.get("dtype"), value.get("shape"), value.get("data_offsets")]
    if not isinstance(value, list) or len(value) != 3:
        raise ValueError
    dtype, shape, offsets = value
    if isinstance(dtype, dict) and len(dtype) == 1 and list(dtype.values()) == [None]:
        dtype = next(iter(dtype))
    if not isinstance(dtype, str) or not _are_sizes(shape) or not _are_sizes(offsets):
        raise ValueError
    if len(offsets) != 2 or len(shape) > MOST_SIDES:
        raise ValueError
    return dtype, tuple(shape), offsets[0], offsets[1]


def _are_sizes(value: object) -> bool:
    return isinstance(value, list) and all(type(one) is int and 0 <= one < 2**64 for one in value)


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    known = [key for key, _value in pairs if key in ("dtype", "shape", "data_offsets")]
    if len(known) != len(set(known)):
        raise ValueError
    return dict(pairs)


def _refuse(_text: str) -> NoReturn:
    raise ValueError


def _finite(text: str) -> float:
    number = float(text)
    if not isfinite(number):
        raise ValueError
    return number


def _whole(text: str) -> int | float:
    if text == "-0" or len(text) > 20:  # a float to serde, as everything beyond 64 bits
        return _finite(text)
    return int(text)
