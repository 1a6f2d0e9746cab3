"""The records of an experiment while it runs: one owner, and every change is on disk before the next step."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from ultralab.engines.base import LoadOptions
from ultralab.experiments import capsule, provenance
from ultralab.experiments.bench import Bench, Subject
from ultralab.experiments.spec import SpecFile
from ultralab.experiments.types import Expected, ExperimentRecord, RunRecord, Status
from ultralab.kernel.errors import DiskFull, UltralabError
from ultralab.kernel.ids import new_id
from ultralab.models.types import ModelRecord
from ultralab.system import clock, files, process

_RESERVE = ".reserve"
_RESERVE_BYTES = 131_072  # the records of a full experiment, once more


@dataclass
class Session:
    """An experiment under way."""

    file: SpecFile
    bench: Bench
    options: LoadOptions
    folder: Path
    experiment: ExperimentRecord
    runs: dict[str, RunRecord]

    def run_folder(self, label: str) -> Path:
        """The folder of one run."""
        return capsule.run_folder(self.folder, self.runs[label].id)

    def change(self, label: str, **changes: object) -> RunRecord:
        """Change a run's record and write it."""
        self.runs[label] = replace(self.runs[label], **changes)  # type: ignore[arg-type]
        capsule.write_run(self.folder, self.runs[label])
        return self.runs[label]

    def open_reserve(self) -> None:
        """Give back the space that was held for this moment: the records can be ended on a full disk, too."""
        with suppress(OSError):
            (self.folder / _RESERVE).unlink(missing_ok=True)

    def made(self, label: str, record: ModelRecord) -> None:
        """Note which model a run measures, once it exists."""
        self.change(label, **_model_facts(record))

    def mark(self, label: str, status: Status, problem: str) -> None:
        """End a run that did not finish. What keeps that from being written must not hide the first error."""
        changes = {"status": status, "ended": clock.now().isoformat(), "problem": problem}
        with suppress(UltralabError):
            try:
                self.change(label, **changes)
            except DiskFull:
                self.open_reserve()
                self.change(label, **changes)

    def end(self, status: Status, problem: str) -> None:
        """End the experiment, and with it every run that something stopped before it could say so itself."""
        self.open_reserve()
        for label, run in list(self.runs.items()):
            if run.status == "running":
                self.mark(label, status, problem)
        self.experiment = replace(self.experiment, status=status, ended=clock.now().isoformat(), problem=problem)
        capsule.write_experiment(self.folder, self.experiment)


def begin(
    file: SpecFile,
    subjects: Sequence[Subject],
    bench: Bench,
    expected: Mapping[str, Expected],
    options: LoadOptions,
    warnings: list[str],
) -> Session:
    """Make the capsule: the file as it was, a record of the experiment and one of each run. Raises DiskFull.

    What goes wrong beside it joins ``warnings``. An error or Ctrl-C in here leaves no capsule.
    """
    started = clock.now()
    experiment_id = new_id(started)
    folder = capsule.folder_of(bench.home, file.spec.experiment, experiment_id)
    runs = {
        subject.label: _new_run(file, subject, bench, options, experiment_id, expected[subject.label])
        for subject in subjects
    }
    given = Path(file.spec.quality.text)
    inputs = (folder / "experiment.yaml", folder / (given.name if given.is_absolute() else given))
    kept = False
    try:
        for path, content in zip(inputs, (file.text, file.quality_text), strict=True):
            files.write(path, content)
        files.write(folder / _RESERVE, secrets.token_bytes(_RESERVE_BYTES))  # noise: no file system compresses it
        for run in runs.values():
            capsule.write_run(folder, run)
        kept = True
        if refusal := bench.keep(inputs, f"Begin experiment {file.spec.experiment} {experiment_id}"):
            warnings.append(refusal)
        experiment = _new_experiment(file, bench, experiment_id, started, runs)
        capsule.write_experiment(folder, experiment)
    except BaseException:  # Ctrl-C, too
        shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):  # the first of its kind
            folder.parent.rmdir()
        if kept:
            bench.keep(inputs, f"Drop experiment {file.spec.experiment} {experiment_id}: it did not begin")
        raise
    return Session(file, bench, options, folder, experiment, runs)


def _new_experiment(
    file: SpecFile, bench: Bench, experiment_id: str, started: datetime, runs: Mapping[str, RunRecord]
) -> ExperimentRecord:
    owner = process.identify()
    assert owner is not None, "this process is alive"
    return ExperimentRecord(
        id=experiment_id,
        kind=file.spec.experiment,
        title=file.spec.title,
        question=file.spec.question,
        author=bench.author,
        status="running",
        started=started.isoformat(),
        ended="",
        spec_file=str(file.path),
        spec_sha256=file.sha256,
        tags=file.spec.tags,
        provenance=provenance.provenance(bench.home, bench.machine),
        runs=tuple(run.id for run in runs.values()),
        owner_pid=owner.pid,
        owner_start=owner.start,
    )


def _new_run(
    file: SpecFile, subject: Subject, bench: Bench, options: LoadOptions, experiment_id: str, expected: Expected
) -> RunRecord:
    return RunRecord(
        id=f"{experiment_id}_{subject.label.lower()}",
        experiment=experiment_id,
        variant=subject.label,
        reference=subject.target is None,
        status="created",
        started="",
        ended="",
        model_ref="",
        model_title=subject.title,
        model_sha256=(),
        model_bytes=subject.shape.weight_bytes,
        parameters=subject.shape.parameters,
        bits_per_weight=8 * subject.shape.weight_bytes / subject.shape.parameters,
        quantization=subject.label,
        engine=bench.engine.name,
        engine_version=bench.engine.availability().version,
        options={"context": options.context, "threads": options.threads},
        seed=file.spec.seed,
        expected=expected,
    )


def _model_facts(record: ModelRecord) -> dict[str, object]:
    return {
        "model_ref": record.ref,
        "model_title": record.title,
        "model_sha256": tuple(part.sha256 for part in record.files),
        "model_bytes": record.size,
        "parameters": record.parameters,
        "bits_per_weight": record.bits_per_weight,
        "quantization": record.quantization,
    }
