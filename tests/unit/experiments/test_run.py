"""Whole experiments on the fake engine: complete records, and every way in which a run can end."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest
from tests.unit.experiments.bench_sample import SPEC, TEXT, Sample

from ultralab import __version__, memory
from ultralab.experiments import capsule
from ultralab.experiments.trackers.base import Tracker
from ultralab.experiments.types import ExperimentRecord, RunRecord
from ultralab.kernel.errors import DiskFull, EngineDied, EngineFailed, Failure, Interrupted, InvalidSpec
from ultralab.monitor.base import Sampler


def _only(home: Path) -> tuple[Path, ExperimentRecord, tuple[RunRecord, ...]]:
    (folder,) = capsule.capsules(home)
    record = capsule.read_experiment(folder)
    return folder, record, capsule.read_runs(folder, record)


def _interrupt() -> None:
    raise KeyboardInterrupt


def _full() -> None:
    raise DiskFull("The disk is full: /x could not be written.", hint="Free some space.")


def _bug() -> None:
    raise ZeroDivisionError("a fault")


def test_what_a_finished_experiment_leaves(tmp_path: Path) -> None:
    sample = Sample(tmp_path)
    result = sample.run(sample.subject("F32", reference=True), sample.subject("Q8_0"))
    folder, record, runs = _only(sample.home)
    assert (folder, record, runs) == (result.folder, result.experiment, result.runs)
    assert folder == sample.home / "experiments" / "sample" / record.id
    first, second = (f"runs/{run.id}" for run in runs)
    inside = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    each = ("run.json", "metrics.jsonl", "engine.log", "environment.txt", "provenance.json", "scores.jsonl")
    wanted = {f"{run}/{name}" for run in (first, second) for name in each}
    plots = {name for name in inside if name.startswith("plots/")}
    top = {"experiment.yaml", "experiment.json", "report.md", "report.html", "below/text.txt"}
    assert inside == wanted | plots | top
    assert len(plots) >= 3
    assert ((folder / "experiment.yaml").read_text(), (folder / "below/text.txt").read_text()) == (SPEC, TEXT)
    assert (record.kind, record.status, record.problem, record.author) == ("sample", "finished", "", "Ada")
    assert record.tags == ("one", "two")
    assert record.runs == (f"{record.id}_f32", f"{record.id}_q8_0")
    assert (record.provenance.ultralab, record.provenance.python) == (__version__, sys.version.split()[0])
    assert f"ultralab=={__version__}" in record.provenance.packages
    assert (folder / first / "environment.txt").read_text().splitlines() == list(record.provenance.packages)
    place = {name: value for name, value in asdict(record.provenance).items() if name != "packages"}
    assert [json.loads((folder / run / "provenance.json").read_text()) for run in (first, second)] == [place] * 2
    assert (place["machine"]["chip"], place["git_commit"], place["git_dirty"]) == ("Test", "", False)
    assert [(run.variant, run.reference, run.status, run.seed, run.engine) for run in runs] == [
        ("F32", True, "finished", 11, "fake"),
        ("Q8_0", False, "finished", 11, "fake"),
    ]
    assert [run.model_sha256 for run in runs] == [("ab" * 32,)] * 2
    assert [run.options for run in runs] == [{"context": 512, "threads": 2}] * 2
    assert all(record.started <= run.started <= run.ended <= record.ended for run in runs)
    for run in runs:
        assert run.expected is not None
        assert run.measured is not None
        assert (run.measured.scored_tokens, run.measured.cached_tokens, run.measured.agreement) == (64, 0, 1.0)
        assert [len(run.measured.decode_tok_s.values), len(run.measured.ttft_s.values)] == [3, 3]
        assert 1 < run.measured.nll <= 3
        assert run.measured.memory_bytes >= run.measured.baseline_bytes > 1_000_000
    assert sample.announced == [("F32", 30_000_000), ("Q8_0", 30_000_000)]
    assert [message for _paths, message in sample.kept] == [
        f"Begin experiment sample {record.id}",
        f"End experiment sample {record.id}: finished",
    ]
    assert not any(path.endswith(".log") for path in sample.kept[1][0])
    assert memory.holders(sample.bench().ledger) == ()


def test_every_reading_is_a_line(tmp_path: Path) -> None:
    sample = Sample(tmp_path)
    result = sample.run(sample.subject("F32", reference=True))
    folder = capsule.run_folder(result.folder, result.runs[0].id)
    readings = list(capsule.readings(folder))
    own = [(reading.name, reading.step) for reading in readings if not reading.name.startswith("system/")]
    speeds = ("ttft_s", "prefill_tok_s", "decode_tok_s", "engine_prefill_tok_s", "engine_decode_tok_s")
    repeats = [(name, number) for number in range(3) for name in speeds]
    scoring = [("running_nll", 32), ("running_nll", 64), ("memory_bytes", 0), ("nll", 0), ("agreement", 0)]
    assert own == [("load_s", 0), *repeats, *scoring]
    assert {reading.name for reading in readings} >= {
        "system/cpu_percent",
        "system/memory_used_bytes",
        "system/process_memory_bytes",
        "system/process_threads",
    }
    measured = result.runs[0].measured
    assert measured is not None
    by_name = {reading.name: reading.value for reading in readings}
    assert by_name["nll"] == measured.nll
    assert abs(by_name["running_nll"] - measured.nll) < 1e-12
    scores = [json.loads(line) for line in (folder / "scores.jsonl").read_text().splitlines()]
    assert [token for token, _logprob, _favourite in scores] == list(TEXT.encode()[1:65])
    assert -sum(logprob for _token, logprob, _favourite in scores) / 64 == measured.nll


def test_the_same_seed_gives_the_same_figures(tmp_path: Path) -> None:
    figures = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        sample = Sample(tmp_path / name)
        (run,) = sample.run(sample.subject("F32", reference=True)).runs
        assert run.measured is not None
        figures.append((run.measured.nll, run.measured.agreement))
    assert figures[0] == figures[1]


def test_a_run_that_fails_leaves_the_others(tmp_path: Path) -> None:
    sample = Sample(tmp_path)
    with pytest.raises(EngineDied) as caught:
        sample.run(sample.subject("F32", reference=True), sample.subject("Q8_0", die_after=20), sample.subject("Q4_0"))
    folder, record, runs = _only(sample.home)
    problem = "The engine's process for Sample Q8_0 ended unexpectedly (killed by signal 9)."
    assert [(run.status, run.problem) for run in runs] == [("finished", ""), ("failed", problem), ("finished", "")]
    assert (record.status, record.problem, caught.value.message) == ("failed", problem, problem)
    assert caught.value.hint.startswith("Somebody killed it")
    assert caught.value.hint.endswith(
        f"The engine's log: {capsule.run_folder(folder, runs[1].id)}/engine.log What was measured is recorded: {folder}"
    )
    assert len(list(capsule.readings(capsule.run_folder(folder, runs[1].id)))) > 5
    assert runs[1].ended >= runs[1].started > ""
    assert (folder / "report.md").is_file()
    assert memory.holders(sample.bench().ledger) == ()


def test_the_first_of_several_errors_is_raised(tmp_path: Path) -> None:
    sample = Sample(tmp_path)
    with pytest.raises(EngineFailed, match="could not be loaded: first"):
        sample.run(
            sample.subject("F32", reference=True),
            sample.subject("Q8_0", fail_load="first"),
            sample.subject("Q4_0", fail_load="second"),
        )
    _folder, record, runs = _only(sample.home)
    assert [run.status for run in runs] == ["finished", "failed", "failed"]
    assert record.problem == runs[1].problem == "Sample Q8_0 could not be loaded: first"
    assert runs[2].problem == "Sample Q4_0 could not be loaded: second"


def test_without_its_reference_a_variant_agrees_with_nothing(tmp_path: Path) -> None:
    sample = Sample(tmp_path)
    with pytest.raises(EngineFailed):
        sample.run(sample.subject("F32", reference=True, fail_load="no"), sample.subject("Q8_0"))
    folder, _record, runs = _only(sample.home)
    assert runs[1].measured is not None
    assert (runs[1].status, runs[1].measured.agreement, runs[1].measured.scored_tokens) == ("finished", None, 64)
    names = {reading.name for reading in capsule.readings(capsule.run_folder(folder, runs[1].id))}
    assert ("nll" in names, "agreement" in names) == (True, False)


def test_an_interruption_stops_at_once(tmp_path: Path) -> None:
    sample = Sample(tmp_path)
    with pytest.raises(Interrupted) as caught:
        sample.run(
            sample.subject("F32", reference=True), sample.subject("Q8_0", make=_interrupt), sample.subject("Q4_0")
        )
    folder, record, runs = _only(sample.home)
    assert [run.status for run in runs] == ["finished", "interrupted", "created"]
    assert (record.status, record.problem) == ("interrupted", "Interrupted.")
    assert (caught.value.message, caught.value.hint) == ("Interrupted.", f"What was measured is recorded: {folder}")
    assert sample.kept[-1][1].endswith(": interrupted")


def test_a_full_disk_stops_at_once(tmp_path: Path) -> None:
    sample = Sample(tmp_path)
    with pytest.raises(DiskFull):
        sample.run(sample.subject("F32", reference=True), sample.subject("Q8_0", make=_full), sample.subject("Q4_0"))
    _folder, record, runs = _only(sample.home)
    assert [run.status for run in runs] == ["finished", "failed", "created"]
    assert record.status == "failed"


def test_a_fault_of_our_own_leaves_no_run_running(tmp_path: Path) -> None:
    sample = Sample(tmp_path)
    with pytest.raises(ZeroDivisionError):
        sample.run(sample.subject("F32", reference=True), sample.subject("Q8_0", make=_bug))
    _folder, record, runs = _only(sample.home)
    assert [run.status for run in runs] == ["finished", "failed"]
    assert (record.status, record.problem, runs[1].problem) == ("failed", *["ZeroDivisionError('a fault')"] * 2)


def test_a_text_too_short_is_a_mistake_in_the_file_and_stops_at_once(tmp_path: Path) -> None:
    sample = Sample(tmp_path, text=SPEC.replace("tokens: 64", "tokens: 2000").replace("512", "4096"))
    with pytest.raises(InvalidSpec) as caught:
        sample.run(sample.subject("F32", reference=True), sample.subject("Q8_0"))
    assert caught.value.message == (
        f"{tmp_path}/spec.yaml:8: quality.tokens: The text for the quality measurement has only 900 tokens"
    )
    assert caught.value.hint.startswith("Give a longer text, or set quality.tokens to at most 899.")
    _folder, _record, runs = _only(sample.home)
    assert [run.status for run in runs] == ["failed", "created"]


def test_an_engine_that_has_too_little_memory_left(tmp_path: Path) -> None:
    sample = Sample(tmp_path)
    ledger = sample.bench().ledger
    with memory.held(ledger, 990_000_000, "something else"), pytest.raises(Failure) as caught:
        sample.run(sample.subject("F32", reference=True))
    assert caught.value.kind == "OutOfMemory"
    _folder, _record, runs = _only(sample.home)
    assert [run.status for run in runs] == ["failed"]


class _Refusing:
    """A tracker as a third party could write it: it refuses everything."""

    name = "refusing"

    def record_run(self, *_arguments: object) -> str:
        raise Failure("No.", hint="")


def _broken() -> Tracker:
    raise Failure("The tracker cannot be opened.", hint="")


def test_a_tracker_that_fails_is_a_warning(tmp_path: Path) -> None:
    sample = Sample(tmp_path, trackers=[_Refusing, _broken])
    result = sample.run(sample.subject("F32", reference=True), sample.subject("Q8_0"))
    assert result.warnings == ("The tracker cannot be opened.", "No.", "No.")
    assert [run.status for run in result.runs] == ["finished", "finished"]


class _Blind:
    """A sensor that never has a reading."""

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def sample(self) -> dict[str, float]:
        raise OSError(5, "no such sensor")


def _unbuilt(_pid: int) -> Sampler:
    raise ImportError("a library is missing")


def test_what_fails_beside_the_measurement_is_a_warning_and_said_once(tmp_path: Path) -> None:
    sample = Sample(tmp_path, refusal="git refused.", samplers={"blind": _Blind, "unbuilt": _unbuilt})
    result = sample.run(sample.subject("F32", reference=True), sample.subject("Q8_0"))
    words = "The sampler {!r} failed, its readings are incomplete: {}"
    assert result.warnings == (
        "git refused.",
        words.format("unbuilt", "ImportError('a library is missing')"),
        words.format("blind", "OSError(5, 'no such sensor')"),
    )
    assert [run.status for run in result.runs] == ["finished", "finished"]


@pytest.mark.parametrize(("stop", "error"), [(_interrupt, KeyboardInterrupt), (_full, DiskFull)])
def test_an_experiment_that_does_not_begin_leaves_nothing(
    tmp_path: Path, stop: Callable[[], None], error: type[BaseException]
) -> None:
    times = []

    def on_keep() -> None:
        times.append(sorted(path.name for path in sample.home.rglob("*") if path.is_file()))
        if len(times) == 1:
            stop()

    sample = Sample(tmp_path, on_keep=on_keep)
    with pytest.raises(error):
        sample.run(sample.subject("F32", reference=True))
    assert times == [[".reserve", "experiment.yaml", "run.json", "text.txt"], []]
    assert [message.split()[0] for _paths, message in sample.kept] == ["Begin", "Drop"]
    assert list((sample.home / "experiments").iterdir()) == []
