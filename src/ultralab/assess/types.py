"""What is asked about a model, where, and the answer."""

from __future__ import annotations

from dataclasses import dataclass

from ultralab.models.formats.base import ModelHeader
from ultralab.planner.hardware import Hardware, Speed
from ultralab.planner.types import Demand, MemoryPlan, Prediction


@dataclass(frozen=True)
class Place:
    """A machine to plan for. ``limit_bytes``: what models may take in all; ``basis`` says where that is from
    (translated). ``in_use_bytes``: what other models hold of it at the moment; ``free_bytes``: physical memory that is
    free now, None for a machine that is only planned for.
    """

    name: str
    hardware: Hardware
    memory_bytes: int
    limit_bytes: int
    basis: str
    in_use_bytes: int = 0
    free_bytes: int | None = None

    @property
    def is_this(self) -> bool:
        """Whether it is the machine that the question was asked on."""
        return self.free_bytes is not None


@dataclass(frozen=True)
class Question:
    """How a model is to be loaded and used: ``prompt`` tokens come first, then it decodes with them in the cache."""

    demand: Demand
    engine: str = "llamacpp"
    prompt: int = 512


@dataclass(frozen=True)
class Plan:
    """The answer. ``decode`` is with the context full, ``decode_begun`` with the prompt in the cache. ``fits`` None: nobody can say. ``max_context``: the longest context that fits, None where that is
    unknown, 0 where none does. ``warnings`` are translated.
    """

    name: str
    header: ModelHeader
    question: Question
    place: Place
    memory: MemoryPlan
    fits: bool | None
    max_context: int | None
    decode: Speed
    decode_begun: Speed
    prefill: Speed
    ttft: Prediction
    warnings: tuple[str, ...] = ()
