"""What the layers of one graph share: its tensors, how many tokens it computes, and the inputs that they read."""

from __future__ import annotations

from ultralab.planner.blocks import Attention, Block, Latent, StateSpace
from ultralab.planner.compute.tensors import F16, F32, I64, Graph, Tensor
from ultralab.planner.kv_cache import cells
from ultralab.planner.types import AttentionLayers, Demand

_PLAIN = frozenset({"f32", "f16", "bf16"})


class Workspace:
    """A graph under construction for a micro-batch of ``batch`` tokens; ``tokens``: rounded up to ``each`` of a sequence.

    Rounded only where sequences lie apart: otherwise llama.cpp rounds too, which is a few rows that fewer sequences may
    have more of, so that more sequences would seem to take less.

    ``standing_for``: how many layers of the model the layer under construction stands for.
    """

    def __init__(self, blocks: tuple[Block, ...], embedding: int, demand: Demand) -> None:
        self.graph = Graph()
        self.embedding = embedding
        self.demand = demand
        self.flash = demand.flash
        self.streams = 1 if demand.unified else demand.sequences
        self.batch = max(1, min(demand.ubatch, demand.context * self.streams))
        states = any(isinstance(mixer, StateSpace) for block in blocks for mixer in block.mixers)
        apart = demand.sequences if states or not demand.unified else 1
        self.each = -(-self.batch // apart)
        self.tokens = self.each * apart
        self.key_element = F16 if demand.key_type != "f32" else F32
        self.positions = self.graph.input(self.tokens)
        self.copied = self.graph.input(demand.sequences)
        self._widest = max((_value_width(mixer) for block in blocks for mixer in block.mixers), default=0)
        self.standing_for = 1
        self._inputs: dict[tuple[str, bool, int], Tensor] = {}

    def cells(self, window: int) -> int:
        """Cells per stream that a layer looks at."""
        return cells(AttentionLayers(1, 1, 1, 1, 1, window=window), self.demand)

    def mask(self, window: int) -> Tensor:
        """Which token may look at which cell: one for all layers that look at all, one for those with a window."""
        element = F16 if self.flash else F32
        sides = (self.cells(window), self.tokens // self.streams, 1, self.streams)
        return self._input("mask", window, 0, sides, element)

    def key_places(self, window: int) -> Tensor:
        """Where keys are written: a cell per token."""
        return self._input("keys", window, 0, (self.tokens,), I64)

    def value_places(self, window: int) -> Tensor:
        """Where values are written: a cell per token, or per element where they are stored transposed."""
        return self._input("values", window, 0, (self.tokens * (1 if self.flash else self._widest),), I64)

    def key_rotation(self, width: int, window: int) -> Tensor | None:
        """The matrix that spreads a quantized key's outliers: the largest power of two that divides a head."""
        if self.demand.key_type in _PLAIN or not width or width % 64:
            return None
        side = width & -width
        return self._input("rotate keys", window, side, (side, side), F32)

    def value_rotation(self, width: int, window: int) -> Tensor | None:
        """The same for values, 64 wide."""
        if self.demand.value_type in _PLAIN or not width or width % 64:
            return None
        return self._input("rotate values", window, 64, (64, 64), F32)

    @property
    def index_places(self) -> Tensor:
        """Where the keys of an index are written."""
        return self._input("index keys", 0, 0, (self.tokens,), I64)

    @property
    def index_mask(self) -> Tensor:
        """Which token's index may look at which cell."""
        return self._input("index mask", 0, 0, (self.cells(0), self.tokens // self.streams, 1, self.streams), F16)

    def index_rotation(self, width: int) -> Tensor:
        """The matrix that spreads an index's outliers, whatever type it is kept in."""
        return self._input("rotate index", 0, width, (width, width), F32)

    def _input(self, name: str, window: int, side: int, sides: tuple[int, ...], element: int) -> Tensor:
        key = (name, bool(window), side)
        if key not in self._inputs:
            self._inputs[key] = self.graph.input(*sides, element=element)
        return self._inputs[key]


def _value_width(mixer: object) -> int:
    match mixer:
        case Attention():
            return mixer.kv_heads * mixer.value_dim
        case Latent(absorbed=False):
            return mixer.heads * mixer.value_dim
        case _:
            return 0
