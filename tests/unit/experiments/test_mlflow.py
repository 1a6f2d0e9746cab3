"""The MLflow tracker on a real SQLite file, read back with MLflow's own client."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from tests.unit.experiments.bench_sample import Sample

from ultralab.experiments import capsule
from ultralab.experiments.trackers.mlflow import MlflowTracker


def test_runs_are_recorded_with_everything(tmp_path: Path) -> None:
    home = tmp_path / "实验 lab #1? 100%"
    home.mkdir()
    database, artifacts = home / "state" / "mlflow.db", home / "store" / "artifacts"
    sample = Sample(home, trackers=[partial(MlflowTracker, database, artifacts)])
    result = sample.run(sample.subject("F32", reference=True), sample.subject("Q8_0"))
    assert (result.warnings, database.is_file()) == ((), True)

    assert sorted(path.name for path in tmp_path.iterdir()) == [home.name]
    client = MlflowTracker(database, artifacts)._client
    experiment = client.get_experiment_by_name("sample")
    assert experiment is not None
    found = {run.data.params["variant"]: run for run in client.search_runs([experiment.experiment_id])}
    assert sorted(found) == ["F32", "Q8_0"]
    for recorded in result.runs:
        run = found[recorded.variant]
        assert recorded.measured is not None
        assert recorded.expected is not None
        assert run.info.status == "FINISHED"
        assert run.data.params == {
            "variant": recorded.variant,
            "model": f"sample:{recorded.variant.lower()}",
            "quantization": recorded.variant,
            "engine": "fake",
            "engine_version": recorded.engine_version,
            "seed": "11",
            "context": "512",
            "threads": "2",
        }
        ours = {name: value for name, value in run.data.tags.items() if not name.startswith("mlflow.")}
        assert ours == {
            "ultralab.experiment": result.experiment.id,
            "ultralab.run": recorded.id,
            "ultralab.reference": str(recorded.reference).lower(),
            "ultralab.model_sha256": "ab" * 32,
            "ultralab.git_commit": "",
            "ultralab.version": result.experiment.provenance.ultralab,
            "tag.one": "true",
            "tag.two": "true",
        }
        metrics = run.data.metrics
        assert metrics["final_nll"] == metrics["nll"] == recorded.measured.nll
        assert metrics["final_decode_tok_s"] == recorded.measured.decode_tok_s.median
        assert metrics["final_memory_bytes"] == recorded.measured.memory_bytes
        assert metrics["expected_memory_bytes"] == recorded.expected.memory_bytes
        assert metrics["system/process_memory_bytes"] > 0
        folder = capsule.run_folder(result.folder, recorded.id)
        history = client.get_metric_history(run.info.run_id, "decode_tok_s")
        assert [(point.step, point.value) for point in history] == [
            (reading.step, reading.value) for reading in capsule.readings(folder) if reading.name == "decode_tok_s"
        ]
        files = sorted(file.path for file in client.list_artifacts(run.info.run_id))
        assert files == [
            *("engine.log", "environment.txt", "metrics.jsonl"),
            *("provenance.json", "run.json", "scores.jsonl"),
        ]
        copies = [path for path in artifacts.rglob("run.json") if recorded.id in path.read_text()]
        assert [path.read_bytes() for path in copies] == [(folder / "run.json").read_bytes()]


def test_a_database_that_cannot_be_opened_is_a_warning(tmp_path: Path) -> None:
    database = tmp_path / "state" / "mlflow.db"
    database.parent.mkdir()
    database.write_bytes(b"no database" * 1000)
    sample = Sample(tmp_path, trackers=[partial(MlflowTracker, database, tmp_path / "artifacts")])
    result = sample.run(sample.subject("F32", reference=True))
    assert [run.status for run in result.runs] == ["finished"]
    (warning,) = result.warnings
    assert warning.startswith("MLflow could not record the run: ")
    assert "\n" not in warning


def test_a_folder_that_cannot_be_made_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    sample = Sample(tmp_path, trackers=[partial(MlflowTracker, tmp_path / "file" / "mlflow.db", tmp_path / "a")])
    result = sample.run(sample.subject("F32", reference=True))
    assert [run.status for run in result.runs] == ["finished"]
    assert len(result.warnings) == 1
