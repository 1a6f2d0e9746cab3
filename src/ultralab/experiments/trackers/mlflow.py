"""MLflow on a local SQLite file: nothing leaves the machine, and ``mlflow ui`` shows it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from ultralab.experiments.capsule import Reading
from ultralab.experiments.types import ExperimentRecord, RunRecord, Spread
from ultralab.kernel.errors import Failure
from ultralab.kernel.language import _
from ultralab.system import environ, files

_STATUS = {"finished": "FINISHED", "failed": "FAILED", "interrupted": "KILLED"}
_BATCH = 1000  # MLflow's own limit of metrics per request


class MlflowTracker:
    """Implements ``trackers.base.Tracker``."""

    name = "mlflow"

    def __init__(self, database: Path, artifacts: Path) -> None:
        """``database``: the SQLite file; ``artifacts``: the folder for files."""
        with files.explained(database.parent):
            database.parent.mkdir(parents=True, exist_ok=True)
        self._artifacts = artifacts
        # MLflow reads these at import: no telemetry leaves this machine, no git executable is asked for.
        environ.set_default("MLFLOW_DISABLE_TELEMETRY", "true")
        environ.set_default("GIT_PYTHON_REFRESH", "quiet")
        environ.set_default("MLFLOW_LOGGING_LEVEL", "WARNING")
        from mlflow.exceptions import MlflowException
        from mlflow.tracking import MlflowClient

        self._failure = MlflowException
        try:
            self._client = MlflowClient(f"sqlite:///{_escaped(database)}")
            self._client.search_experiments(max_results=1)  # only now is the database opened
        except Exception as error:
            raise _failed(error) from error
        finally:
            _remove_stray_folder(database)

    def record_run(
        self, experiment: ExperimentRecord, run: RunRecord, readings: Sequence[Reading], folder: Path
    ) -> str:
        """One MLflow run per run, in an MLflow experiment named after the kind."""
        try:
            return self._record(experiment, run, readings, folder)
        except Exception as error:
            raise _failed(error) from error

    def _record(self, experiment: ExperimentRecord, run: RunRecord, readings: Sequence[Reading], folder: Path) -> str:
        from mlflow.entities import Metric, Param, RunTag

        created = self._client.create_run(
            self._experiment_id(experiment.kind),
            start_time=_milliseconds(run.started),
            run_name=f"{run.variant} {experiment.id}",
        )
        mlflow_id: str = created.info.run_id
        metrics = [Metric(reading.name, reading.value, int(reading.time * 1000), reading.step) for reading in readings]
        metrics += [
            Metric(name, value, _milliseconds(run.ended or run.started), 0) for name, value in summary(run).items()
        ]
        params = [Param(name, str(value)[:6000]) for name, value in parameters(run).items()]
        tags = [RunTag(name, value) for name, value in _tags(experiment, run).items()]
        self._client.log_batch(mlflow_id, params=params, tags=tags)
        for start in range(0, len(metrics), _BATCH):
            self._client.log_batch(mlflow_id, metrics=metrics[start : start + _BATCH])
        for path in sorted(folder.iterdir()):
            if path.is_file():
                self._client.log_artifact(mlflow_id, str(path))
        status = _STATUS.get(run.status, "RUNNING")
        self._client.set_terminated(mlflow_id, status=status, end_time=_milliseconds(run.ended or run.started))
        return mlflow_id

    def _experiment_id(self, kind: str) -> str:
        found: Any = self._client.get_experiment_by_name(kind)
        if found is not None:
            return str(found.experiment_id)
        return str(self._client.create_experiment(kind, artifact_location=self._artifacts.as_uri()))


def summary(run: RunRecord) -> dict[str, float]:
    """The figures of a run as flat metrics: medians of what was repeated, and the prediction beside them."""
    figures: dict[str, float] = {"bits_per_weight": run.bits_per_weight, "model_bytes": float(run.model_bytes)}
    if run.measured:
        for name, value in vars(run.measured).items():
            if value is not None:
                figures[f"final_{name}"] = value.median if isinstance(value, Spread) else float(value)
    if run.expected:
        figures["expected_memory_bytes"] = float(run.expected.memory_bytes)
        figures["expected_decode_tok_s"] = run.expected.decode_tok_s
    return figures


def parameters(run: RunRecord) -> dict[str, str | int]:
    """What was chosen for a run."""
    return {
        "variant": run.variant,
        "model": run.model_ref,
        "quantization": run.quantization,
        "engine": run.engine,
        "engine_version": run.engine_version,
        "seed": run.seed,
        **run.options,
    }


def _tags(experiment: ExperimentRecord, run: RunRecord) -> dict[str, str]:
    return {
        "ultralab.experiment": experiment.id,
        "ultralab.run": run.id,
        "ultralab.reference": str(run.reference).lower(),
        "ultralab.model_sha256": ",".join(run.model_sha256),
        "ultralab.git_commit": experiment.provenance.git_commit,
        "ultralab.version": experiment.provenance.ultralab,
        **{f"tag.{tag}": "true" for tag in experiment.tags},
    }


def _escaped(path: Path) -> str:
    """A path as part of an address: what would end it, or start a parameter, is escaped."""
    return str(path).replace("%", "%25").replace("?", "%3F").replace("#", "%23")


def _remove_stray_folder(database: Path) -> None:
    """MLflow makes the database's folder by its escaped name as well, and leaves that empty."""
    escaped = Path(_escaped(database))
    if escaped == database:
        return
    for folder in escaped.parents:
        try:
            folder.rmdir()
        except OSError:  # not empty, or not there: everything above it is somebody's
            return


def _milliseconds(moment: str) -> int:
    return int(datetime.fromisoformat(moment).timestamp() * 1000)


def _failed(error: Exception) -> Failure:
    return Failure(
        _("MLflow could not record the run: {error}").format(error=str(error).splitlines()[0] if str(error) else error),
        hint=_("The run's own record in the lab is complete; only MLflow's copy is missing."),
    )
