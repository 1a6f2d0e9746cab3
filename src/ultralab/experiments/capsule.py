"""The capsule of an experiment on disk: the truth of what was run. Everything here is plain text.

Each record is one JSON file, written whole; ``metrics.jsonl`` grows by one line a reading.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ultralab.engines.base import TokenScore
from ultralab.experiments.types import ExperimentRecord, Provenance, RunRecord
from ultralab.kernel.errors import FileDamaged, NotFound, RequestError
from ultralab.kernel.ids import is_name
from ultralab.kernel.language import _
from ultralab.system import clock, files
from ultralab.system.process import ProcessId, alive

if TYPE_CHECKING:
    from pydantic import TypeAdapter


@dataclass(frozen=True)
class Reading:
    """One line of ``metrics.jsonl``: a name, a value, a step, seconds since the epoch."""

    name: str
    value: float
    step: int
    time: float


def experiments_folder(home: Path) -> Path:
    """Where all capsules are."""
    return home / "experiments"


def folder_of(home: Path, kind: str, experiment_id: str) -> Path:
    """The capsule's own folder."""
    return experiments_folder(home) / kind / experiment_id


def run_folder(capsule: Path, run_id: str) -> Path:
    """The folder of one run in a capsule."""
    return capsule / "runs" / run_id


def write_experiment(capsule: Path, record: ExperimentRecord) -> None:
    """Write ``experiment.json``, whole. Raises DiskFull, FileAccess."""
    files.write(capsule / "experiment.json", _experiments().dump_json(record, indent=2) + b"\n")


def write_run(capsule: Path, record: RunRecord) -> None:
    """Write ``run.json``, whole. Raises DiskFull, FileAccess."""
    files.write(run_folder(capsule, record.id) / "run.json", _runs().dump_json(record, indent=2) + b"\n")


def write_provenance(folder: Path, found: Provenance) -> None:
    """Write a run's ``environment.txt`` (the packages) and ``provenance.json`` (everything else of where it ran)."""
    facts = asdict(found)
    packages = facts.pop("packages")
    files.write(folder / "environment.txt", "\n".join(packages) + "\n")
    files.write(folder / "provenance.json", json.dumps(facts, indent=2, ensure_ascii=False) + "\n")


def read_experiment(capsule: Path) -> ExperimentRecord:
    """Read ``experiment.json``; one whose process was killed reads as interrupted. Raises NotFound, FileDamaged."""
    record: ExperimentRecord = _read(capsule / "experiment.json", _experiments())
    if record.status == "running" and not alive(ProcessId(record.owner_pid, record.owner_start)):
        return replace(record, status="interrupted", problem=_("Its process ended without a word."))
    return record


def read_runs(capsule: Path, record: ExperimentRecord) -> tuple[RunRecord, ...]:
    """The runs of an experiment in their order. Raises NotFound, FileDamaged."""
    for run in record.runs:
        if not is_name(run):  # a path would lead out of the capsule
            raise _damaged(capsule / "experiment.json", "runs", _("{name!r} is no name of a run").format(name=run))
    runs: list[RunRecord] = [_read(run_folder(capsule, run) / "run.json", _runs()) for run in record.runs]
    if record.status == "running":
        return tuple(runs)
    return tuple(  # of an experiment that has ended, no run goes on
        replace(run, status="interrupted", problem=record.problem) if run.status == "running" else run for run in runs
    )


def append_reading(folder: Path, name: str, value: float, step: int) -> None:
    """Add a line to a run's ``metrics.jsonl``. Raises DiskFull, FileAccess."""
    line = json.dumps({"name": name, "value": value, "step": step, "time": clock.timestamp()})
    files.append_line(folder / "metrics.jsonl", line)


def readings(folder: Path) -> Iterator[Reading]:
    """The readings of a run; a last line that a crash cut short is passed over."""
    path = folder / "metrics.jsonl"
    if not path.exists():
        return
    with files.explained(path):
        lines = path.read_bytes().decode(errors="replace").splitlines()
    for line in lines:
        try:
            found = json.loads(line)
            yield Reading(str(found["name"]), float(found["value"]), int(found["step"]), float(found["time"]))
        except (ValueError, KeyError, TypeError):
            continue


def write_scores(folder: Path, scores: Sequence[TokenScore]) -> None:
    """Write ``scores.jsonl``: token, log-probability and favourite of each position, in full precision."""
    lines = [json.dumps([score.token, score.logprob, score.favourite]) for score in scores]
    files.write(folder / "scores.jsonl", "\n".join(lines) + "\n")


def capsules(home: Path) -> Iterator[Path]:
    """Every capsule's folder, oldest first."""
    found = experiments_folder(home).glob("*/*/experiment.json")
    yield from sorted((path.parent for path in found), key=lambda folder: folder.name)


def find_capsule(home: Path, reference: str) -> Path:
    """The capsule for an id, a unique beginning of one, a kind (its newest), or ``last``.

    Raises NotFound, RequestError (several begin so).
    """
    known = list(capsules(home))
    if reference == "last" and known:
        return known[-1]
    named = [folder for folder in known if folder.name == reference]
    begun = [folder for folder in known if folder.name.startswith(reference)]
    of_kind = [folder for folder in known if folder.parent.name == reference]
    if matching := named or (begun if len(begun) == 1 else []) or of_kind[-1:]:
        return matching[0]
    if len(begun) > 1:
        raise RequestError(
            _("{count} experiments begin with {reference!r}.").format(count=len(begun), reference=reference),
            hint=_("Say more of the id: {ids}.").format(ids=", ".join(folder.name for folder in begun[-5:])),
            reference=reference,
        )
    newest = ", ".join(folder.name for folder in known[-3:])
    raise NotFound(
        _("There is no experiment {reference!r} in {home}.").format(reference=reference, home=home),
        hint=_("The newest are: {newest}.").format(newest=newest)
        if newest
        else _("Run one first: ultralab experiments run FILE.yaml"),
        reference=reference,
    )


def as_json(record: ExperimentRecord | RunRecord) -> Mapping[str, Any]:
    """A record as JSON-serializable values."""
    adapter = _experiments() if isinstance(record, ExperimentRecord) else _runs()
    found: dict[str, Any] = adapter.dump_python(record, mode="json")
    return found


def _read(path: Path, adapter: TypeAdapter[Any]) -> Any:
    from pydantic import ValidationError

    text = files.read_text(path)
    try:
        return adapter.validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise _damaged(path, place or "-", first["msg"]) from error


def _damaged(path: Path, place: str, problem: str) -> FileDamaged:
    return FileDamaged(
        _("{path} is damaged: {place}: {problem}").format(path=path, place=place, problem=problem),
        hint=_("Restore it from git, or delete the experiment's folder."),
        path=str(path),
    )


@cache
def _experiments() -> TypeAdapter[Any]:
    from pydantic import TypeAdapter

    return TypeAdapter(ExperimentRecord)


@cache
def _runs() -> TypeAdapter[Any]:
    from pydantic import TypeAdapter

    return TypeAdapter(RunRecord)
