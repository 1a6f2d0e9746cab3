"""For this chip and this model: the engine, its options, the reason, and notes with their sources."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ultralab.app.engines import every
from ultralab.app.lab import Lab
from ultralab.app.plan_advice import advise as plan_advice
from ultralab.app.plan_questions import place
from ultralab.assess.notes import NOTES, Note, Subject, notes_for
from ultralab.kernel.errors import UltralabError
from ultralab.kernel.language import _
from ultralab.models import find
from ultralab.settings import is_lab

if TYPE_CHECKING:
    from ultralab.assess.advice.types import Wish
    from ultralab.assess.types import Place

_ENGINES: Final = ("llamacpp", "mlx", "torch", "ollama")


def advise(lab: Lab, ref: str, wish: Wish, machine: str) -> dict[str, Any]:
    """The planner's choice for a model as a command that can be typed, with what is known of this chip; ``ref`` empty: notes alone.

    Raises what reading the model's header raises, UnknownChoice (machine).
    """
    where = place(lab, machine)
    ready = {one.name: one.availability().ready for one in every(lab)}
    if not ref:
        found = Subject(where.hardware.chip, _ENGINES, share=1.0, context=1 << 20)
        return {**_nothing(where), "notes": _told(notes_for(NOTES, found))}
    advice = plan_advice(lab, ref, wish, machine)
    chosen = advice["chosen"]
    engines = tuple(dict.fromkeys(row["engine"] for row in advice["rows"])) or _ENGINES
    share = chosen["needed_bytes"] / where.limit_bytes if chosen and where.limit_bytes else 1.0
    return {
        **_nothing(where),
        "model": advice["model"],
        "command": None if chosen is None else _command(lab, chosen, where.name),
        "choice": None if chosen is None else {**chosen, "ready": ready.get(chosen["engine"], False)},
        "reasons": advice["why"],
        "notes": _told(notes_for(NOTES, Subject(where.hardware.chip, engines, share, wish.context))),
    }


def _command(lab: Lab, chosen: Mapping[str, Any], machine: str) -> str | None:
    """What can be typed next: to talk with a model that is here, to get one that is not; None where nobody knows from where."""
    ref = chosen["ref"]
    if not ref:
        return None
    if not _is_here(lab, ref):
        return f"ultralab models pull {shlex.quote(ref)}"
    if machine != "this":
        return None
    words = ["ultralab", "chat", ref, "--engine", chosen["engine"], "--context", str(chosen["context"])]
    if chosen["key_type"] != "f16":
        words += ["--kv", chosen["key_type"]]
    return shlex.join(words)


def _is_here(lab: Lab, ref: str) -> bool:
    if Path(ref).expanduser().exists():
        return True
    if not is_lab(lab.home):
        return False
    try:
        find(lab.library, ref)
    except UltralabError:
        return False
    return True


def _nothing(where: Place) -> dict[str, Any]:
    """The answer about no model."""
    return {
        "model": None,
        "machine": where.name,
        "chip": where.hardware.chip or None,
        "command": None,
        "choice": None,
        "reasons": [],
    }


def _told(notes: tuple[Note, ...]) -> list[dict[str, str]]:
    return [{"id": one.id, "advice": _(one.advice), "reason": _(one.reason), "source": one.source} for one in notes]
