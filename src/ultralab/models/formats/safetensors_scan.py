"""A SafeTensors header, read as a stream: bounded in time and memory, whatever it claims.

The layout is the format's README (8 bytes with the header's length, a JSON object, the data). What the safetensors
library accepts is accepted, what it refuses is refused, with three exceptions that are told as such: a name that
appears twice (the format forbids it, the library keeps the last), more dimensions than any framework has, and a header
written so unusually that reading it would cost more than it may.

A header is mostly one kind of entry, so one pattern reads that; what does not fit goes through :mod:`safetensors_odd`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import IO, Final, NamedTuple

from ultralab.kernel.errors import FileDamaged, Unsupported
from ultralab.kernel.language import _
from ultralab.kernel.text import printable
from ultralab.kernel.units import format_bytes
from ultralab.models.formats.base import Item, Limits, too_long, too_many
from ultralab.models.formats.safetensors_layout import Layout
from ultralab.models.formats.safetensors_odd import LONGEST, STRING, Odd, skip_value
from ultralab.models.formats.safetensors_types import BITS, HEADER_LIMIT

METADATA: Final = "__metadata__"
MOST_DIMENSIONS: Final = 64
"""numpy's own limit, the highest of the frameworks."""

_BLOCK: Final = 1024 * 1024
_AHEAD: Final = 64 * 1024
_LONGEST_ENTRY: Final = 1024 * 1024
_LONGEST_PAIR: Final = 16 * 1024 * 1024
_KEPT_METADATA: Final = 1024 * 1024
_MOST_METADATA: Final = 16 * 1024 * 1024
_MOST_PAIRS: Final = 100_000
_PER_TENSOR: Final = 160
"""Bytes of a header for each tensor of the limit: real ones take about 130, so that time stays bounded too."""

_LEAST_BOUND: Final = 32 * 1024 * 1024

_W = rb"[ \t\r\n]*+"
_N = rb"(?:0|[1-9][0-9]{0,19})"


def _pattern(fields: bytes) -> re.Pattern[bytes]:
    return re.compile(fields.replace(b"%W", _W).replace(b"%N", _N))


_USUAL: Final = _pattern(
    rb'%W"(?P<n>' + STRING + rb')"%W:%W\{%W"dtype"%W:%W"([A-Z0-9_]+)"%W,%W"shape"%W:%W\[(%W(?:%N%W(?:,%W%N%W)*+)?)\]'
    rb'%W,%W"data_offsets"%W:%W\[%W(%N)%W,%W(%N)%W\]%W\}%W([,}])'
)
_SORTED: Final = _pattern(  # MLX writes the fields in alphabetical order
    rb'%W"(?P<n>' + STRING + rb')"%W:%W\{%W"data_offsets"%W:%W\[%W(%N)%W,%W(%N)%W\]%W,%W"dtype"%W:%W"([A-Z0-9_]+)"'
    rb'%W,%W"shape"%W:%W\[(%W(?:%N%W(?:,%W%N%W)*+)?)\]%W\}%W([,}])'
)
_KEY: Final = _pattern(rb'%W"(' + STRING + rb')"%W:%W')
_PAIR: Final = _pattern(rb'%W"(' + STRING + rb')"%W:%W"(' + STRING + rb')"%W([,}])')
_OPEN: Final = _pattern(rb"%W\{%W")
_CLOSE: Final = _pattern(rb"%W\}")
_NULL: Final = _pattern(rb"null%W([,}])")
_NEXT: Final = _pattern(rb"%W([,}])")
_SPACE: Final = _pattern(rb"%W")
_COUNTED: Final = b'"data_offsets"'
_MOST_KINDS: Final = 4096


class Tensor(NamedTuple):
    """One tensor: its type as the file spells it, its shape, how many numbers, and its bytes in the data part."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    elements: int
    start: int
    size: int


class _Kind(NamedTuple):
    """What a type and a shape come to. A model has few, and many tensors of each."""

    dtype: str
    shape: tuple[int, ...]
    elements: int
    size: int


class Header:
    """The header of one open file. ``tensors`` may be taken once, to its end: the last checks come there.

    ``metadata`` fills while they are taken (it holds at most 1 MiB of text); then ``count`` is how many there were.
    """

    def __init__(self, item: Item, stream: IO[bytes], limits: Limits) -> None:
        self.metadata: dict[str, str] = {}
        self.count = 0
        self._item = item
        self._stream = stream
        self._limits = limits
        self._buffer = b""
        self._at = 0
        self._start = 8  # where in the file the buffer begins
        self._kept = 0
        self._pairs = 0
        self._has_metadata = False
        self._odd = Odd(self.damaged)
        self._left = self._length()
        self._data = item.size - 8 - self._left

    def damaged(self, what: str) -> FileDamaged:
        """The error for this file; ``what`` is already translated."""
        return FileDamaged(
            _("{path} is damaged: {what} (at byte {at}).").format(
                path=self._item.where, what=what, at=self._start + self._at
            ),
            hint=_("Get the file again; if it stays so, whoever made it wrote it wrong."),
            path=self._item.where,
            what=what,
            offset=self._start + self._at,
        )

    def tensors(self) -> Iterator[Tensor]:
        """Every tensor, in the header's order. Raises FileDamaged, Unsupported (see :class:`Limits`)."""
        self._refuse_too_many()
        layout = Layout(self._data, self.damaged)
        most = self._limits.tensors
        for name, kind, start, end in self._entries():
            dtype, shape, elements, size = kind
            if end - start != size:
                raise self._misfit(name, dtype, shape, end - start)
            if layout.count >= most:
                raise too_many(self._item.where, most)
            layout.add(name, start, end)
            yield Tensor(name, dtype, shape, elements, start, size)
        layout.close()
        self.count = layout.count

    def _length(self) -> int:
        head = self._stream.read(8)
        if len(head) < 8:
            raise self.damaged(_("it ends inside the length of its header"))
        length = int.from_bytes(head, "little")
        limit = min(HEADER_LIMIT, self._limits.header_bytes)
        if length > limit:
            raise self.damaged(
                _("its header is said to be {size} bytes long; {limit} is the most").format(
                    size=length, limit=format_bytes(limit)
                )
            )
        if length > self._item.size - 8:
            raise self.damaged(
                _("its header is said to be {size} bytes long, and {left} are left").format(
                    size=length, left=self._item.size - 8
                )
            )
        return length

    def _refuse_too_many(self) -> None:
        """Count before anything is parsed, where a header is so long that it could hold too many."""
        most = self._limits.tensors
        if self._left < most * 45:
            return
        found, tail, left = 0, b"", self._left
        while left and (block := self._stream.read(min(_BLOCK, left))):
            found += (tail + block).count(_COUNTED)
            tail = block[1 - len(_COUNTED) :]
            left -= len(block)
            if found > most:
                raise too_many(self._item.where, most)
        if self._left > max(_LEAST_BOUND, most * _PER_TENSOR):
            raise too_long(self._item.where, self._left, most)
        self._stream.seek(8)

    def _entries(self) -> Iterator[tuple[str, _Kind, int, int]]:
        if not self._require(_OPEN):
            raise self.damaged(_("its header is no JSON object"))
        kinds: dict[tuple[bytes, bytes], _Kind] = {}
        closed = bool(self._require(_CLOSE, needed=False))
        while not closed:
            found = _USUAL.match(self._buffer, self._at) or self._usual()
            if found is None:
                name = self._key()
                if name == METADATA:
                    closed = self._read_metadata()
                    continue
                dtype_, sides, first, last = self._odd_entry(name)
                following = self._require(_NEXT)
                if following is None:
                    raise self.damaged(_("an entry does not end"))
                closed = following[1] == b"}"
                yield name, self._kind(name, dtype_, sides, last - first), first, last
                continue
            self._at = found.end()
            if found.re is _USUAL:
                raw, dtype, shape, start, end, mark = found.groups()
            else:
                raw, start, end, dtype, shape, mark = found.groups()
            name = self._text(raw)
            if name == METADATA:
                raise self.damaged(_("{name} is no object of texts").format(name=METADATA))
            begin, stop = int(start), int(end)
            kind = kinds.get((dtype, shape))
            if kind is None:
                kind = self._kind(name, dtype.decode(), self._shape(shape), stop - begin)
                if len(kinds) < _MOST_KINDS:
                    kinds[dtype, shape] = kind
            yield name, kind, begin, stop
            closed = mark == b"}"
        self._only_space()

    def _usual(self) -> re.Match[bytes] | None:
        """An entry in one of the two usual spellings; reads on while what is there may be only its beginning."""
        while True:
            if found := _USUAL.match(self._buffer, self._at) or _SORTED.match(self._buffer, self._at):
                return found
            if not self._left or len(self._buffer) - self._at >= _AHEAD:
                return None
            self._refill()

    def _kind(self, name: str, dtype: str, shape: tuple[int, ...], size: int) -> _Kind:
        elements = self._elements(name, shape)
        bits = BITS.get(dtype)
        if bits is None or elements * bits % 8 or elements * bits >= 2**64:
            raise self._misfit(name, dtype, shape, size)
        return _Kind(dtype, shape, elements, elements * bits // 8)

    def _key(self) -> str:
        found = self._require(_KEY, longest=_LONGEST_ENTRY)
        if found is None:
            raise self.damaged(_("a name was expected"))
        return self._text(found[1])

    def _odd_entry(self, name: str) -> tuple[str, tuple[int, ...], int, int]:
        """An entry in another spelling: found whole, then judged as JSON."""
        while self._left and len(self._buffer) - self._at < LONGEST:
            self._refill()
        end = skip_value(self._buffer, self._at, self.damaged)
        if end is None:
            raise self.damaged(_("the entry of {name!r} does not end").format(name=printable(name, 100)))
        raw = self._buffer[self._at : end]
        entry = self._odd.entry(name, raw)
        self._at = end
        return entry

    def _read_metadata(self) -> bool:
        """Texts by name, or null; whether the header ends behind them."""
        if self._has_metadata:
            raise self.damaged(_("{name!r} appears twice").format(name=METADATA))
        self._has_metadata = True
        if found := self._require(_NULL, needed=False):
            return found[1] == b"}"
        if not self._require(_OPEN, needed=False):
            raise self.damaged(_("{name} is no object of texts").format(name=METADATA))
        closed = bool(self._require(_CLOSE, needed=False))
        while not closed:
            found = self._require(_PAIR, longest=_LONGEST_PAIR)
            if found is None:
                raise self.damaged(_("{name} holds something that is no text").format(name=METADATA))
            key, value = self._text(found[1]), self._text(found[2])
            self._kept += len(found[0])
            self._pairs += 1
            if self._kept > _MOST_METADATA or self._pairs > _MOST_PAIRS:
                raise self.damaged(_("{name} is too long").format(name=METADATA))
            if self._kept <= _KEPT_METADATA:
                self.metadata[key] = value
            closed = found[3] == b"}"
        following = self._require(_NEXT)
        if following is None:
            raise self.damaged(_("{name} does not end").format(name=METADATA))
        return following[1] == b"}"

    def _require(
        self, pattern: re.Pattern[bytes], longest: int = _AHEAD, *, needed: bool = True
    ) -> re.Match[bytes] | None:
        """Match here and step behind it; read on while what is there may be only the beginning of it."""
        while True:
            found = pattern.match(self._buffer, self._at)
            whole = found is not None and (found.end() < len(self._buffer) or not self._left)
            enough = len(self._buffer) - self._at >= (longest if needed else _AHEAD)
            if whole or not self._left or enough:
                if found is not None:
                    self._at = found.end()
                return found
            self._refill(len(self._buffer) - self._at)

    def _refill(self, more: int = 0) -> None:
        self._start += self._at
        self._buffer = self._buffer[self._at :]
        self._at = 0
        block = self._stream.read(min(max(_BLOCK, more), self._left))
        if not block:  # the file became shorter while it was read
            raise self.damaged(_("it ends inside its header"))
        self._left -= len(block)
        self._buffer += block

    def _only_space(self) -> None:
        while True:
            found = _SPACE.match(self._buffer, self._at)
            self._at = found.end() if found else self._at
            if self._at < len(self._buffer):
                raise self.damaged(_("something follows its header's last brace"))
            if not self._left:
                return
            self._refill()

    def _text(self, raw: bytes) -> str:
        try:
            if b"\\" not in raw:
                return raw.decode()
            return str(json.loads(b'"' + raw + b'"'))
        except ValueError:
            raise self.damaged(_("a text is not UTF-8")) from None

    def _shape(self, dimensions: bytes) -> tuple[int, ...]:
        sides = dimensions.split(b",") if dimensions.strip() else []
        if len(sides) > MOST_DIMENSIONS:
            raise Unsupported(
                _("{path} has a tensor of {count} dimensions; {most} is the most.").format(
                    path=self._item.where, count=len(sides), most=MOST_DIMENSIONS
                ),
                hint=_("No framework reads such a tensor."),
                path=self._item.where,
            )
        return tuple(map(int, sides))

    def _elements(self, name: str, shape: tuple[int, ...]) -> int:
        elements = 1
        for side in shape:
            elements *= side
            if elements >= 2**64 or side >= 2**64:
                raise self.damaged(_("the shape of {name!r} is impossible").format(name=printable(name, 100)))
        return elements

    def _misfit(self, name: str, dtype: str, shape: tuple[int, ...], size: int) -> FileDamaged:
        shown = printable(name, 100)
        if dtype not in BITS:
            return self.damaged(
                _("{name!r} has the unknown type {type!r}").format(name=shown, type=printable(dtype, 40))
            )
        return self.damaged(
            _("{name!r} has {size} bytes, which is not what its shape {shape} of {type} takes").format(
                name=shown, size=size, shape=list(shape[:8]), type=dtype
            )
        )
