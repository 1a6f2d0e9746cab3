"""The llama.cpp inside ``xllamacpp`` is asked, in a child process."""

from __future__ import annotations

import importlib.util
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ultralab.assess.exact.answers import reason
from ultralab.assess.exact.layouts import LAYOUTS
from ultralab.kernel.errors import ToolFailed, Unsupported
from ultralab.kernel.language import _
from ultralab.kernel.text import printable
from ultralab.planner.types import Demand
from ultralab.system import environ, process

SECONDS: Final = 120.0
"""No header takes llama.cpp more than a few seconds."""


@dataclass(frozen=True)
class Said:
    """What a program said: its report, its log, who it is, and of how many rows of logits it spoke."""

    printed: str
    log: str
    engine: str
    outputs: int


def is_installed() -> bool:
    """Whether there is an ``xllamacpp`` at all."""
    return importlib.util.find_spec("xllamacpp") is not None


def ask_embedded(path: Path, demand: Demand) -> Said:
    """Ask about the file at ``path``. Raises Unsupported (an unknown version: its data has ``version``; llama.cpp
    refuses: ``status``), ToolFailed.
    """
    outputs = max(demand.outputs, demand.sequences) if demand.outputs else 0  # llama.cpp wants one per sequence
    question = {
        "path": str(path),
        "context": total_context(demand),
        "sequences": demand.sequences,
        "unified": demand.unified,
        "key_type": demand.key_type,
        "value_type": demand.value_type,
        "flash": demand.flash,
        "ubatch": demand.ubatch,
        "outputs": outputs,
    }
    answer = process.run(
        (sys.executable, "-m", "ultralab.assess.exact.child", json.dumps(question)),
        timeout=SECONDS,
        cwd=path.parent,
        check=False,
        environment=environ.for_child({"GGML_NO_BACKTRACE": "1"}),
    )
    return understood(answer, outputs)


def understood(answer: process.Answer, outputs: int) -> Said:
    """What the child said. Raises as :func:`ask_embedded`."""
    if answer.status != 0:
        raise refusal(reason(answer.stderr), answer.status)
    said = _decoded(answer.stdout)
    if "refused" in said:
        raise _unknown(str(said["refused"]))
    return Said(said["printed"], said["log"], f"xllamacpp {said['version']}", outputs)


def total_context(demand: Demand) -> int:
    """Cells of all streams together, as ``n_ctx`` counts."""
    return demand.context * (1 if demand.unified else demand.sequences)


def refusal(why: str, status: int) -> Unsupported:
    """llama.cpp took neither the model nor its answer back: its last error line says why."""
    return Unsupported(
        _("llama.cpp refuses this model: {reason}").format(
            reason=printable(why, 300) or _("it ended with status {status}").format(status=status)
        ),
        hint=_("Leave out --exact for an estimate; a newer llama.cpp may know the model."),
        status=status,
    )


def _decoded(stdout: str) -> dict[str, Any]:
    try:
        said = json.loads(stdout.strip().splitlines()[-1])
    except (IndexError, ValueError) as error:
        raise ToolFailed(_("The process that asks llama.cpp gave no answer."), program="xllamacpp") from error
    assert isinstance(said, dict)
    return said


def _unknown(version: str) -> Unsupported:
    known = ", ".join(sorted(LAYOUTS))
    return Unsupported(
        _("xllamacpp {version} is not asked: how it keeps its parameters is not known here.").format(version=version),
        hint=_("Install one of these versions: {known}; or llama.cpp's own llama-fit-params.").format(known=known),
        version=version,
    )
