"""The machines that can be planned for, and this one's limits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ultralab.app.lab import Lab
from ultralab.app.plan_questions import place

if TYPE_CHECKING:
    from ultralab.assess.limits import LimitAdvice
    from ultralab.assess.types import Place


@dataclass(frozen=True)
class Limits:
    """A machine's limit, who holds what of its memory (sentences), and what could be done; None where nothing can."""

    place: Place
    sentences: tuple[str, ...]
    advice: LimitAdvice | None
    data: dict[str, Any]


def listed(lab: Lab) -> list[dict[str, Any]]:
    """The machine one is on, then the named ones."""
    from ultralab.assess.data import place_data
    from ultralab.assess.places import places

    return [place_data(one) for one in (place(lab, "this"), *places())]


def limits(lab: Lab, machine: str) -> Limits:
    """What models may take, who holds it, how to raise it. Changes nothing. Raises UnknownChoice."""
    from ultralab import memory
    from ultralab.assess.data import place_data
    from ultralab.assess.limits import advice_on_limit, read_wired_limit_mb
    from ultralab.assess.memory_use import memory_use, sentences

    where = place(lab, machine)
    data: dict[str, Any] = {"machine": place_data(where)}
    said: tuple[str, ...] = ()
    if where.is_this:
        use = memory_use(where.memory_bytes, where.limit_bytes, where.in_use_bytes)
        said = sentences(use, memory.holders(lab.ledger))
        data |= {"use": use.to_data()}
    advice = None
    if where.hardware.gpu:
        current = lab.machine.gpu_memory_limit_bytes if where.is_this else where.limit_bytes
        advice = advice_on_limit(where.memory_bytes, current, read_wired_limit_mb() if where.is_this else 0)
    return Limits(where, said, advice, {**data, "advice": advice.to_data() if advice else None})
