"""The capsule on disk: what is written is read back, and damage is named."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.experiments.report.report_sample import experiment, failed, run, runs

from ultralab.engines.base import TokenScore
from ultralab.experiments import capsule
from ultralab.experiments.capsule import Reading
from ultralab.experiments.types import ExperimentRecord, RunRecord
from ultralab.kernel.errors import FileAccess, FileDamaged, NotFound, RequestError
from ultralab.system import process


def _write(folder: Path) -> ExperimentRecord:
    record = experiment()
    capsule.write_experiment(folder, record)
    for one in runs():
        capsule.write_run(folder, one)
    return record


def test_a_round_trip_of_records(tmp_path: Path) -> None:
    record = _write(tmp_path)
    assert capsule.read_experiment(tmp_path) == record
    assert capsule.read_runs(tmp_path, record) == runs()


def test_a_round_trip_of_a_failed_run_and_of_what_was_not_measured(tmp_path: Path) -> None:
    one = failed("Q8_0", problem="“quotes”, 中文,\nlines")
    capsule.write_run(tmp_path, one)
    (read,) = capsule.read_runs(tmp_path, _of(one))
    assert read == one


def test_json_is_what_is_on_disk(tmp_path: Path) -> None:
    record = _write(tmp_path)
    assert capsule.as_json(record) == json.loads((tmp_path / "experiment.json").read_text())
    one = run("Q8_0")
    path = capsule.run_folder(tmp_path, one.id) / "run.json"
    assert capsule.as_json(one) == json.loads(path.read_text())


def _of(*records: RunRecord) -> ExperimentRecord:
    return replace(experiment(), runs=tuple(one.id for one in records))


@pytest.mark.parametrize(
    ("damage", "place"),
    [
        ("", "-"),
        ("{", "-"),
        ("[]", "-"),
        ("null", "-"),
        ('{"id": "x"}', "kind"),
        ("\x00\x00", "-"),
        ("[" * 100_000, "-"),
    ],
)
def test_damage_is_named(tmp_path: Path, damage: str, place: str) -> None:
    _write(tmp_path)
    (tmp_path / "experiment.json").write_text(damage)
    with pytest.raises(FileDamaged) as caught:
        capsule.read_experiment(tmp_path)
    assert caught.value.message.startswith(f"{tmp_path}/experiment.json is damaged: {place}: ")
    assert "\n" not in caught.value.message
    assert caught.value.hint == "Restore it from git, or delete the experiment's folder."


def test_a_wrong_value_in_a_run_is_named(tmp_path: Path) -> None:
    record = _write(tmp_path)
    path = capsule.run_folder(tmp_path, record.runs[0]) / "run.json"
    path.write_text(path.read_text().replace('"nll": 3.7504', '"nll": "low"'))
    with pytest.raises(FileDamaged, match=r"run\.json is damaged: measured\.nll: Input should be a valid number"):
        capsule.read_runs(tmp_path, record)


def test_a_missing_run_and_a_foreign_encoding(tmp_path: Path) -> None:
    record = _write(tmp_path)
    (tmp_path / "experiment.json").write_bytes(b"\xff\xfe")
    with pytest.raises(FileAccess, match="is not UTF-8 text"):
        capsule.read_experiment(tmp_path)
    (capsule.run_folder(tmp_path, record.runs[1]) / "run.json").unlink()
    with pytest.raises(NotFound):
        capsule.read_runs(tmp_path, record)


def test_a_run_outside_the_capsule_is_not_read(tmp_path: Path) -> None:
    _write(tmp_path / "capsule")
    (tmp_path / "run.json").write_text("{}")
    path = tmp_path / "capsule" / "experiment.json"
    data = json.loads(path.read_text())
    path.write_text(json.dumps({**data, "runs": ["../.."]}))
    with pytest.raises(FileDamaged, match=r"experiment\.json is damaged: runs: '\.\./\.\.' is no name of a run"):
        capsule.read_runs(tmp_path / "capsule", capsule.read_experiment(tmp_path / "capsule"))


def test_readings_survive_a_line_cut_short(tmp_path: Path) -> None:
    capsule.append_reading(tmp_path, "a", 1.5, 0)
    capsule.append_reading(tmp_path, "system/b", 1e300, 7)
    whole = (tmp_path / "metrics.jsonl").read_text()
    for cut in (
        '{"name": "c", "val',
        "[1]",
        "3",
        '{"name": "c"}',
        "\x00" * 9,
        '{"name": "c", "value": {}, "step": 1, "time": 2}',
    ):
        (tmp_path / "metrics.jsonl").write_text(whole + cut)
        found = list(capsule.readings(tmp_path))
        assert [(reading.name, reading.value, reading.step) for reading in found] == [
            ("a", 1.5, 0),
            ("system/b", 1e300, 7),
        ]
        assert found[0].time > 1_700_000_000
    assert list(capsule.readings(tmp_path / "none")) == []


def test_readings_after_a_cut_byte(tmp_path: Path) -> None:
    """A crash in the middle of a character: what stands before it is there."""
    (tmp_path / "metrics.jsonl").write_bytes(b'{"name": "a", "value": 1, "step": 0, "time": 2}\n{"name": "\xe4\xb8')
    assert list(capsule.readings(tmp_path)) == [Reading("a", 1.0, 0, 2.0)]


def test_scores_keep_every_digit(tmp_path: Path) -> None:
    scores = [TokenScore(5, -1 / 3, 7), TokenScore(6, -1e-17, 6)]
    capsule.write_scores(tmp_path, scores)
    read = [TokenScore(*json.loads(line)) for line in (tmp_path / "scores.jsonl").read_text().splitlines()]
    assert read == scores


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    for kind, name in (
        ("alpha", "20260101_000000_aaaa"),
        ("beta", "20260102_000000_bbbb"),
        ("alpha", "20260103_000000_cccc"),
    ):
        _write(capsule.folder_of(tmp_path, kind, name))
    (tmp_path / "experiments" / "templates").mkdir()
    (tmp_path / "experiments" / "README.md").write_text("")
    return tmp_path


def test_capsules_oldest_first(lab: Path) -> None:
    assert [folder.name for folder in capsule.capsules(lab)] == [
        "20260101_000000_aaaa",
        "20260102_000000_bbbb",
        "20260103_000000_cccc",
    ]
    assert list(capsule.capsules(lab / "none")) == []


@pytest.mark.parametrize(
    ("reference", "name"),
    [
        ("last", "20260103_000000_cccc"),
        ("20260102_000000_bbbb", "20260102_000000_bbbb"),
        ("20260102", "20260102_000000_bbbb"),
        ("alpha", "20260103_000000_cccc"),
        ("beta", "20260102_000000_bbbb"),
    ],
)
def test_finding_a_capsule(lab: Path, reference: str, name: str) -> None:
    assert capsule.find_capsule(lab, reference).name == name


def test_a_beginning_of_several_is_refused(lab: Path) -> None:
    with pytest.raises(RequestError) as caught:
        capsule.find_capsule(lab, "2026")
    assert caught.value.message == "3 experiments begin with '2026'."
    assert caught.value.hint == (
        "Say more of the id: 20260101_000000_aaaa, 20260102_000000_bbbb, 20260103_000000_cccc."
    )


@pytest.mark.parametrize("reference", ["gamma", "../..", "templates", "/"])
def test_what_is_not_there(lab: Path, reference: str) -> None:
    with pytest.raises(NotFound) as caught:
        capsule.find_capsule(lab, reference)
    assert caught.value.message == f"There is no experiment {reference!r} in {lab}."
    assert caught.value.hint.startswith("The newest are: 20260101_000000_aaaa, ")


def test_nothing_is_there(tmp_path: Path) -> None:
    with pytest.raises(NotFound) as caught:
        capsule.find_capsule(tmp_path, "last")
    assert caught.value.hint == "Run one first: ultralab experiments run FILE.yaml"


def test_an_experiment_whose_process_is_gone_reads_as_interrupted(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "pass"]) as child:
        owner = process.identify(child.pid)
    assert owner is not None
    going = replace(run("Q8_0"), status="running", ended="", measured=None)
    record = replace(_of(going), status="running", ended="", owner_pid=owner.pid, owner_start=owner.start)
    capsule.write_experiment(tmp_path, record)
    capsule.write_run(tmp_path, going)
    read = capsule.read_experiment(tmp_path)
    problem = "Its process ended without a word."
    assert read == replace(record, status="interrupted", problem=problem)
    assert capsule.read_runs(tmp_path, read) == (replace(going, status="interrupted", problem=problem),)


def test_an_experiment_whose_process_lives_is_running(tmp_path: Path) -> None:
    owner = process.identify()
    assert owner is not None
    record = replace(experiment(), status="running", owner_pid=owner.pid, owner_start=owner.start)
    capsule.write_experiment(tmp_path, record)
    assert capsule.read_experiment(tmp_path) == record
