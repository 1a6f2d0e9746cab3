"""The planner's verbs, wired to this lab: its library, its machine, its measurements."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ultralab.app.lab import Lab
from ultralab.app.plan_questions import Asked, calibration, place, question
from ultralab.app.plan_subjects import Subject, subject
from ultralab.kernel.errors import Unsupported
from ultralab.kernel.language import _

if TYPE_CHECKING:
    from ultralab.assess.exact import ExactAnswer
    from ultralab.assess.types import Plan
    from ultralab.planner.types import MemoryPlan

_LLAMACPP: Final = ("llamacpp", "ollama")
"""Engines that run llama.cpp's code on a GGUF file."""


def show_plan(
    lab: Lab, ref: str, asked: Asked, *, exact: bool = False, draft: str | None = None, projector: str | None = None
) -> dict[str, Any]:
    """A model's plan as data. Raises what reading its header raises, UnknownChoice, Unsupported, RequestError."""
    from ultralab.assess.data import to_data
    from ultralab.assess.refined import with_memory
    from ultralab.planner.attached import with_draft

    made, answered = _answered(lab, ref, asked, exact=exact)
    if draft is not None:
        second, more = _answered(lab, draft, replace(asked, engine=made.question.engine), exact=exact)
        made = with_memory(made, with_draft(made.memory, second.memory), second)
        said = _("The speeds are without the draft model: how much it helps depends on what is written.")
        made = replace(made, warnings=(*made.warnings, said))
        answered = (*answered, *more)
    else:
        second = None
    if projector is not None:
        made = with_memory(made, _seeing(lab, made, projector), second)
    told = {"engine": answered[0].engine, "seconds": sum(one.seconds for one in answered)} if answered else None
    return {**to_data(made), "draft": second.name if second else None, "projector": projector, "exact": told}


def planned(lab: Lab, found: Subject, asked: Asked) -> Plan:
    """The plan of what was looked at."""
    from ultralab.assess.plan import plan

    asks = question(lab, asked, found.header.format)
    known, warning = calibration(lab, asked.machine)
    made = plan(found.name, found.header, asks, place(lab, asked.machine), known)
    return replace(made, warnings=(*made.warnings, warning)) if warning else made


def _answered(lab: Lab, ref: str, asked: Asked, *, exact: bool) -> tuple[Plan, tuple[ExactAnswer, ...]]:
    """A plan, with ``exact`` with llama.cpp's own figures in it, and its answer."""
    from ultralab.assess.exact import ask
    from ultralab.assess.refined import with_answer

    with subject(lab, ref) as found:
        made = planned(lab, found, asked)
        if not exact:
            return made, ()
        if found.header.format != "gguf" or made.question.engine not in _LLAMACPP:
            raise Unsupported(
                _("Only llama.cpp can be asked exactly, about a model in GGUF."),
                hint=_("Leave out --exact; the plan says for each figure how sure it is."),
            )
        answer = ask(found.bundle, made.question.demand)
    return with_answer(made, answer), (answer,)


def _seeing(lab: Lab, made: Plan, path: str) -> MemoryPlan:
    """The memory with a projector. Raises Unsupported: no projector, or an engine that takes none."""
    from ultralab.app.model_access import limits
    from ultralab.models.formats.gguf_projector import read_projector
    from ultralab.models.formats.gguf_reader import read_gguf
    from ultralab.planner.attached import with_projector

    if made.question.engine not in _LLAMACPP:
        raise Unsupported(
            _("A projector in a file of its own is for llama.cpp; {engine} takes none.").format(
                engine=made.question.engine
            ),
            hint=_("Leave out --projector: other engines find what sees among the model's own weights."),
        )
    projector = read_projector(read_gguf(Path(path).expanduser(), limits(lab), weights=False))
    return with_projector(made.memory, projector, flash=made.question.demand.flash)
