"""The verdicts about a machine: of this one, and of Macs that are only values here."""

import dataclasses
import sys

import pytest
from tests.machines import MAC

from ultralab.kernel.checks import Finding
from ultralab.kernel.units import GIB, MIB
from ultralab.machine import Bandwidth
from ultralab.machine.checks import (
    doctor_checks,
    judge_chip,
    judge_copy,
    judge_footprint,
    judge_gpu_cores,
    judge_memory,
    judge_metal,
    judge_read,
    judge_table,
    judge_wired_limit,
    selftest_checks,
)

NEWER = dataclasses.replace(MAC, chip="Apple M9", bandwidth=Bandwidth(0.0, "unknown", ""))
PC = dataclasses.replace(
    NEWER, chip="AMD EPYC", vendor="AMD", unified_memory=False, gpu_cores=0, gpu_memory_limit_bytes=0
)


def test_what_a_mac_is() -> None:
    assert judge_read(MAC) == Finding("pass", "Apple M3 Ultra, 32 cores, 512 GiB, macOS 26.5.1")
    assert judge_read(dataclasses.replace(MAC, memory_bytes=0)).verdict == "fail"


def test_memory() -> None:
    detail = "models may take 464 GiB of 512 GiB, 400 GiB are free now"
    assert judge_memory(MAC, 400 * GIB) == Finding("pass", detail)
    assert judge_memory(MAC, 400 * MIB).verdict == "warn"


def test_chip() -> None:
    source = "Apple, Mac Studio (2025): technical specifications"
    assert judge_chip(MAC) == Finding("pass", f"Apple M3 Ultra: 819 GB/s nominal ({source})")
    assert [judge_chip(machine).verdict for machine in (NEWER, PC)] == ["warn", "pass"]


def test_table() -> None:
    assert judge_table(MAC) == Finding("pass", "Apple M3 Ultra with 24 + 8 CPU cores and 80 GPU cores")
    assert judge_table(NEWER).verdict == "fail"
    assert judge_table(dataclasses.replace(MAC, performance_cores=25)).verdict == "warn"
    assert judge_table(dataclasses.replace(MAC, gpu_cores=70)).verdict == "warn"


def test_gpu_cores() -> None:
    assert judge_gpu_cores(MAC) == Finding("pass", "80 GPU cores")
    assert judge_gpu_cores(dataclasses.replace(MAC, gpu_cores=0)).verdict == "fail"


@pytest.mark.parametrize(("limit_gib", "verdict"), [(464, "pass"), (100, "warn"), (0, "fail"), (600, "fail")])
def test_wired_limit(limit_gib: int, verdict: str) -> None:
    assert judge_wired_limit(dataclasses.replace(MAC, gpu_memory_limit_bytes=limit_gib * GIB)).verdict == verdict


def test_metal() -> None:
    assert judge_metal(MAC, 464 * GIB) == Finding("pass", "recommended working set: 464 GiB")
    assert judge_metal(MAC, 0).detail == "Metal gave no answer; a cautious rule is used: 384 GiB"
    assert judge_metal(MAC, 0).verdict == "warn"


@pytest.mark.parametrize(
    ("held", "verdict"),
    [(0, "fail"), (9 * MIB, "fail"), (10 * MIB, "pass"), (1000 * MIB, "pass"), (2000 * MIB, "fail")],
)
def test_footprint(held: int, verdict: str) -> None:
    assert judge_footprint(held, 100 * MIB).verdict == verdict


@pytest.mark.parametrize(
    ("rate", "verdict"), [(327e9, "fail"), (328e9, "pass"), (600e9, "pass"), (900e9, "pass"), (902e9, "fail")]
)
def test_copy(rate: float, verdict: str) -> None:
    assert judge_copy(MAC, Bandwidth(rate, "measured", "")).verdict == verdict


def test_a_copy_is_told_as_a_share() -> None:
    finding = judge_copy(MAC, Bandwidth(409.5e9, "measured", ""))
    assert finding == Finding("pass", "410 GB/s measured, 50% of 819 GB/s")
    assert judge_copy(NEWER, Bandwidth(409.5e9, "measured", "")).verdict == "fail"


def test_the_claims_about_a_mac_are_skipped_elsewhere_with_the_reason() -> None:
    reason = Finding("skip", "only Apple silicon can show this; here is AMD EPYC")
    assert [judge(PC) for judge in (judge_table, judge_gpu_cores, judge_wired_limit)] == [reason] * 3


def test_the_checks_run_here() -> None:
    doctor = {check.name: check.run().verdict for check in doctor_checks()}
    assert list(doctor) == ["machine.read", "machine.memory", "machine.chip"]
    assert "fail" not in doctor.values()
    selftest = {check.name: check.run().verdict for check in selftest_checks()}
    assert selftest["machine.footprint"] == "pass"
    if sys.platform != "darwin":
        del selftest["machine.footprint"]
        assert selftest == dict.fromkeys(
            (
                "machine.chip_in_table",
                "machine.gpu_cores",
                "machine.wired_limit",
                "machine.metal",
                "machine.bandwidth",
            ),
            "skip",
        )
