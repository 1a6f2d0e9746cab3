"""A graph of tensors without their contents: sizes, who reads whom, who looks into whose memory.

The same notions as ggml's (``ggml.c``): a tensor is computed from its sources; a view has no memory of its own; some
operations may write into the memory of a source that nobody else reads. What is not in the compute buffer (weights,
the KV cache, states) does not appear; what is written there appears as :meth:`Graph.store`.
"""

from __future__ import annotations

from typing import Final

F32: Final = 4
F16: Final = 2
I64: Final = 8

Sides = tuple[int, ...]


class Tensor:
    """One tensor: ``sides`` with the row first, ``root`` what it looks into where it is a view.

    ``children`` and ``views`` are the allocator's counters, ``owned`` and ``address`` what it decided.
    """

    __slots__ = (
        "address", "children", "element", "in_place", "kept", "leaf", "nbytes", "owned", "root", "sides", "sources", "views",
        "visited",
    )  # fmt: skip

    def __init__(self, sides: Sides, sources: tuple[Tensor, ...], element: int = F32) -> None:
        self.sides = sides
        self.element = element
        self.sources = sources
        size = element
        for side in sides:
            size *= side
        self.nbytes = size
        self.root: Tensor | None = None
        self.in_place = self.kept = self.leaf = self.visited = self.owned = False
        self.children = self.views = self.address = 0

    def like(self, other: Tensor) -> bool:
        """Whether both have the same layout, so that one may take the other's memory."""
        if self.nbytes != other.nbytes or self.element != other.element:
            return False
        return self.sides == other.sides or _four(self.sides) == _four(other.sides)


def _four(sides: Sides) -> Sides:
    return sides + (1,) * (4 - len(sides))


class Graph:
    """Nodes in the order in which llama.cpp computes them: sources before what reads them, from left to right."""

    def __init__(self) -> None:
        self.nodes: list[Tensor] = []
        self.leaves: list[Tensor] = []

    def input(self, *sides: int, element: int = F32) -> Tensor:
        """A tensor that is filled from outside before the graph runs."""
        found = Tensor(sides, (), element)
        found.leaf = True
        return found

    def new(self, sides: Sides, *sources: Tensor, element: int = F32) -> Tensor:
        """An operation with memory of its own (a matrix product, gated activation, concatenation …)."""
        return Tensor(sides, sources, element)

    def over(self, *sources: Tensor) -> Tensor:
        """An operation shaped like its first source, in place where it may be (a sum, product, norm, rotation …)."""
        found = Tensor(sources[0].sides, sources, sources[0].element)
        found.in_place = True
        return found

    def rows(self, source: Tensor, ids: Tensor, count: int) -> Tensor:
        """``count`` rows of a matrix."""
        return Tensor((source.sides[0], count), (source, ids))

    def reshape(self, source: Tensor, *sides: int) -> Tensor:
        """The same memory under other sides."""
        return self.view(source, sides)

    def view(self, source: Tensor, sides: Sides) -> Tensor:
        """A look into another tensor's memory, from its beginning or from anywhere behind it."""
        found = Tensor(sides, (source,), source.element)
        found.root = source.root or source
        return found

    def store(self, *sources: Tensor) -> None:
        """Write into memory that is not in this buffer."""
        found = Tensor((0,), sources)
        found.owned = found.kept = True
        self.expand(found)

    def expand(self, tensor: Tensor) -> Tensor:
        """Put it, and what it is computed from, behind the graph (ggml's ``ggml_build_forward_expand``)."""
        if not tensor.visited:
            tensor.visited = True
            for source in tensor.sources:
                if not source.visited:
                    self.expand(source)
            (self.leaves if tensor.leaf else self.nodes).append(tensor)
        return tensor
