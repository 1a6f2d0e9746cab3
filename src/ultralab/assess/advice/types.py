"""What advice is about and what it says: plain values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ultralab.assess.advice.quality import KnownLoss
from ultralab.assess.types import Place, Question
from ultralab.planner.hardware import Speed
from ultralab.planner.types import Demand, MemoryPlan, ModelShape, Prediction

Speeds = tuple[Speed, Speed, Prediction]
"""Decode and prefill (tok/s), time to the first token (seconds)."""


@dataclass(frozen=True)
class Means:
    """What advice asks the planner: memory of a shape in an engine, speeds (the last argument is the quantization), and
    which engines can load a format, the preferred one first.
    """

    memory: Callable[[ModelShape, Demand, str], MemoryPlan]
    speeds: Callable[[ModelShape, Question, str], Speeds]
    engines: Callable[[str], tuple[str, ...]]


@dataclass(frozen=True)
class Candidate:
    """One thing that could be loaded. ``size_band``: how far off ``shape.weight_bytes`` may be, a part of it.

    ``names``: what its model goes by, for figures of quality. ``ref``: what to pull, empty where that is not known.
    ``trained_bits``: more bits than these are no better.
    """

    name: str
    format: str
    quantization: str
    shape: ModelShape
    names: tuple[str, ...] = ()
    size_band: float = 0.0
    size_basis: str = ""
    ref: str = ""
    trained_bits: int = 16

    @property
    def bits_per_weight(self) -> float:
        """Bits stored for each number."""
        return 8 * self.shape.weight_bytes / max(1, self.shape.parameters)


@dataclass(frozen=True)
class Wish:
    """What is wanted: tokens of context, decoded tokens per second, prompt, sequences, and part of the limit left free.

    ``least_bits``: below so many bits per weight a quantization is taken only where nothing else fits.
    """

    context: int = 32_768
    least_decode: float = 10.0
    prompt: int = 2_048
    sequences: int = 1
    key_type: str = "f16"
    value_type: str = "f16"
    margin: float = 0.02
    least_bits: float = 4.0


@dataclass(frozen=True)
class Row:
    """One line of the table. ``needed``: the total with its own error and that of the size, bytes. ``fits`` None: nobody
    can say. ``tight``: it fits, but leaves less than the margin that is wished for, so it is not chosen.
    """

    candidate: Candidate
    question: Question
    memory: MemoryPlan
    needed: int
    fits: bool | None
    decode: Speed
    prefill: Speed
    ttft: Prediction
    loss: KnownLoss | None
    tight: bool = False


@dataclass(frozen=True)
class Change:
    """Something that could be changed, what it comes to, and whether that helps. ``sentence`` is translated."""

    kind: str
    sentence: str
    total_bytes: int
    fits: bool | None


@dataclass(frozen=True)
class Advice:
    """The table, the row that is chosen (None where none is), and why, in sentences (translated)."""

    name: str
    place: Place
    wish: Wish
    rows: tuple[Row, ...]
    chosen: Row | None
    why: tuple[str, ...]
    changes: tuple[Change, ...] = ()
    machines: int | None = None
