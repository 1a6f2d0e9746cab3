"""A zip archive's table of contents, read without trusting it: bounded, and refused where two readers could differ.

Laid out as PKWARE's APPNOTE.TXT says (4.3.7 local header, 4.3.12 central directory, 4.3.14 to 4.3.16 its ends, 4.5.3
zip64). An archive that this and another reader may understand differently (two ends, two members of one name, members
that overlap) is damaged: what was judged here must be what others load.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO, Final

from ultralab.kernel.errors import FileDamaged, Unsupported
from ultralab.kernel.language import _
from ultralab.kernel.text import printable

MOST_MEMBERS: Final = 300_000
MAGIC: Final = b"PK\x03\x04"

_END: Final = struct.Struct("<4s4H2LH")
_END64: Final = struct.Struct("<4sQ2H2L4Q")
_LOCATOR: Final = struct.Struct("<4sLQL")
_ENTRY: Final = struct.Struct("<4s6H3L5H2L")
_LOCAL: Final = struct.Struct("<4s5H3L2H")
_TAIL: Final = _END.size + 65_535
_STORED: Final = 0
_DEFLATED: Final = 8
_PER_MEMBER: Final = 256


@dataclass(frozen=True, slots=True)
class Member:
    """One file in an archive: ``start`` is its local header's, ``packed`` and ``size`` are bytes in and out."""

    name: str
    start: int
    packed: int
    size: int
    method: int
    encrypted: bool


def read_directory(stream: IO[bytes], size: int, where: str) -> tuple[Member, ...]:
    """The members of the archive in ``stream`` (``size`` bytes), by position. Raises FileDamaged, Unsupported."""
    count, start, length, before = _find_end(stream, size, where)
    if count > MOST_MEMBERS or length > MOST_MEMBERS * _PER_MEMBER:
        raise Unsupported(
            _("{path} is an archive of {count} members; at most {most} are read.").format(
                path=where, count=count, most=MOST_MEMBERS
            ),
            hint=_("Unpack it, or get the model in the SafeTensors format."),
            path=where,
        )
    if start + length > before or count * _ENTRY.size > length:
        raise damaged(where, _("its table of contents does not fit into it"))
    stream.seek(start)
    table = _exactly(stream, length, where)
    members: list[Member] = []
    at = 0
    for _index in range(count):
        member, at = _entry(table, at, where)
        members.append(member)
    if at != length:
        raise damaged(where, _("its table of contents is longer than it says"))
    members.sort(key=lambda member: member.start)
    _require_apart(members, start, where)
    return tuple(members)


def data_start(stream: IO[bytes], member: Member, where: str) -> int:
    """Where a member's bytes begin. Raises FileDamaged where its own header contradicts the table."""
    stream.seek(member.start)
    local = _LOCAL.unpack(_exactly(stream, _LOCAL.size, where))
    name = _exactly(stream, local[9], where)
    if local[0] != MAGIC or local[3] != member.method or _text(name, local[2]) != member.name:
        raise damaged(where, _("{name} is not where its table of contents says").format(name=shown(member)))
    return member.start + _LOCAL.size + int(local[9]) + int(local[10])


def read_member(stream: IO[bytes], member: Member, most: int, where: str) -> bytes:
    """A small member's bytes, never more than ``most``. Raises FileDamaged, Unsupported."""
    require_readable(member, where)
    if max(member.size, member.packed) > most:
        raise Unsupported(
            _("{name} in {path} has {size} bytes; at most {most} are read.").format(
                name=shown(member), path=where, size=member.size, most=most
            ),
            hint=_("Get the model in the SafeTensors format."),
            path=where,
        )
    stream.seek(data_start(stream, member, where))
    packed = _exactly(stream, member.packed, where)
    if member.method == _STORED:
        content = packed
    else:
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            content = inflater.decompress(packed, member.size + 1)
        except zlib.error as error:
            raise damaged(where, _("{name} cannot be unpacked").format(name=shown(member))) from error
    if len(content) != member.size:
        raise damaged(where, _("{name} has not the declared size").format(name=shown(member)))
    return content


def require_readable(member: Member, where: str) -> None:
    """Raise Unsupported for an encrypted member or an unusual packing."""
    if member.encrypted or member.method not in (_STORED, _DEFLATED):
        raise Unsupported(
            _("{name} in {path} is packed in a way that is not read.").format(name=shown(member), path=where),
            hint=_("Unpack the archive, or get the model in another form."),
            path=where,
        )


def is_stored(member: Member) -> bool:
    """Whether a member's bytes lie in the archive as they are."""
    return member.method == _STORED


def shown(member: Member) -> str:
    """A member's name for a message."""
    return printable(member.name, 80)


def damaged(where: str, problem: str) -> FileDamaged:
    """The error about an archive."""
    return FileDamaged(
        _("The archive {path} is damaged: {problem}.").format(path=where, problem=problem),
        hint=_("Get the file again; if it stays so, whoever made it wrote it wrong."),
        path=where,
    )


def _find_end(stream: IO[bytes], size: int, where: str) -> tuple[int, int, int, int]:
    """Number of members, start and length of their table, and where the table must end at the latest."""
    tail_start = max(0, size - _TAIL)
    stream.seek(tail_start)
    tail = _exactly(stream, size - tail_start, where)
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) - at < _END.size:
        raise damaged(where, _("it has no table of contents"))
    _magic, disk, first_disk, here, count, length, start, comment = _END.unpack_from(tail, at)
    if at + _END.size + comment != len(tail):
        raise damaged(where, _("its end is not where it says"))
    before = tail_start + at
    locator = at - _LOCATOR.size
    if locator >= 0 and tail[locator : locator + 4] == b"PK\x06\x07":
        before = int(_LOCATOR.unpack_from(tail, locator)[2])
        if before + _END64.size > tail_start + locator:
            raise damaged(where, _("its end is not where it says"))
        stream.seek(before)
        found = _END64.unpack(_exactly(stream, _END64.size, where))
        magic, disk, first_disk, here, count, length, start = found[0], *found[4:10]
        if magic != b"PK\x06\x06":
            raise damaged(where, _("its end is not where it says"))
    elif 0xFFFFFFFF in (length, start) or count == 0xFFFF:
        raise damaged(where, _("its end is not where it says"))
    if disk or first_disk or here != count:
        raise damaged(where, _("it is one part of several"))
    return int(count), int(start), int(length), before


def _entry(table: bytes, at: int, where: str) -> tuple[Member, int]:
    if len(table) - at < _ENTRY.size:
        raise damaged(where, _("its table of contents ends in the middle"))
    fields = _ENTRY.unpack_from(table, at)
    magic, flags, method, packed, size, start = fields[0], fields[3], fields[4], fields[8], fields[9], fields[16]
    name_end = at + _ENTRY.size + fields[10]
    extra_end = name_end + fields[11]
    after = extra_end + fields[12]
    if magic != b"PK\x01\x02" or after > len(table):
        raise damaged(where, _("its table of contents ends in the middle"))
    if 0xFFFFFFFF in (packed, size, start):
        size, packed, start = _large(table[name_end:extra_end], (size, packed, start), where)
    name = _text(table[at + _ENTRY.size : name_end], flags)
    return Member(name, start, packed, size, method, bool(flags & 0x2041)), after


def _large(extra: bytes, given: tuple[int, int, int], where: str) -> tuple[int, int, int]:
    """The 64-bit numbers of an entry (size, packed, start): only those that did not fit are there, in this order."""
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, at)
        if kind == 1:
            wanted = sum(value == 0xFFFFFFFF for value in given)
            if length < 8 * wanted or at + 4 + length > len(extra):
                break
            values = iter(struct.unpack_from(f"<{wanted}Q", extra, at + 4))
            size, packed, start = (next(values) if value == 0xFFFFFFFF else value for value in given)
            return size, packed, start
        at += 4 + length
    raise damaged(where, _("its table of contents lacks a size"))


def _require_apart(members: Sequence[Member], end: int, where: str) -> None:
    free = 0
    seen: set[str] = set()
    for member in members:
        if member.name in seen:
            raise damaged(where, _("two members are called {name}").format(name=shown(member)))
        seen.add(member.name)
        if member.start < free:
            raise damaged(where, _("{name} overlaps another member").format(name=shown(member)))
        free = member.start + _LOCAL.size + len(member.name) + member.packed
        if member.method == _STORED and not member.encrypted and member.packed != member.size:
            raise damaged(where, _("{name} has not the declared size").format(name=shown(member)))
    if free > end:
        raise damaged(where, _("a member reaches into its table of contents"))


def _text(name: bytes, flags: int) -> str:
    return name.decode("utf-8", "replace") if flags & 0x800 else name.decode("cp437")


def _exactly(stream: IO[bytes], count: int, where: str) -> bytes:
    content = stream.read(count)
    if len(content) != count:
        raise damaged(where, _("it ends in the middle"))
    return content
