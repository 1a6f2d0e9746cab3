"""How fast a model would be on a machine: the planner's answers, and none where the architecture is not known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ultralab.assess.types import Question
from ultralab.kernel.language import N_
from ultralab.planner.hardware import Hardware, Speed
from ultralab.planner.speed import Calibration, decode, prefill, ttft, work_of
from ultralab.planner.types import ModelShape, Prediction

_UNKNOWN: Final = N_("unknown, because the architecture is")
_AT_MOST: Final = N_("unknown, because the architecture is; at most what the weights alone would allow")


@dataclass(frozen=True)
class Speeds:
    """``decode`` with the context full, ``decode_begun`` with the prompt in the cache (tok/s), ``ttft`` in seconds."""

    decode: Speed
    decode_begun: Speed
    prefill: Speed
    ttft: Prediction


def speeds_of(
    shape: ModelShape, question: Question, quantization: str, hardware: Hardware, calibration: Calibration | None
) -> Speeds:
    """Pure. Where the architecture is not known, no speed is named, only what it cannot exceed."""
    demand, prompt = question.demand, min(question.prompt, question.demand.context)
    full, begun = (work_of(shape, demand, cached, quantization) for cached in (demand.context, prompt))
    machine = (hardware, question.engine, calibration)
    found = Speeds(
        decode(full, *machine), decode(begun, *machine), prefill(begun, prompt, *machine), ttft(begun, prompt, *machine)
    )
    if shape.cache is not None:
        return found
    unknown = Prediction(0.0, 0.0, 0.0, _UNKNOWN)
    return Speeds(_at_most(found.decode), _at_most(found.decode_begun), _at_most(found.prefill), unknown)


def _at_most(speed: Speed) -> Speed:
    """What cannot be exceeded, and no value."""
    return Speed(Prediction(0.0, 0.0, speed.prediction.high, _AT_MOST))
