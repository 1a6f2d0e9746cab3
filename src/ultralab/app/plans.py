"""The planner's verbs, wired to this lab: its library, its machine, its measurements."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ultralab.app.lab import Lab
from ultralab.app.plan_questions import Asked, calibration, place, question
from ultralab.app.plan_subjects import Subject, subject
from ultralab.kernel.errors import Unsupported
from ultralab.kernel.language import _

if TYPE_CHECKING:
    from ultralab.assess.types import Plan


def show_plan(
    lab: Lab, ref: str, asked: Asked, *, exact: bool = False, draft: str | None = None, projector: str | None = None
) -> dict[str, Any]:
    """A model's plan as data. Raises what reading its header raises, UnknownChoice, Unsupported, RequestError."""
    from ultralab.assess.data import to_data

    with subject(lab, ref) as found:
        made = planned(lab, found, asked)
        answer = _asked_exactly(found, made) if exact else None
    if answer is not None:
        made = answer[0]
    if draft:
        with subject(lab, draft) as second:
            made = _with_draft(made, planned(lab, second, replace(asked, engine=made.question.engine)))
    if projector:
        made = _with_projector(lab, made, projector)
    data = to_data(made)
    return {**data, "exact": answer[1] if answer else None}


def planned(lab: Lab, found: Subject, asked: Asked) -> Plan:
    """The plan of what was looked at."""
    from ultralab.assess.plan import plan

    asks = question(lab, asked, found.header.format)
    known, warning = calibration(lab, asked.machine)
    made = plan(found.name, found.header, asks, place(lab, asked.machine), known)
    return replace(made, warnings=(*made.warnings, warning)) if warning else made


def _asked_exactly(found: Subject, made: Plan) -> tuple[Plan, dict[str, Any]]:
    """The plan with llama.cpp's own figures in it, and who gave them."""
    from ultralab.assess.exact import ask
    from ultralab.assess.refined import with_answer

    if found.header.format != "gguf" or made.question.engine not in ("llamacpp", "ollama"):
        raise Unsupported(
            _("Only llama.cpp can be asked exactly, about a model in GGUF."),
            hint=_("Leave out --exact; the plan says for each figure how sure it is."),
        )
    answer = ask(found.bundle, made.question.demand)
    return with_answer(made, answer), {"engine": answer.engine, "seconds": answer.seconds}


def _with_draft(made: Plan, second: Plan) -> Plan:
    from ultralab.assess.refined import with_memory
    from ultralab.planner.attached import with_draft

    return with_memory(made, with_draft(made.memory, second.memory))


def _with_projector(lab: Lab, made: Plan, path: str) -> Plan:
    from pathlib import Path

    from ultralab.app.model_access import limits
    from ultralab.assess.refined import with_memory
    from ultralab.models.formats.gguf_projector import read_projector
    from ultralab.models.formats.gguf_reader import read_gguf
    from ultralab.planner.attached import with_projector

    projector = read_projector(read_gguf(Path(path).expanduser(), limits(lab), weights=False))
    return with_memory(made, with_projector(made.memory, projector))
