"""Writing a report anew, with what follows from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ultralab.app.lab import Lab

if TYPE_CHECKING:
    from ultralab.experiments.report import Written


def rewrite_report(lab: Lab, reference: str) -> Written:
    """Draw an experiment's report from its records and commit it. Raises NotFound, FileDamaged, InvalidSpec, DiskFull."""
    from ultralab.experiments import capsule
    from ultralab.experiments.report import write_report

    folder = capsule.find_capsule(lab.home, reference)
    record = capsule.read_experiment(folder)
    written = write_report(folder, record, capsule.read_runs(folder, record), lab.language)
    lab.keep([written.markdown, written.html, *written.plots], f"Redraw the report of {record.id}")
    return written
