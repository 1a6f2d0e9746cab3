"""A plan with better figures in it: llama.cpp's own answer, or what is loaded beside the model."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from ultralab.assess.engines import MEMORY
from ultralab.assess.plan import doubts, fits, longest
from ultralab.assess.types import Plan
from ultralab.kernel.language import N_
from ultralab.planner.types import Amount, MemoryPlan

if TYPE_CHECKING:
    from ultralab.assess.exact import ExactAnswer

_ASKED: Final = N_("llama.cpp's own answer, on this machine's backend")
_ASKED_ELSEWHERE: Final = N_("llama.cpp's own answer, on the backend of the machine that asked; another may differ")
_ELSEWHERE: Final = 0.05
"""As far as the planner's own figure may be off (``planner.compute.ERROR_BAND``): it is of the same backend."""


def with_answer(plan: Plan, answer: ExactAnswer) -> Plan:
    """llama.cpp's figures in place of ours; the process around them stays an estimate, and for another machine than the
    one that asked so do the compute buffers, which depend on its backend.
    """
    weights, cache = (Amount(amount, 0.0, _ASKED) for amount in (answer.weights, answer.kv_cache))
    here = plan.place.is_this
    compute = Amount(answer.compute, 0.0 if here else _ELSEWHERE, _ASKED if here else _ASKED_ELSEWHERE)
    return with_memory(plan, MemoryPlan(weights, cache, compute, plan.memory.overhead))


def with_memory(plan: Plan, memory: MemoryPlan, beside: Plan | None = None) -> Plan:
    """The same plan with other memory, and with what follows from it: whether it fits, the longest context, the doubts.

    ``beside``: of another model in that memory, its cache grows with the same context. All else that the planner's own
    figure does not hold is taken to be the same at any context.
    """
    old = doubts(plan.header, plan.memory)
    warnings = [warning for warning in plan.warnings if warning not in old]
    warnings += beside.warnings if beside else ()
    warnings += doubts(plan.header, memory) if plan.header.shape.cache is None else ()
    return replace(
        plan,
        memory=memory,
        fits=fits(memory, plan.place.limit_bytes),
        max_context=_longest(plan, memory, beside),
        warnings=tuple(dict.fromkeys(warnings)),
    )


def _longest(plan: Plan, memory: MemoryPlan, beside: Plan | None) -> int | None:
    both = (plan,) if beside is None else (plan, beside)
    demand, limit = plan.question.demand, plan.place.limit_bytes

    def planned(context: int) -> int:
        return sum(
            MEMORY[one.question.engine](one.header.shape, replace(demand, context=context)).total for one in both
        )

    if any(one.header.shape.cache is None for one in both):
        return None
    more = memory.total - planned(demand.context)
    return longest(lambda context: planned(context) + more, plan.header.shape.trained_context, demand.context, limit)
