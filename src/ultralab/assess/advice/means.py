"""Advice with the planner's own answers: which engine holds what, and how fast a machine would be."""

from __future__ import annotations

from ultralab.assess.advice.types import Means, Speeds
from ultralab.assess.engines import BY_FORMAT, MEMORY
from ultralab.assess.speeds import speeds_of
from ultralab.assess.types import Place, Question
from ultralab.planner.speed import Calibration
from ultralab.planner.types import Demand, MemoryPlan, ModelShape


def means_of(place: Place, calibration: Calibration | None) -> Means:
    """What advice asks, for one machine and what was measured on it. Decode counts with the context full.

    Ollama is left out: it holds what llama.cpp holds.
    """

    def memory(shape: ModelShape, demand: Demand, engine: str) -> MemoryPlan:
        return MEMORY[engine](shape, demand)

    def speeds(shape: ModelShape, question: Question, quantization: str) -> Speeds:
        found = speeds_of(shape, question, quantization, place.hardware, calibration)
        return found.decode, found.prefill, found.ttft

    return Means(memory, speeds, lambda name: tuple(engine for engine in BY_FORMAT.get(name, ()) if engine != "ollama"))
