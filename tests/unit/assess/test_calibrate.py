"""The calibration: what is measured here, how it is kept, and that predictions about this machine come true with it."""

import dataclasses
import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.machines import MAC, PC

from ultralab import memory
from ultralab.assess.calibration.calibrate import Kept, calibrate, of_this, path_of, read, read_with_warning, write
from ultralab.assess.calibration.engine_run import PROMPTS, SOURCE, Subject, measure_engine, steady_rate
from ultralab.assess.calibration.reading import (
    BY_CPU,
    BY_GPU,
    NOTHING,
    Reading,
    block_bytes,
    gpu_rate,
    measured_reading,
    parse_gpu_rate,
)
from ultralab.assess.calibration.samples import from_data, merged, to_data, undisturbed
from ultralab.assess.checks import doctor_checks, selftest_checks
from ultralab.assess.places import hardware_of
from ultralab.engines import engine
from ultralab.kernel.units import GIB, MIB
from ultralab.machine import Machine, read_machine
from ultralab.memory import Ledger
from ultralab.models.bundles import from_path
from ultralab.models.formats.gguf import FORMAT
from ultralab.planner.hardware import Hardware, Sample, Work
from ultralab.planner.speed import decode, fit

HERE = hardware_of(MAC, 692e9)
WORK = Work(4_000_000_000, 60_000_000, 8_000_000_000, 32, False, "Q4_K", 131_072)
SAMPLE = Sample("Llama 3.1 8B", "llamacpp", HERE, WORK, 512, 92.5, 1400.0, "exp_1")
KEPT = Kept("2026-11-23T10:00:00+08:00", MAC.memory_bytes, HERE, Reading(692e9, "gpu", BY_GPU), (SAMPLE,))


@pytest.fixture(scope="module")
def here() -> Machine:
    return read_machine(measure=False)


@pytest.fixture
def ledger(tmp_path: Path, here: Machine) -> Ledger:
    return memory.open_ledger(tmp_path / "ledger", here.limit_bytes)


@pytest.mark.alone
def test_reading_is_short_and_possible_and_gives_its_memory_back(here: Machine, ledger: Ledger) -> None:
    found = measured_reading(dataclasses.replace(here, unified_memory=False), ledger)
    assert (found.by, found.basis) == ("cpu", BY_CPU)
    assert 0.5e9 < found.bytes_per_second < 5e12
    assert memory.holders(ledger) == ()


def test_without_free_memory_nothing_is_measured(tmp_path: Path, here: Machine) -> None:
    assert measured_reading(here, memory.open_ledger(tmp_path, MIB)) == NOTHING


@pytest.mark.parametrize(("memory_bytes", "most", "amount"), [(512, 1024, 1024), (4, 1024, 256), (0, 512, 64)])
def test_what_is_read_is_bounded(memory_bytes: int, most: int, amount: int) -> None:
    assert block_bytes(memory_bytes * GIB, most * MIB) == amount * MIB


@pytest.mark.parametrize(
    ("answer", "rate"),
    [
        ('{"bytes_per_second": 692e9, "device": "Device(gpu, 0)"}\n', 692e9),
        ('{"bytes_per_second": 13e9, "device": "Device(cpu, 0)"}', 0.0),
        ('{"bytes_per_second": NaN, "device": "Device(gpu, 0)"}', 0.0),
        ('{"bytes_per_second": 1e999, "device": "Device(gpu, 0)"}', 0.0),
        ('{"bytes_per_second": -1, "device": "Device(gpu, 0)"}', 0.0),
        ('{"device": "Device(gpu, 0)"}', 0.0),
        ("[" * 100_000, 0.0),
        ("7", 0.0),
        ("Segmentation fault", 0.0),
        ("", 0.0),
    ],
)
def test_what_the_gpu_says(answer: str, rate: float) -> None:
    assert parse_gpu_rate(answer) == rate


@pytest.mark.skipif(sys.platform == "darwin", reason="there is a GPU")
def test_mlx_without_a_gpu_says_so() -> None:
    pytest.importorskip("mlx.core")
    assert gpu_rate(64 * MIB) == 0.0


def test_one_pause_does_not_make_a_decode_slow() -> None:
    steady = [0.3 + 0.01 * number for number in range(24)]
    paused = [moment + (5.0 if number > 12 else 0.0) for number, moment in enumerate(steady)]
    together = [moment for number, moment in enumerate(steady) for _ in range(2) if number % 2]  # pairs, as often
    for arrivals in (steady, paused, together):
        assert steady_rate(arrivals) == pytest.approx(100.0, rel=0.01)
    assert steady_rate([0.1, 0.2]) == steady_rate([]) == steady_rate([1.0] * 24) == 0.0


def test_a_sample_comes_back_as_it_was() -> None:
    assert from_data(json.loads(json.dumps(to_data(SAMPLE))), HERE) == SAMPLE


def broken() -> Iterator[dict[str, Any]]:
    good = to_data(SAMPLE)
    for field in good:
        yield {key: value for key, value in good.items() if key != field}
        yield good | {field: None}
        yield good | {field: [1]}
    for field, value in (
        ("decode_tok_s", math.nan),
        ("decode_tok_s", -1),
        ("prompt_tokens", 1.5),
        ("model", "x" * 501),
    ):
        yield good | {field: value}
    for field, value in (("weight_bytes", -1), ("layers", True), ("parameters", 2**70), ("quantization", 4)):
        yield good | {"work": good["work"] | {field: value}}


@pytest.mark.parametrize("data", list(broken()))
def test_a_broken_sample_is_refused(data: dict[str, Any]) -> None:
    with pytest.raises((ValueError, KeyError, TypeError)):
        from_data(data, HERE)


def test_samples_of_one_run_count_once() -> None:
    again, longer = dataclasses.replace(SAMPLE, decode_tok_s=95.0), dataclasses.replace(SAMPLE, prompt_tokens=4096)
    assert merged([SAMPLE, longer], [again]) == (longer, again)


def test_a_run_that_shared_the_machine_does_not_count() -> None:
    usual, longer = SAMPLE, dataclasses.replace(SAMPLE, prompt_tokens=1500, decode_tok_s=88.0)
    starved = dataclasses.replace(longer, decode_tok_s=0.8)
    assert undisturbed([usual, longer]) == (usual, longer)
    assert undisturbed([usual, starved]) == (usual,)
    assert undisturbed([starved]) == ()
    assert undisturbed([]) == ()


def test_only_this_machines_samples_are_kept() -> None:
    other = dataclasses.replace(SAMPLE, hardware=Hardware("Apple M4 Max", 546e9, True, 40, 12))
    smaller = dataclasses.replace(SAMPLE, hardware=dataclasses.replace(HERE, gpu_cores=60))
    before = dataclasses.replace(SAMPLE, hardware=hardware_of(MAC))
    assert of_this(HERE, [other, before, smaller]) == (SAMPLE,)
    assert len(of_this(HERE, [dataclasses.replace(SAMPLE, prompt_tokens=n) for n in range(600)])) == 500


def test_what_is_kept_is_read_again(tmp_path: Path) -> None:
    assert read_with_warning(tmp_path, MAC) == (None, "")
    write(tmp_path, KEPT)
    assert read(tmp_path) == read(tmp_path, MAC) == KEPT
    assert [path.name for path in (tmp_path / "state").iterdir()] == ["calibration.json"]


def test_another_machines_calibration_is_passed_over(tmp_path: Path) -> None:
    write(tmp_path, KEPT)
    for other in (PC, dataclasses.replace(MAC, gpu_cores=60), dataclasses.replace(MAC, memory_bytes=256 * GIB)):
        kept, warning = read_with_warning(tmp_path, other)
        assert kept is None
        assert "was made on another machine (Apple M3 Ultra)" in warning
        assert read(tmp_path, other) is None


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"version": None},
        {"made": "yesterday"},
        {"reading": {"bytes_per_second": -1, "by": "cpu"}},
        {"reading": {"bytes_per_second": 1.0, "by": "hand"}},
        {"hardware": []},
        {"samples": [{}]},
        {"samples": None},
        {"memory_bytes": math.inf},
    ],
)
def test_a_damaged_one_is_passed_over(tmp_path: Path, change: dict[str, Any]) -> None:
    write(tmp_path, KEPT)
    path = path_of(tmp_path)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    kept, warning = read_with_warning(tmp_path, MAC)
    assert kept is None
    assert "is no calibration that can be read" in warning


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"\xff", b"[" * 100_000, b" " * (4 * MIB + 1)])
def test_no_json_is_passed_over(tmp_path: Path, content: bytes) -> None:
    path_of(tmp_path).parent.mkdir()
    path_of(tmp_path).write_bytes(content)
    assert read_with_warning(tmp_path)[1]


def test_doctor_tells_of_it(tmp_path: Path) -> None:
    (_limit, check) = doctor_checks(tmp_path, lambda: MAC)
    assert (check.run().verdict, check.run().detail[:17]) == ("skip", "Not measured yet:")
    write(tmp_path, KEPT)
    assert check.run().detail == "1 measured speeds, 692 GB/s read, of 2026-11-23"
    write(tmp_path, dataclasses.replace(KEPT, disturbed=2))
    assert check.run().verdict == "warn"
    assert check.run().detail.endswith("; other programs disturbed 2 runs")
    path_of(tmp_path).write_text("{")
    assert check.run().verdict == "warn"


def test_selftest_measures_on_a_mac_only(ledger: Ledger) -> None:
    (check,) = selftest_checks(lambda: PC, lambda: ledger)
    assert check.run().verdict == "skip"


@pytest.fixture
def subject(smollm2: Path) -> Subject:
    header = FORMAT.read_header(from_path(smollm2))
    return Subject(smollm2, "SmolLM2 135M", header.shape, header.quantization)


@pytest.mark.alone
def test_after_it_predictions_of_this_machine_come_true(
    tmp_path: Path, here: Machine, ledger: Ledger, subject: Subject
) -> None:
    # One thread: two would wait for each other at every step while another test has one of two cores.
    hardware = dataclasses.replace(hardware_of(here), cpu_cores=1)
    samples = measure_engine(engine("llamacpp"), subject, hardware, ledger=ledger, log=tmp_path / "engine.log")
    lengths = [sample.prompt_tokens for sample in samples]
    assert lengths == list(PROMPTS[: len(lengths)])  # a machine that is busy leaves out the longest
    assert {(sample.engine, sample.source) for sample in samples} == {("llamacpp", SOURCE)}
    assert all(sample.prefill_tok_s > 0 for sample in samples)
    assert memory.holders(ledger) == ()
    calibration = fit(samples)
    predicted = [decode(sample.work, hardware, "llamacpp", calibration).prediction for sample in samples]
    factors = [math.log(one.decode_tok_s / each.value) for one, each in zip(samples, predicted, strict=True)]
    together = math.exp(math.fsum(factors) / len(factors))  # one run may be off: another test took the cores
    assert predicted[0].low <= together * predicted[0].value <= predicted[0].high


@pytest.mark.alone
def test_a_calibration_with_a_run(tmp_path: Path, here: Machine, ledger: Ledger, subject: Subject) -> None:
    runs = [(engine("llamacpp"), subject)]
    kept = calibrate(tmp_path, here, runs, ledger=ledger, log=tmp_path / "engine.log")
    assert kept.samples or kept.disturbed  # other tests may keep the cores busy: then no run counts
    assert {sample.model for sample in kept.samples} <= {"SmolLM2 135M"}
    assert {sample.hardware for sample in kept.samples} <= {kept.hardware}
    assert kept.hardware.measured_bandwidth == kept.reading.bytes_per_second > 0.5e9
    assert read(tmp_path, here) == kept
    assert memory.holders(ledger) == ()


def test_what_was_measured_before_stays(tmp_path: Path, here: Machine, ledger: Ledger) -> None:
    hardware = hardware_of(here)
    earlier = dataclasses.replace(SAMPLE, hardware=hardware)
    reading = Reading(1e9, "cpu", BY_CPU)
    write(tmp_path, Kept("2026-01-01T00:00:00+00:00", here.memory_bytes, hardware, reading, (earlier,)))
    measured = dataclasses.replace(earlier, source="exp_2")
    kept = calibrate(tmp_path, here, [], ledger=ledger, log=tmp_path / "engine.log", measured=[measured])
    assert [sample.source for sample in kept.samples] == ["exp_1", "exp_2"]
    assert kept.reading.bytes_per_second != reading.bytes_per_second
    assert {sample.hardware for sample in kept.samples} == {kept.hardware}
    assert kept.made > "2026-01-02"
