"""The seam of a tracker. A capsule is the truth; a tracker is told of it and may fail without losing anything."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from ultralab.experiments.capsule import Reading
from ultralab.experiments.types import ExperimentRecord, RunRecord


class Tracker(Protocol):
    """One tracking system. Blocking; called from one thread."""

    name: str

    def record_run(
        self, experiment: ExperimentRecord, run: RunRecord, readings: Sequence[Reading], folder: Path
    ) -> str:
        """Record a run that has ended (finished, failed or interrupted) with its readings and its folder's files.

        Returns the tracker's own id for it. Recording the same run again adds a second entry. Raises Failure.
        """
