"""A plan with better figures in it: llama.cpp's own answer, or what is loaded beside the model."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from ultralab.assess.plan import fits
from ultralab.assess.types import Plan
from ultralab.kernel.language import N_
from ultralab.planner.types import Amount, MemoryPlan

if TYPE_CHECKING:
    from ultralab.assess.exact import ExactAnswer

_ASKED: Final = N_("llama.cpp's own answer, on this machine's backend")


def with_answer(plan: Plan, answer: ExactAnswer) -> Plan:
    """llama.cpp's figures in place of ours; the process around them stays an estimate."""
    weights, cache, compute = (
        Amount(amount, 0.0, _ASKED) for amount in (answer.weights, answer.kv_cache, answer.compute)
    )
    return with_memory(plan, MemoryPlan(weights, cache, compute, plan.memory.overhead))


def with_memory(plan: Plan, memory: MemoryPlan) -> Plan:
    """The same plan with other memory, and with what follows from it."""
    return replace(plan, memory=memory, fits=fits(memory, plan.place.limit_bytes))
