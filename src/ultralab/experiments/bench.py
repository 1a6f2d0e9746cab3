"""What running an experiment needs from the rest of the lab, as plain values and callables; and what it gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from ultralab.engines.base import Engine
from ultralab.experiments.trackers.base import Tracker
from ultralab.experiments.types import Expected, ExperimentRecord, RunRecord
from ultralab.kernel.progress import Progress
from ultralab.machine import Machine
from ultralab.memory import Ledger
from ultralab.models.types import ModelRecord
from ultralab.monitor.base import Sampler
from ultralab.planner.speed import Calibration
from ultralab.planner.types import ModelShape


@dataclass(frozen=True)
class Made:
    """A model that lies in the library: its record, its first file, what its header says."""

    record: ModelRecord
    path: Path
    shape: ModelShape


@dataclass(frozen=True)
class Subject:
    """One model to measure. ``target`` None: the reference, as it came; else the quantization to make from it.

    ``shape`` is what its header says or will say; ``make`` finds or makes it.
    """

    label: str
    title: str
    target: str | None
    shape: ModelShape
    make: Callable[[Progress], Made]


@dataclass(frozen=True)
class Bench:
    """The lab around an experiment. ``announce`` is told the predictions before anything is made.

    ``keep`` puts files under version control with a message, and gives back a sentence if that failed. ``samplers``
    by name, each opened for a pid; one that cannot be opened is a warning. ``in_use`` is entered while a model is loaded.
    ``calibration`` and ``reading``: what the lab has measured on this machine, for predictions (bytes/s; 0: nothing).
    """

    home: Path
    machine: Machine
    ledger: Ledger
    engine: Engine
    author: str
    language: str
    keep: Callable[[Sequence[Path], str], str]
    trackers: Sequence[Callable[[], Tracker]]
    samplers: Mapping[str, Callable[[int], Sampler]]
    announce: Callable[[Sequence[tuple[Subject, Expected]]], None]
    in_use: Callable[[ModelRecord], AbstractContextManager[None]]
    calibration: Calibration | None = None
    reading: float = 0.0


@dataclass(frozen=True)
class Result:
    """A run experiment: its capsule, its records, its report, and what did not work beside it (translated)."""

    folder: Path
    experiment: ExperimentRecord
    runs: tuple[RunRecord, ...]
    markdown: Path
    html: Path
    warnings: tuple[str, ...]
