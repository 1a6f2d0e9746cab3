"""A reading position in a file that trusts no length: every step is checked against the bytes that are there."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import IO, Final

from ultralab.kernel.errors import FileDamaged
from ultralab.kernel.language import _
from ultralab.kernel.text import printable
from ultralab.kernel.units import format_bytes

HEADER_LIMIT: Final = 128 * 1024 * 1024
"""No header we know of passes 30 MB (a vocabulary of 256k tokens with its merges); the limit bounds time and memory."""

_BLOCK: Final = 1024 * 1024


class Cursor:
    """Reads forward through one open file. Holds at most one block, or one proven string, at a time."""

    def __init__(self, path: Path, stream: IO[bytes], file_size: int) -> None:
        self.path = path
        self.file_size = file_size
        self._stream = stream
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
            _("{path} is damaged: {what} (at byte {at}).").format(path=self.path, what=what, at=place),
            hint=_("Get the file again; if it stays so, whoever made it wrote it wrong."),
            path=str(self.path),
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
        raw = self.take(self.number("<Q", what), what)
        try:
            return raw.decode("utf-8", errors)
        except UnicodeDecodeError:
            shown = printable(raw[:40].decode("utf-8", "replace"))
            raise self.damaged(_("{what} is not UTF-8: {text!r}").format(what=what, text=shown), at) from None

    def skip_texts(self, count: int, what: str) -> None:
        """Pass over ``count`` strings. The hot loop of this reader: a vocabulary has 50,000 to 500,000 of them."""
        if count > self.remaining // 8:
            raise self._ends(what, count * 8, self.remaining)
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
        if self.position + count > HEADER_LIMIT:
            limit = format_bytes(HEADER_LIMIT)
            raise self.damaged(_("its header passes {limit} within {what}").format(limit=limit, what=what))

    def _refill(self, count: int) -> None:
        tail = self._block[self._at :]
        self._start, self._at = self.position, 0
        self._block = tail + self._stream.read(max(_BLOCK, count) - len(tail))

    def _ends(self, what: str, needed: int, left: int) -> FileDamaged:
        return self.damaged(
            _("it ends inside {what}, which needs {needed} bytes where {left} are left").format(
                what=what, needed=needed, left=left
            )
        )
