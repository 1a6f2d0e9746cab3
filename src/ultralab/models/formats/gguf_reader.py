"""A GGUF header, bytes to values: version 2 and 3, little endian, bounded in time and memory.

Refuses what llama.cpp's reader refuses (``ggml/src/gguf.cpp``): tensor data must lie in the order of the tensor
list, each tensor at the next multiple of the alignment. Lists are counted; only short lists of numbers are kept.
"""

from __future__ import annotations

import math
import os
import stat
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ultralab.kernel.errors import FileAccess, FileDamaged, Unsupported
from ultralab.kernel.language import _
from ultralab.kernel.text import printable as _printable
from ultralab.models.formats.base import USUAL_LIMITS, Item, Limits, too_many
from ultralab.models.formats.gguf_cursor import Cursor
from ultralab.models.formats.gguf_types import (
    ARRAY,
    BOOL,
    DEFAULT_ALIGNMENT,
    MAGIC,
    MAX_DIMENSIONS,
    MAX_NAME_BYTES,
    SCALARS,
    STRING,
    TENSOR_TYPES,
    UINT32,
    VERSIONS,
    TensorType,
)
from ultralab.system import files

MAX_KEYS: Final = 65_536
KEPT_LIST: Final = 4_096
KEPT_NUMBERS: Final = 262_144
"""Numbers of all kept lists together: a list per layer of a few keys has some hundred."""

_LEAST_ENTRY: Final = 8 + 1 + 4 + 1
_LEAST_TENSOR: Final = 8 + 4 + 4 + 8
_REST: Final = tuple(struct.Struct(f"<{dimensions}qIQ") for dimensions in range(MAX_DIMENSIONS + 1))
"""Of a tensor: its sides, its type, its offset."""

_SHARE: Final = 4
_ALWAYS: Final = 4096
"""GGUF stacks experts, so models have some thousand tensors: a quarter of a large limit is read, in less than a second."""

Value = str | int | float | bool


@dataclass(frozen=True, slots=True)
class Entry:
    """One key and where its bytes (key, type and value) lie in the file."""

    key: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """One tensor: ``shape`` in ggml's order (row length first), ``start`` from the beginning of the file, bytes."""

    name: str
    shape: tuple[int, ...]
    type: TensorType
    start: int
    size: int

    @property
    def elements(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)

    @property
    def row(self) -> int:
        """Numbers per row."""
        return self.shape[0] if self.shape else 1

    @property
    def is_matrix(self) -> bool:
        """Whether it has more than one row."""
        return len(self.shape) > 1


@dataclass(frozen=True)
class GgufHeader:
    """Everything before the weights. ``counts``: length of every list; ``lists``: the short lists of numbers."""

    path: Path
    version: int
    alignment: int
    values: Mapping[str, Value]
    counts: Mapping[str, int]
    lists: Mapping[str, tuple[int | float, ...]]
    entries: tuple[Entry, ...]
    tensors: tuple[TensorInfo, ...]
    file_size: int


def read_gguf(source: Path | Item, limits: Limits = USUAL_LIMITS, *, weights: bool = True) -> GgufHeader:
    """Read a header, here or far away; never hangs, never over-allocates.

    With ``weights`` false the tensor data need not be there: a header alone is read. Raises FileDamaged, Unsupported,
    NotFound, FileAccess, FetchFailed.
    """
    if isinstance(source, Item):
        with source.open() as stream:
            return _read(Cursor(source.where, stream, source.size, limits.header_bytes), limits, weights=weights)
    with files.explained(source):
        if not stat.S_ISREG(source.stat().st_mode):
            raise FileAccess(_("{path} is not a regular file.").format(path=source), path=str(source))
        with source.open("rb") as stream:
            cursor = Cursor(str(source), stream, os.fstat(stream.fileno()).st_size, limits.header_bytes)
            return _read(cursor, limits, weights=weights)


def _read(cursor: Cursor, limits: Limits, *, weights: bool) -> GgufHeader:
    version = _read_version(cursor)
    tensor_count = _count(cursor, _("the number of tensors"), _LEAST_TENSOR)
    most = max(limits.tensors // _SHARE, min(limits.tensors, _ALWAYS))
    if tensor_count > most:
        raise too_many(cursor.where, most)
    at = cursor.position
    key_count = _count(cursor, _("the number of keys"), _LEAST_ENTRY)
    if key_count > MAX_KEYS:
        raise cursor.damaged(_("it has {count} keys; {most} is the most").format(count=key_count, most=MAX_KEYS), at)
    values: dict[str, Value] = {}
    counts: dict[str, int] = {}
    lists: dict[str, tuple[int | float, ...]] = {}
    entries: list[Entry] = []
    alignment = DEFAULT_ALIGNMENT
    room = KEPT_NUMBERS
    for _index in range(key_count):
        start = cursor.position
        key = cursor.text(_("a key"))
        if not key or key in values or key in counts:
            raise cursor.damaged(_("the key {key!r} is empty or appears twice").format(key=printable(key)), start)
        kind = cursor.number("<I", _("the type of {key}").format(key=printable(key)))
        if kind == ARRAY:
            _read_list(cursor, key, counts, lists, min(room, KEPT_LIST))
            room -= len(lists.get(key, ()))
        else:
            values[key] = _read_value(cursor, kind, key)
        if key == "general.alignment":
            alignment = _checked_alignment(cursor, kind, values.get(key), start)
        entries.append(Entry(key, start, cursor.position))
    tensors = _read_tensors(cursor, tensor_count, alignment, weights=weights)
    return GgufHeader(
        Path(cursor.where), version, alignment, values, counts, lists, tuple(entries), tensors, cursor.file_size
    )


def _read_version(cursor: Cursor) -> int:
    magic = cursor.take(4, _("the magic number"))
    if magic != MAGIC:
        raise cursor.damaged(_("it does not begin with GGUF but with {bytes!r}").format(bytes=magic), 0)
    version = cursor.number("<I", _("the version"))
    if version in VERSIONS:
        return version
    if version & 0xFFFF == 0 and version:
        raise Unsupported(
            _("{path} is a big-endian GGUF file.").format(path=cursor.where),
            hint=_("Convert it to little endian with gguf-convert-endian of the gguf package."),
            path=cursor.where,
        )
    raise Unsupported(
        _("{path} is a GGUF file of version {version}; versions 2 and 3 can be read.").format(
            path=cursor.where, version=version
        ),
        hint=_("Get the model in a current version, or upgrade ultralab."),
        path=cursor.where,
    )


def _count(cursor: Cursor, what: str, least: int) -> int:
    at = cursor.position
    count = cursor.number("<Q", what)
    if count * least > cursor.remaining:
        raise cursor.damaged(_("{what} is {count}, more than the file can hold").format(what=what, count=count), at)
    return count


def _read_value(cursor: Cursor, kind: int, key: str) -> Value:
    what = _("the value of {key}").format(key=printable(key))
    if kind == STRING:
        return cursor.text(what, errors="replace")
    scalar = SCALARS.get(kind)
    if scalar is None:
        raise cursor.damaged(_("{what} has the unknown type {type}").format(what=what, type=kind))
    value: int | float = struct.unpack(scalar.code, cursor.take(scalar.size, what))[0]
    return bool(value) if kind == BOOL else value


def _read_list(
    cursor: Cursor, key: str, counts: dict[str, int], lists: dict[str, tuple[int | float, ...]], most: int
) -> None:
    what = _("the list {key}").format(key=printable(key))
    at = cursor.position
    kind = cursor.number("<I", what)
    count = cursor.number("<Q", what)
    counts[key] = count
    if kind == STRING:
        cursor.skip_texts(count, what)
        return
    scalar = SCALARS.get(kind)
    if scalar is None:  # lists of lists too: llama.cpp reads none, no model has one
        raise cursor.damaged(_("{what} has elements of the type {type}").format(what=what, type=kind), at)
    if count <= most:
        code = f"<{count}{scalar.code[1:]}"
        lists[key] = struct.unpack(code, cursor.take(count * scalar.size, what))
    else:
        cursor.skip(count * scalar.size, what)


def _checked_alignment(cursor: Cursor, kind: int, value: Value | None, at: int) -> int:
    if kind != UINT32 or not isinstance(value, int) or value == 0 or value & (value - 1):
        raise cursor.damaged(_("general.alignment is {value!r}, no power of two").format(value=value), at)
    return value


def _read_tensors(cursor: Cursor, count: int, alignment: int, *, weights: bool) -> tuple[TensorInfo, ...]:
    listed: list[tuple[str, tuple[int, ...], TensorType, int, int]] = []
    seen: set[str] = set()
    shapes: dict[tuple[int, ...], tuple[int, ...]] = {}  # a model has few, and many tensors of each
    what = _("the list of tensors")
    for _index in range(count):
        at = cursor.position
        name = cursor.text(what)
        if name in seen or len(name.encode()) > MAX_NAME_BYTES:
            raise _misnamed(cursor, name, at)
        seen.add(name)
        dimensions = cursor.number("<I", what)
        if dimensions > MAX_DIMENSIONS:
            raise cursor.damaged(_("{name} has {count} dimensions").format(name=printable(name), count=dimensions), at)
        *sides, code, offset = _REST[dimensions].unpack(cursor.take(8 * dimensions + 12, what))
        shape = tuple(sides)
        if shape not in shapes:
            shapes[shape] = _checked_shape(cursor, name, shape, at)
        kind = TENSOR_TYPES.get(code)
        if kind is None or (shape[0] if shape else 1) % kind.block:
            raise _mistyped(cursor, name, shape, code, at)
        listed.append((name, shapes[shape], kind, offset, at))
    data = _aligned(cursor.position, alignment)
    tensors: list[TensorInfo] = []
    expected = 0
    for name, shape, kind, offset, at in listed:
        if offset != expected:
            raise cursor.damaged(_misplaced(name, offset, expected, alignment), at)
        size = kind.size_of(math.prod(shape))
        tensors.append(TensorInfo(name, shape, kind, data + offset, size))
        expected = _aligned(offset + size, alignment)
    if weights:
        _require_data(cursor, tensors)
    return tuple(tensors)


def _misnamed(cursor: Cursor, name: str, at: int) -> FileDamaged:
    shown = printable(name, 100)
    if len(name.encode()) > MAX_NAME_BYTES:
        return cursor.damaged(
            _("the tensor name {name!r} is longer than {most} bytes").format(name=shown, most=MAX_NAME_BYTES), at
        )
    return cursor.damaged(_("the tensor {name!r} appears twice").format(name=shown), at)


def _checked_shape(cursor: Cursor, name: str, shape: tuple[int, ...], at: int) -> tuple[int, ...]:
    elements = 1
    for side in shape:
        elements *= side
        if side < 0 or elements >= 2**63:
            what = _("the shape of {name}").format(name=printable(name))
            raise cursor.damaged(_("{what} is impossible: {shape}").format(what=what, shape=list(shape)), at)
    return shape


def _mistyped(cursor: Cursor, name: str, shape: tuple[int, ...], code: int, at: int) -> FileDamaged:
    kind = TENSOR_TYPES.get(code)
    if kind is None:
        return cursor.damaged(
            _("{name} has the unknown tensor type {code}").format(name=printable(name), code=code), at
        )
    return cursor.damaged(
        _("{name} has rows of {row} numbers, which {type} cannot pack (blocks of {block})").format(
            name=printable(name), row=shape[0] if shape else 1, type=kind.name, block=kind.block
        ),
        at,
    )


def _misplaced(name: str, offset: int, expected: int, alignment: int) -> str:
    values = {"name": printable(name), "offset": offset, "expected": expected, "alignment": alignment}
    if offset % alignment:
        return _("the offset {offset} of {name} is no multiple of the alignment {alignment}").format(**values)
    if offset < expected:
        return _("{name} at offset {offset} overlaps what ends at {expected}").format(**values)
    return _("{name} lies at offset {offset}, expected at {expected}").format(**values)


def _require_data(cursor: Cursor, tensors: list[TensorInfo]) -> None:
    end = max((tensor.start + tensor.size for tensor in tensors), default=0)
    missing = end - cursor.file_size
    if missing > 0:
        raise FileDamaged(
            _("{path} is truncated: {missing} of {needed} bytes are missing (the weights end at byte {end}).").format(
                path=cursor.where, missing=missing, needed=end, end=end
            ),
            hint=_("The download or copy was cut short: get the file again."),
            path=cursor.where,
            offset=cursor.file_size,
            missing=missing,
        )


def printable(text: str, width: int = 100) -> str:
    """A foreign name made safe for a message. Asked for every entry, so the usual name costs nothing."""
    return text if len(text) <= width and text.isascii() and text.isprintable() else _printable(text, width)


def _aligned(offset: int, alignment: int) -> int:
    return (offset + alignment - 1) // alignment * alignment
