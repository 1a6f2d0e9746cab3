"""``*.safetensors.index.json``: which tensor lies in which file. Hostile until proven otherwise."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from ultralab.kernel.language import _
from ultralab.kernel.text import printable
from ultralab.kernel.units import format_bytes
from ultralab.models.formats.base import Item, Limits, too_many
from ultralab.models.formats.bounded_json import damaged, parse_object, read_bounded
from ultralab.models.formats.safetensors_odd import STRING
from ultralab.models.records import is_safe_path

MOST_BYTES: Final = 48 * 1024 * 1024
"""A legal index of 262,144 tensors has about 30 MB."""

MOST_BESIDE: Final = 4 * 1024 * 1024
"""Bytes of what is not the map of tensors."""

MOST_FILES: Final = 10_000

_PAIR: Final = re.compile(rb'\s*+"(' + STRING + rb')"\s*+:\s*+"(' + STRING + rb')"\s*+([,}])')
_MAP: Final = re.compile(rb'"weight_map"\s*+:\s*+\{')
_EMPTY: Final = re.compile(rb"\s*+\}")


@dataclass(frozen=True)
class Index:
    """``files`` in the order in which they are first named; ``places`` maps the hash of a tensor's name to its file's number.

    Names themselves are not kept: there may be a quarter of a million of them. Hashes of texts are keyed anew in every
    process, so nobody can make two names collide.

    What an index says of the sum of bytes is not read: writers count shared tensors once or twice, and no loader minds.
    """

    where: str
    item: Item
    files: tuple[str, ...]
    places: Mapping[int, int]

    def place(self, tensor: str) -> int | None:
        """The number of the file that is to hold a tensor; None where the index does not name it."""
        return self.places.get(hash(tensor))

    def counts(self) -> list[int]:
        """How many tensors are to be in each file."""
        found = Counter(self.places.values())
        return [found[number] for number in range(len(self.files))]


def read_index(item: Item, limits: Limits) -> Index:
    """Read an index. Raises FileDamaged (no index, unsafe names), Unsupported (too many tensors)."""
    raw = read_bounded(item, MOST_BYTES)
    opened = _MAP.search(raw)
    if opened is None:
        raise damaged(item, _("it has no weight_map"))
    names: dict[str, int] = {}
    places: dict[int, int] = {}
    at = opened.end()
    closed = bool(found := _EMPTY.match(raw, at))
    at = found.end() if found else at
    while not closed:
        pair = _PAIR.match(raw, at)
        if pair is None:
            raise damaged(item, _("its weight_map holds something else than names of tensors and files"))
        if len(places) >= limits.tensors:
            raise too_many(item.where, limits.tensors)
        tensor, name = _text(item, pair[1]), _text(item, pair[2])
        key = hash(tensor)
        if key in places:
            raise damaged(item, _("it names the tensor {name!r} twice").format(name=printable(tensor, 100)))
        places[key] = names.setdefault(name, len(names))
        at = pair.end()
        closed = pair[3] == b"}"
    if len(raw) - at + opened.end() > MOST_BESIDE:
        raise damaged(item, _("it is longer than {limit}").format(limit=format_bytes(MOST_BESIDE)))
    parse_object(item, raw[: opened.end()] + b"}" + raw[at:])
    _require_names(item, names)
    return Index(item.where, item, tuple(names), places)


def _text(item: Item, raw: bytes) -> str:
    try:
        return raw.decode() if b"\\" not in raw else str(json.loads(b'"' + raw + b'"'))
    except ValueError:
        raise damaged(item, _("a text in it is not UTF-8")) from None


def _require_names(item: Item, names: Mapping[str, int]) -> None:
    if not names or len(names) > MOST_FILES:
        raise damaged(item, _("it names {count} files").format(count=len(names)))
    for name in names:
        if not is_safe_path(name):
            raise damaged(
                item,
                _("it names the file {name!r}, which lies outside or is no name").format(name=printable(name, 100)),
            )
        if not name.lower().endswith(".safetensors"):
            raise damaged(
                item, _("it names the file {name!r}, which holds no SafeTensors").format(name=printable(name))
            )
