"""How large a buffer ggml plans for a graph: each tensor gets a place when it is computed and gives it back after its
last reader. Source of the rules: ggml's ``ggml-alloc.c`` (``ggml_gallocr_alloc_graph_impl``, ``ggml_dyn_tallocr``).
"""

from __future__ import annotations

from bisect import bisect
from typing import Final

from ultralab.planner.compute.tensors import Graph, Tensor

ALIGNMENT: Final = 32
"""Bytes to which ggml's CPU backend rounds a tensor (``ggml-backend.cpp``: ``TENSOR_ALIGNMENT``)."""
_ENDLESS: Final = 1 << 62


def buffer_bytes(graph: Graph) -> int:
    """The size of the buffer in which every tensor of the graph finds its place in time."""
    space = _Space()
    for leaf in graph.leaves:
        _place(space, leaf)
    for node in graph.nodes:
        if node.root is not None:
            node.root.views += 1
        for source in node.sources:
            source.children += 1
    for node in graph.nodes:
        if node.root is None and not node.owned:
            _place(space, node)
        for source in node.sources:
            source.children -= 1
            if not source.children and not source.views:
                _let_go(space, source)
    return space.largest


def unshared_bytes(graph: Graph) -> int:
    """What the graph's tensors would take if none used another's memory: an upper bound of any plan."""
    return sum(_rounded(node.nbytes) for node in (*graph.leaves, *graph.nodes) if node.root is None)


def _place(space: _Space, node: Tensor) -> None:
    node.owned = True
    if node.in_place:
        for source in node.sources:
            if source.owned and not source.kept and source.children == 1 and not source.views and node.like(source):
                node.address, source.owned = source.address, False
                return
    node.address = space.take(_rounded(node.nbytes))


def _let_go(space: _Space, source: Tensor) -> None:
    owner = source
    if source.root is not None:
        owner = source.root
        owner.views -= 1
        if owner.views or owner.children:
            return
    if owner.owned and not owner.kept:
        space.give(owner.address, _rounded(owner.nbytes))
        owner.owned = False


def _rounded(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


class _Space:
    """Free stretches by address; the last has no end. The smallest stretch that is large enough is taken."""

    def __init__(self) -> None:
        self._free = [(0, _ENDLESS)]
        self.largest = 0

    def take(self, size: int) -> int:
        free = self._free
        best, best_size = len(free) - 1, _ENDLESS
        for index in range(len(free) - 1):
            if size <= free[index][1] <= best_size:
                best, best_size = index, free[index][1]
        start, found = free[best]
        if found == size:
            del free[best]
        else:
            free[best] = (start + size, found - size)
        self.largest = max(self.largest, start + size)
        return start

    def give(self, start: int, size: int) -> None:
        if not size:
            return
        free = self._free
        index = bisect(free, (start, 0))
        if start + size == free[index][0]:
            size += free.pop(index)[1]
        if index and sum(free[index - 1]) == start:
            index -= 1
            before, length = free.pop(index)
            start, size = before, length + size
        free.insert(index, (start, size))
