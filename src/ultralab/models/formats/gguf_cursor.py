"""A reading position in a file that trusts no length: every step is checked against the bytes that are there."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import IO, Final

from ultralab.kernel.errors import FileDamaged
from ultralab.kernel.language import _
from ultralab.kernel.text import printable
from ultralab.kernel.units import format_bytes

HEADER_LIMIT: Final = 128 * 1024 * 1024
"""No header we know of passes 30 MB (a vocabulary of 256k tokens with its merges); the limit bounds time and memory."""

MOST_KEPT: Final = 16 * 1024 * 1024
"""Bytes of all texts that are kept together: keys, names, values. A chat template has some KiB."""

MOST_TEXTS: Final = 4_000_000
"""Texts in all lists together: a vocabulary of 262,144 tokens with its merges has 0.8 million."""

_FIRST_BLOCK: Final = 256 * 1024
_LARGEST_BLOCK: Final = 4 * 1024 * 1024


class Cursor:
    """Reads forward through one open file. Holds at most one block, or one proven string, at a time.

    Blocks grow while it reads. Where a stream can hand out what comes (``read1``), that is asked for: of a far file, a
    small header costs one request and a large one two, which end where the header does.
    """

    def __init__(self, where: str, stream: IO[bytes], file_size: int, limit: int = HEADER_LIMIT) -> None:
        self.where = where
        self.file_size = file_size
        self._stream = stream
        self._read_on: Callable[[int], bytes] = getattr(stream, "read1", stream.read)
        self._limit = limit
        self._ahead = _FIRST_BLOCK
        self._kept = 0
        self._texts = 0
        self._block = b""
        self._start = 0  # where in the file the block begins
        self._at = 0  # position inside the block

    @property
    def position(self) -> int:
        """Bytes from the start of the file to the next byte to be read."""
        return self._start + self._at

    @property
    def remaining(self) -> int:
        """Bytes from here to the end of the file."""
        return self.file_size - self.position

    def damaged(self, what: str, at: int | None = None) -> FileDamaged:
        """The error for this file: ``what`` is already translated; ``at`` defaults to the current position."""
        place = self.position if at is None else at
        return FileDamaged(
            _("{path} is damaged: {what} (at byte {at}).").format(path=self.where, what=what, at=place),
            hint=_("Get the file again; if it stays so, whoever made it wrote it wrong."),
            path=self.where,
            what=what,
            offset=place,
        )

    def take(self, count: int, what: str) -> bytes:
        """The next ``count`` bytes. Raises FileDamaged, before reading, where the file cannot hold them."""
        self._require(count, what)
        if self._at + count > len(self._block):
            self._refill(count)
        taken = self._block[self._at : self._at + count]
        if len(taken) < count:  # the file became shorter while it was read
            raise self._ends(what, count, len(taken))
        self._at += count
        return taken

    def skip(self, count: int, what: str) -> None:
        """Pass over ``count`` bytes without reading them; the same checks."""
        self._require(count, what)
        self._at += count
        if self._at > len(self._block):
            self._start, self._at, self._block = self.position, 0, b""
            self._stream.seek(self._start)

    def number(self, code: str, what: str) -> int:
        """One integer in the given ``struct`` code."""
        return int(struct.unpack(code, self.take(struct.calcsize(code), what))[0])

    def text(self, what: str, errors: str = "strict") -> str:
        """A string with its 64-bit length before it. Raises FileDamaged where ``strict`` text is not UTF-8."""
        at = self.position
        length = self.number("<Q", what)
        self._kept += length
        if self._kept > MOST_KEPT and length <= self.remaining:
            raise self.damaged(
                _("its texts pass {limit} within {what}").format(limit=format_bytes(MOST_KEPT), what=what), at
            )
        raw = self.take(length, what)
        try:
            return raw.decode("utf-8", errors)
        except UnicodeDecodeError:
            shown = printable(raw[:40].decode("utf-8", "replace"))
            raise self.damaged(_("{what} is not UTF-8: {text!r}").format(what=what, text=shown), at) from None

    def skip_texts(self, count: int, what: str) -> None:
        """Pass over ``count`` strings. The hot loop of this reader: a vocabulary has 50,000 to 500,000 of them."""
        if count > self.remaining // 8:
            raise self._ends(what, count * 8, self.remaining)
        self._texts += count
        if self._texts > MOST_TEXTS:
            raise self.damaged(
                _("its lists hold more than {most} texts within {what}").format(most=MOST_TEXTS, what=what)
            )
        unpack = struct.Struct("<Q").unpack_from
        left = count
        while left:
            block, at = self._block, self._at
            end = len(block) - 8
            while left and at <= end:
                after = at + 8 + unpack(block, at)[0]
                if after > len(block):
                    break
                at = after
                left -= 1
            self._at = at
            if left:  # a string that reaches beyond the block, or the block's end
                self.skip(self.number("<Q", what), what)
                left -= 1

    def _require(self, count: int, what: str) -> None:
        if count > self.remaining:
            raise self._ends(what, count, self.remaining)
        if self.position + count > self._limit:
            limit = format_bytes(self._limit)
            raise self.damaged(_("its header passes {limit} within {what}").format(limit=limit, what=what))

    def _refill(self, count: int) -> None:
        pieces = [self._block[self._at :]]
        self._start, self._at = self.position, 0
        there = len(pieces[0])
        while there < count:
            piece = self._read_on(max(self._ahead, count) - there)
            if not piece:
                break
            pieces.append(piece)
            there += len(piece)
        self._block = b"".join(pieces)
        self._ahead = min(2 * self._ahead, _LARGEST_BLOCK)

    def _ends(self, what: str, needed: int, left: int) -> FileDamaged:
        return self.damaged(
            _("it ends inside {what}, which needs {needed} bytes where {left} are left").format(
                what=what, needed=needed, left=left
            )
        )
