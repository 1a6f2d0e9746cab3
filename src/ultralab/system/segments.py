"""Writing a program's output down: exact bytes, bounded size. Standard library only. :mod:`output` reads it again.

The stream is cut into files ``output-<offset of the first byte, 20 digits>.log``. The first one is kept for good (how
it began), then the newest ones (how it ended). What is missing between them is known from names and sizes alone.
"""

# Without pathlib, which costs milliseconds of the supervisor's start.
# ruff: noqa: PTH108, PTH118

from __future__ import annotations

import os
from contextlib import suppress

SMALLEST = 4096
"""Bytes of the smallest segment; a limit below four of them counts as four."""

_PARTS = 4
_MOST = 64  # files: a disk that is full and not full by turns must not make thousands


def name(offset: int) -> str:
    """The file name of the segment whose first byte is number ``offset`` of the stream."""
    return f"output-{offset:020d}.log"


def offset(filename: str) -> int | None:
    """The offset that a segment's file name tells; None: it is no segment's name."""
    digits = filename[7:-4]
    return int(digits) if digits.isdecimal() and digits.isascii() and filename == name(int(digits)) else None


class Writer:
    """The one writer of a folder's output. ``limit``: the most bytes that it keeps on the disk, in segments of a
    quarter of it. ``total``: bytes seen; ``lost``: those that the disk refused. It never raises an OSError.

    After a refusal the next bytes that the disk takes start a new segment at their true offset.
    """

    def __init__(self, folder: str | os.PathLike[str] | bytes, limit: int) -> None:
        self.total = 0
        self.lost = 0
        self._folder = os.fsencode(folder)
        self._size = max(limit // _PARTS, SMALLEST)
        self._kept: list[tuple[int, int]] = []  # closed segments: offset, size
        self._file: int | None = None
        self._begin = 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Add bytes to the stream; what the disk refuses is counted as lost."""
        rest = memoryview(data)
        while rest:
            count = 0
            try:
                count = self._write_some(rest)
            except OSError:
                self._leave()
                self.lost += len(rest)
                self.total += len(rest)
                return
            self.total += count
            rest = rest[count:]

    def close(self) -> None:
        """Close the output and put it on the disk. Idempotent."""
        self._leave()
        for begin, _size in self._kept:
            with suppress(OSError):
                file = os.open(self._path(begin), os.O_RDONLY)
                try:
                    os.fsync(file)
                finally:
                    os.close(file)

    def _write_some(self, data: memoryview) -> int:
        if self._file is not None and self.total - self._begin >= self._size:
            self._leave()
        if self._file is None:
            self._begin = self.total
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND
            self._file = os.open(self._path(self._begin), flags, 0o600)
        part = data[: self._size - (self.total - self._begin)]
        self._make_room(len(part))
        return os.write(self._file, part)

    def _make_room(self, coming: int) -> None:
        """Remove the oldest segments but the first until ``coming`` bytes more are within the limit."""
        inside = self.total - self._begin + coming
        while len(self._kept) > 1 and (
            sum(size for _, size in self._kept) + inside > _PARTS * self._size or len(self._kept) >= _MOST
        ):
            begin, _size = self._kept.pop(1)
            with suppress(OSError):
                os.unlink(self._path(begin))

    def _leave(self) -> None:
        """Close the present segment; an empty one (the disk refused its first byte) is removed."""
        if self._file is None:
            return
        os.close(self._file)
        self._file = None
        if self.total > self._begin:
            self._kept.append((self._begin, self.total - self._begin))
        else:
            with suppress(OSError):
                os.unlink(self._path(self._begin))

    def _path(self, begin: int) -> bytes:
        return os.path.join(self._folder, os.fsencode(name(begin)))
