"""Advice on the GPU's memory limit, on figures that are public (see the module), and what doctor makes of it."""

import dataclasses
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.machines import MAC, PC

from ultralab.assess.calibration.reading import BY_CPU, BY_GPU, Reading
from ultralab.assess.checks import doctor_checks, judge_limit, judge_reading
from ultralab.assess.limits import advice_on_limit, read_wired_limit_mb, recommended_limit
from ultralab.kernel.errors import Unsupported
from ultralab.kernel.units import GIB, MIB
from ultralab.machine.macos import default_wired_limit
from ultralab.machine.named import named_machines


@pytest.mark.parametrize(
    ("memory", "best"),
    [(24, 16), (32, 24), (48, 40), (64, 56), (96, 84), (128, 112), (192, 168), (256, 224), (512, 464)],
)
def test_what_is_recommended(memory: int, best: int) -> None:
    assert recommended_limit(memory * GIB) == best * GIB


def test_the_reference_machine_is_told_to_raise_it_and_how_to_undo_that() -> None:
    advice = advice_on_limit(512 * GIB, 384 * GIB, 0)
    assert (advice.verdict, advice.recommended_mb, advice.recommended_bytes) == ("raise", 475136, 464 * GIB)
    assert advice.command == "sudo sysctl iogpu.wired_limit_mb=475136"
    assert advice.undo == "sudo sysctl iogpu.wired_limit_mb=0"
    assert advice.why == (
        "It would let models take 80.0 GiB more: 464 GiB instead of 384 GiB, and leave 48.0 GiB to everything else."
    )
    assert len(advice.risks) == 3
    assert "LaunchDaemons" in advice.persistence


def test_undoing_puts_back_what_was_set() -> None:
    advice = advice_on_limit(128 * GIB, 100 * GIB, 102400)
    assert (advice.command, advice.undo) == (
        "sudo sysctl iogpu.wired_limit_mb=114688",
        "sudo sysctl iogpu.wired_limit_mb=102400",
    )


def test_a_version_that_allows_enough_by_itself_is_left_alone() -> None:
    for current in (464, 462):
        advice = advice_on_limit(512 * GIB, current * GIB, 0)
        assert (advice.verdict, advice.recommended_mb, advice.command, advice.undo) == ("keep", 0, "", "")
        assert advice.recommended_bytes == current * GIB


def test_what_was_set_well_is_kept_and_can_be_undone() -> None:
    advice = advice_on_limit(128 * GIB, 112 * GIB, 114688)
    assert (advice.verdict, advice.recommended_mb, advice.command) == ("keep", 114688, "")
    assert advice.undo == "sudo sysctl iogpu.wired_limit_mb=0"


@pytest.mark.parametrize("set_mb", [125 * 1024, 128 * 1024, 10**9])
def test_a_limit_that_leaves_nothing_is_to_be_lowered(set_mb: int) -> None:
    advice = advice_on_limit(128 * GIB, set_mb * MIB, set_mb)
    assert (advice.verdict, advice.command) == ("lower", "sudo sysctl iogpu.wired_limit_mb=114688")
    assert judge_limit(advice).verdict == "warn"


@pytest.mark.parametrize(("memory", "current"), [(0, 0), (-1, GIB), (GIB, 0)])
def test_figures_of_no_mac_are_refused(memory: int, current: int) -> None:
    with pytest.raises(Unsupported, match="no GPU memory limit"):
        advice_on_limit(memory, current, 0)


@given(memory=st.integers(8, 2048), current=st.integers(1, 2048), set_mb=st.integers(0, 4_000_000))
def test_advice_never_takes_from_macos_what_it_needs(memory: int, current: int, set_mb: int) -> None:
    advice = advice_on_limit(memory * GIB, current * GIB, set_mb)
    if advice.command:
        left = memory * GIB - advice.recommended_mb * MIB
        assert left >= min(8 * GIB, memory * GIB - default_wired_limit(memory * GIB) - MIB)
        assert advice.command.endswith(f"={advice.recommended_mb}")
        assert advice.undo
        assert advice.risks
    assert advice.why
    assert advice.to_data()["verdict"] == advice.verdict


def test_no_named_mac_is_advised_below_its_default() -> None:
    for machine in named_machines():
        memory = machine.memory_bytes
        assert default_wired_limit(memory) - MIB < recommended_limit(memory) < memory


@pytest.mark.skipif(sys.platform == "darwin", reason="there it may be set")
def test_no_other_system_has_the_setting() -> None:
    assert read_wired_limit_mb() == 0


def test_what_doctor_says() -> None:
    raised = judge_limit(advice_on_limit(512 * GIB, 384 * GIB, 0))
    assert (raised.verdict, raised.detail) == (
        "pass",
        "the GPU may keep 384 GiB of 512 GiB; up to 464 GiB would be sensible",
    )
    assert judge_limit(advice_on_limit(512 * GIB, 464 * GIB, 0)).detail == "the GPU may keep 464 GiB of 512 GiB"
    (limit,) = doctor_checks(None, lambda: PC)
    assert limit.run().verdict == "skip"


@pytest.mark.parametrize(
    ("rate", "by", "verdict"),
    [
        (692e9, "gpu", "pass"),
        (300e9, "gpu", "fail"),
        (900e9, "gpu", "fail"),
        (400e9, "cpu", "warn"),
        (0.0, "cpu", "warn"),
    ],
)
def test_what_selftest_makes_of_a_reading(rate: float, by: str, verdict: str) -> None:
    reading = Reading(rate, "gpu", BY_GPU) if by == "gpu" else Reading(rate, "cpu", BY_CPU)
    assert judge_reading(MAC, reading).verdict == verdict


def test_a_reading_is_told_as_a_share() -> None:
    finding = judge_reading(MAC, Reading(692e9, "gpu", BY_GPU))
    assert finding.detail == "692 GB/s read, 84% of 819 GB/s (measured here: the GPU reads memory)"
    assert (
        judge_reading(dataclasses.replace(MAC, bandwidth=PC.bandwidth), Reading(1.0, "gpu", BY_GPU)).verdict == "warn"
    )
