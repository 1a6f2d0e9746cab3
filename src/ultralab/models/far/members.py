"""A member of a zip archive (a wheel is one) as a stream, the rest of the archive unread."""

from __future__ import annotations

import fnmatch
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import IO, Final

from ultralab.kernel.errors import FetchFailed, NotFound
from ultralab.kernel.language import _
from ultralab.kernel.text import printable
from ultralab.kernel.units import format_bytes
from ultralab.models.far.files import Seekable
from ultralab.models.zip_directory import Member, damaged, data_start, is_stored, read_directory, require_readable

_BLOCK: Final = 64 * 1024
_PACKED: Final = 64 * 1024


class Archive:
    """An archive whose table is read once, when a member is first wanted. ``most``: bytes of a member that are unpacked."""

    def __init__(
        self, opened: Callable[[], AbstractContextManager[IO[bytes]]], size: Callable[[], int], where: str, most: int
    ) -> None:
        self._opened = opened
        self._size = size
        self._where = where
        self._most = most
        self._members: tuple[Member, ...] | None = None
        self._lock = threading.Lock()

    def member(self, name: str) -> Member:
        """The one member of that name, or the only one whose base name fits it as a pattern. Raises NotFound."""
        members = self._table()
        found = [member for member in members if member.name == name] or [
            member for member in members if fnmatch.fnmatchcase(member.name.rpartition("/")[2], name)
        ]
        if len(found) != 1:
            raise NotFound(
                _("{url} holds {count} files {pattern}.").format(
                    url=self._where, count=len(found), pattern=printable(name, 80)
                ),
                hint=_("Name one file of the archive."),
                url=self._where,
            )
        require_readable(found[0], self._where)
        return found[0]

    @contextmanager
    def open(self, name: str) -> Iterator[IO[bytes]]:
        """A member's bytes as a seekable stream. Raises NotFound, FileDamaged, Unsupported, FetchFailed."""
        member = self.member(name)
        with self._opened() as stream:
            start = data_start(stream, member, self._where)
            if start + member.packed > self._size():
                raise damaged(self._where, _("it ends in the middle"))
            if is_stored(member):
                yield _Window(stream, start, member.size)  # type: ignore[misc]  # a RawIOBase is an IO[bytes] in use
            else:
                yield _Inflated(stream, start, member, self._where, self._most)  # type: ignore[misc]

    def _table(self) -> tuple[Member, ...]:
        with self._lock:
            if self._members is None:
                with self._opened() as stream:
                    self._members = read_directory(stream, self._size(), self._where)
            return self._members


class _Window(Seekable):
    """A part of a stream."""

    def __init__(self, stream: IO[bytes], start: int, size: int) -> None:
        super().__init__(size)
        self._stream = stream
        self._start = start

    def _read_at(self, at: int, count: int) -> bytes:
        self._stream.seek(self._start + at)
        return self._stream.read(count)

    def read1(self, size: int) -> bytes:
        """What the stream behind it has at once."""
        at = self.tell()
        self._stream.seek(self._start + at)
        read: Callable[[int], bytes] = getattr(self._stream, "read1", self._stream.read)
        content = read(max(0, min(size, self._size - at)))
        self.seek(at + len(content))
        return content


class _Inflated(Seekable):
    """A deflated part of a stream. It is unpacked from its beginning: going back begins anew, and all of it counts."""

    def __init__(self, stream: IO[bytes], start: int, member: Member, where: str, most: int) -> None:
        super().__init__(member.size)
        self._stream = stream
        self._start = start
        self._packed = member.packed
        self._where = where
        self._most = most
        self._left = most
        self._begin()

    def _begin(self) -> None:
        self._inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        self._taken = 0
        self._given = 0
        self._block = b""

    def _read_at(self, at: int, count: int) -> bytes:
        if at < self._given - len(self._block):
            self._begin()
        pieces: list[bytes] = []
        while count:
            if at >= self._given:
                self._more()
                continue
            offset = len(self._block) - (self._given - at)
            piece = self._block[offset : offset + count]
            pieces.append(piece)
            at, count = at + len(piece), count - len(piece)
        return b"".join(pieces)

    def _more(self) -> None:
        packed = self._inflater.unconsumed_tail
        if not packed and self._taken < self._packed:
            self._stream.seek(self._start + self._taken)
            packed = self._stream.read(min(_PACKED, self._packed - self._taken))
            self._taken += len(packed)
        try:
            block = self._inflater.decompress(packed, _BLOCK)
        except zlib.error as error:
            raise damaged(self._where, _("a member cannot be unpacked")) from error
        if not block and (self._inflater.eof or not packed):
            raise damaged(self._where, _("a member is shorter than it says"))
        self._left -= len(block)
        if self._left < 0:
            raise FetchFailed(
                _("{url}: the headers need more than {most}.").format(url=self._where, most=format_bytes(self._most)),
                hint=_("Unpack the archive first, then look at the model."),
                url=self._where,
            )
        self._block = block or self._block
        self._given += len(block)
