"""The plan of one model on one machine: memory, whether it fits, how long a context may be, how fast it would be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from ultralab.assess.engines import MEMORY
from ultralab.assess.speeds import speeds_of
from ultralab.assess.types import Place, Plan, Question
from ultralab.kernel.errors import RequestError
from ultralab.kernel.language import _
from ultralab.models.formats.base import ModelHeader
from ultralab.planner.speed import Calibration
from ultralab.planner.types import MemoryPlan, ModelShape

MOST_CONTEXT: Final = 100_000_000
MOST_SEQUENCES: Final = 256
"""llama.cpp's own limit (``llama-cparams.h``: ``LLAMA_MAX_SEQ``)."""
_STEP: Final = 256
_LOOKS: Final = 6
_UNTRAINED: Final = 1_048_576
"""How far the longest context is looked for where a header does not say what the model was trained for."""


def plan(name: str, header: ModelHeader, question: Question, place: Place, calibration: Calibration | None) -> Plan:
    """Answer a question about a header. Pure, a few milliseconds. Raises RequestError for absurd numbers.

    A prompt longer than the context is cut to it. Where the architecture is not known, no speed is named, only what it
    cannot exceed.
    """
    require_sensible(question)
    shape, demand = header.shape, question.demand
    memory = MEMORY[question.engine](shape, demand)
    prompt = min(question.prompt, demand.context)
    speeds = speeds_of(shape, question, header.quantization, place.hardware, calibration)
    return Plan(
        name=name,
        header=header,
        question=replace(question, prompt=prompt),
        place=place,
        memory=memory,
        fits=fits(memory, place.limit_bytes),
        max_context=max_context(shape, question, place.limit_bytes),
        decode=speeds.decode,
        decode_begun=speeds.decode_begun,
        prefill=speeds.prefill,
        ttft=speeds.ttft,
        warnings=(*_cautions(header, question), *doubts(header, memory)),
    )


def require_sensible(question: Question) -> None:
    """Raises RequestError for a question that no engine can be asked."""
    demand = question.demand
    for what, value, most in (
        (_("the context"), demand.context, MOST_CONTEXT),
        (_("the number of sequences"), demand.sequences, MOST_SEQUENCES),
        (_("the prompt"), question.prompt, MOST_CONTEXT),
        (_("the micro-batch"), demand.ubatch, 1_048_576),
    ):
        if not 1 <= value <= most:
            raise RequestError(
                _("{what} is {value}; it must be from 1 to {most}.").format(what=what, value=value, most=most),
                hint=_("Give a number of tokens or sequences that a model could be loaded with."),
                value=value,
                most=most,
            )
    if not demand.flash and demand.value_type not in ("f16", "f32", "bf16"):
        raise RequestError(
            _("A quantized cache of values ({type}) needs flash attention.").format(type=demand.value_type),
            hint=_("Leave out --no-flash, or keep the cache in f16."),
            type=demand.value_type,
        )


def fits(memory: MemoryPlan, limit: int) -> bool | None:
    """Whether it fits. What is not known is an upper bound: only weights that are too large alone are then a no."""
    if memory.total <= limit:
        return True
    return False if memory.known or memory.weights.bytes > limit else None


def max_context(shape: ModelShape, question: Question, limit: int) -> int | None:
    """The longest context that fits, at most what the model was trained for; 0 where none does, None where unknown."""
    memory = MEMORY[question.engine]
    asked = memory(shape, question.demand)
    if not asked.known:
        return None
    if asked.weights.bytes > limit:
        return 0

    def needed(context: int) -> int:
        return memory(shape, replace(question.demand, context=context)).total

    return longest(needed, shape.trained_context, question.demand.context, limit)


def longest(needed: Callable[[int], int], trained: int, asked: int, limit: int) -> int:
    """The longest context of at most ``trained`` tokens (0: not said) for which ``needed`` is within ``limit``, to 256
    tokens; 0 for none. ``needed`` never falls when the context grows. ``asked``: a context whose need is known already,
    where the search begins.
    """
    most = trained or _UNTRAINED

    def spare(steps: int) -> int:
        return limit - needed(min(steps * _STEP, most))

    last, now = -(-most // _STEP), limit - needed(asked)
    if now >= 0 and asked >= most:
        return most
    low, begun = (asked // _STEP, now) if now >= 0 and asked >= _STEP else (1, spare(1))
    if begun < 0:
        return 0
    high, left = (-(-asked // _STEP), now) if now < 0 and asked < most else (last, spare(last))
    return most if left >= 0 else _last_that_fits(spare, low, high, begun, left) * _STEP


def _last_that_fits(spare: Callable[[int], int], low: int, high: int, begun: int, left: int) -> int:
    """The last step with nothing missing. What is spare falls almost in a straight line, so that line says where to look;
    after a few looks the rest is halved. ``begun``: spare at ``low``, which fits; ``left``: at ``high``, below 0.
    """
    looks = 0
    while high - low > 1:
        looks += 1
        line = low + begun * (high - low) // max(1, begun - left)
        middle = min(max(line if looks <= _LOOKS else (low + high) // 2, low + 1), high - 1)
        if (found := spare(middle)) >= 0:
            low, begun = middle, found
        else:
            high, left = middle, found
    return low


def _cautions(header: ModelHeader, question: Question) -> tuple[str, ...]:
    found = []
    trained, context = header.shape.trained_context, question.demand.context
    if trained and context > trained:
        said = _("The context of {context} tokens is beyond the {trained} that the model was trained for; ")
        more = _("the memory is right, what the model makes of it is not known.")
        found.append(said.format(context=context, trained=trained) + more)
    found += [_("Loading it could run code: {finding}").format(finding=finding) for finding in header.unsafe[:1]]
    return tuple(found)


def doubts(header: ModelHeader, memory: MemoryPlan) -> tuple[str, ...]:
    """What has to be said about figures that are not known (translated)."""
    if memory.known:
        return ()
    said = _("The architecture {name!r} is not known: the weights are exact, the rest is an upper bound.")
    return (said.format(name=header.shape.architecture),)
