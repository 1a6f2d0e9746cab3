"""The geometry of a download in parts: what is missing, and what a connection asks for next. Pure."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import Final

BLOCK: Final = 8 * 1024 * 1024
"""Bytes of a block: the unit of the journal's check sums, and of what is fetched again when it is damaged."""

LONGEST: Final = 8
"""Blocks that one request asks for at most: a request costs a round trip, so a fast line wants few of them."""


@dataclass(frozen=True)
class Run:
    """Blocks ``first`` to ``last`` (inclusive), of which the bytes from ``start`` up to ``end`` are missing."""

    first: int
    last: int
    start: int
    end: int

    @property
    def blocks(self) -> range:
        """The numbers of its blocks."""
        return range(self.first, self.last + 1)


def count(size: int) -> int:
    """How many blocks a file of ``size`` bytes has."""
    return -(-size // BLOCK)


def length(size: int, index: int) -> int:
    """Bytes of one block: the last one may be short."""
    return min(BLOCK, size - index * BLOCK)


def next_run(have: Sequence[int], size: int, claimed: Container[int], connections: int, floor: int = 0) -> Run | None:
    """The first missing bytes that nobody fetches, None if there are none.

    ``have`` counts the bytes at the beginning of each block; blocks below ``floor`` are known to be complete. Runs get
    shorter towards the end, so that all connections end at about the same time. A run never goes on into a block that
    was begun: its beginning would be fetched again.
    """
    blocks = len(have)
    open_blocks = (index for index in range(floor, blocks) if index not in claimed)
    first = next((index for index in open_blocks if have[index] < length(size, index)), None)
    if first is None:
        return None
    most = max(1, min(LONGEST, (blocks - first) // (2 * max(1, connections))))
    last = first
    while last + 1 < blocks and last + 1 - first < most and not have[last + 1] and last + 1 not in claimed:
        last += 1
    return Run(first, last, first * BLOCK + have[first], last * BLOCK + length(size, last))
