"""A question to the planner as a person asks it, and what it means in this lab."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ultralab.app.lab import Lab

if TYPE_CHECKING:
    from ultralab.assess.types import Place, Question
    from ultralab.planner.speed import Calibration


@dataclass(frozen=True)
class Asked:
    """How a model is to be loaded. ``context`` None: the setting's; ``engine`` empty: by the format; ``machine``:
    ``this`` or a name of ``assess.places``.
    """

    context: int | None = None
    key_type: str = "f16"
    value_type: str = "f16"
    parallel: int = 1
    unified: bool = False
    engine: str = ""
    machine: str = "this"
    prompt: int = 512
    ubatch: int = 512
    flash: bool = True


def question(lab: Lab, asked: Asked, format_name: str) -> Question:
    """The question about a model of this format. Raises UnknownChoice, Unsupported, RequestError."""
    from ultralab.assess.engines import engine_for
    from ultralab.assess.plan import require_sensible
    from ultralab.assess.types import Question
    from ultralab.planner.types import Demand

    demand = Demand(
        context=lab.settings.engines.context if asked.context is None else asked.context,
        sequences=asked.parallel,
        unified=asked.unified,
        key_type=asked.key_type,
        value_type=asked.value_type,
        flash=asked.flash,
        ubatch=asked.ubatch,
    )
    found = Question(demand, engine_for(format_name, asked.engine), asked.prompt)
    require_sensible(found)
    return found


def place(lab: Lab, name: str) -> Place:
    """The machine to plan for. Raises UnknownChoice."""
    from ultralab import memory
    from ultralab.assess import places
    from ultralab.assess.calibration import calibrate
    from ultralab.machine import available_memory

    if name.strip().casefold() != places.THIS:
        return places.place(name)
    limit = lab.ledger.limit
    kept = calibrate.read(lab.home, lab.machine)
    reading = kept.reading.bytes_per_second if kept else 0.0
    return places.this_place(lab.machine, limit, limit - memory.free(lab.ledger), available_memory(), reading)


def calibration(lab: Lab, name: str) -> tuple[Calibration | None, str]:
    """What was measured on this machine, and a sentence where that cannot be used; nothing for another machine."""
    from ultralab.assess import places
    from ultralab.assess.calibration import calibrate

    if name.strip().casefold() != places.THIS:
        return None, ""
    kept, warning = calibrate.read_with_warning(lab.home, lab.machine)
    return (kept.calibration if kept else None), warning
