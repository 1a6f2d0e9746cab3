"""Reading what a program put out, while it is still being written too: exact bytes, and what is missing.

Written by :class:`~ultralab.system.segments.Writer`, which may remove any segment but the first at any moment.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ultralab.system.segments import Writer, offset

__all__ = ["Gap", "Writer", "read", "segments", "tail_offset", "total"]

_BLOCK = 256 * 1024


@dataclass(frozen=True)
class Gap:
    """``length`` bytes of the stream from ``offset`` on are not kept: over the limit, or refused by a full disk."""

    offset: int
    length: int


def segments(folder: Path) -> list[tuple[int, Path, int]]:
    """The segments that are there, by offset: offset and size in bytes. A folder that is not there has none."""
    found: list[tuple[int, Path, int]] = []
    try:
        names = [path.name for path in folder.iterdir()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    for filename in names:
        begin = offset(filename)
        if begin is not None:
            try:
                found.append((begin, folder / filename, (folder / filename).stat().st_size))
            except FileNotFoundError:  # rotated away since
                continue
    return sorted(found)


def total(folder: Path) -> int:
    """The length in bytes of the stream so far, as far as its segments tell (a lost end leaves no trace in them)."""
    return max((begin + size for begin, _path, size in segments(folder)), default=0)


def read(folder: Path, start: int = 0, end: int | None = None) -> Iterator[bytes | Gap]:
    """The bytes of the stream from ``start`` to ``end`` (None: to what is there now), with a Gap for what is missing.

    ``end`` beyond what is there is what is there. A segment that vanishes meanwhile becomes a gap.
    """
    there = segments(folder)
    whole = max((begin + size for begin, _path, size in there), default=0)
    stop = whole if end is None else min(end, whole)
    position = max(start, 0)
    for begin, path, size in there:
        if begin >= stop:
            break
        for at, block in _blocks(path, begin, position, min(begin + size, stop)):
            if at > position:
                yield Gap(position, at - position)
            yield block
            position = at + len(block)
    if position < stop:
        yield Gap(position, stop - position)


def _blocks(path: Path, begin: int, start: int, stop: int) -> Iterator[tuple[int, bytes]]:
    """The bytes of one segment that lie between two offsets of the stream, each block with its offset."""
    position = max(begin, start)
    if position >= stop:
        return
    try:
        stream = path.open("rb", buffering=0)
    except FileNotFoundError:
        return
    with stream:
        stream.seek(position - begin)
        while position < stop and (block := stream.read(min(_BLOCK, stop - position))):
            yield position, block
            position += len(block)


def tail_offset(folder: Path, lines: int) -> int:
    """Where the last ``lines`` lines begin; a last line without its newline is one. 0 where there are not so many."""
    there = segments(folder)
    wanted = lines  # line ends to find before the last byte
    last = total(folder)
    if lines <= 0:
        return last
    for begin, path, size in reversed(there):
        stop = begin + size
        while stop > begin:
            start = max(begin, stop - _BLOCK)
            block = b"".join(part for _at, part in _blocks(path, begin, start, stop))
            if stop == last and block.endswith(b"\n"):
                block = block[:-1]
            found = block.count(b"\n")
            if found >= wanted:
                return start + _nth_from_the_end(block, wanted) + 1
            wanted -= found
            stop = start
    return 0


def _nth_from_the_end(block: bytes, number: int) -> int:
    position = len(block)
    for _ in range(number):
        position = block.rindex(b"\n", 0, position)
    return position
