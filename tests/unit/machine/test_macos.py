"""Reading a Mac, on recorded and documented outputs (see tests/fixtures/macos/README.md)."""

from pathlib import Path

import pytest

from ultralab.kernel.units import GIB, MIB
from ultralab.machine import Bandwidth, Machine
from ultralab.machine.macos import (
    SYSCTL,
    core_counts,
    default_wired_limit,
    machine_from,
    parse_gpu_cores,
    parse_pairs,
    wired_limit,
)

FIXTURES = Path(__file__).parents[2] / "fixtures" / "macos"


def fixture(name: str) -> str:
    return (FIXTURES / name).read_text()


def test_an_m5_max_with_a_limit_that_was_set() -> None:
    # The report of a 40-core M5 Max was not found: it is the M3 Max's with the chip's name changed.
    displays = fixture("displays_m3_max.json").replace("M3 Max", "M5 Max")
    machine = machine_from(
        sysctl=fixture("sysctl_m5_max.txt"),
        displays=displays,
        version=fixture("sw_vers_26.txt"),
        metal_limit="115448725504\n",
        architecture="arm64",
    )
    assert machine == Machine(
        chip="Apple M5 Max",
        vendor="Apple",
        architecture="arm64",
        os_name="macOS",
        os_version="26.5.1",
        performance_cores=18,
        efficiency_cores=0,
        logical_cores=18,
        memory_bytes=128 * GIB,
        gpu_cores=40,
        gpu_memory_limit_bytes=112 * GIB,
        unified_memory=True,
        bandwidth=Bandwidth(
            614e9, "table", "Apple newsroom 2026-03: 'Apple debuts M5 Pro and M5 Max'; support.apple.com/en-us/126318"
        ),
    )


def test_an_m3_ultra_whose_display_report_and_metal_say_nothing() -> None:
    machine = machine_from(
        sysctl=fixture("sysctl_m3_ultra.txt"),
        displays="",
        version=fixture("sw_vers_26.txt"),
        metal_limit="",
        architecture="arm64",
    )
    assert machine == Machine(
        chip="Apple M3 Ultra",
        vendor="Apple",
        architecture="arm64",
        os_name="macOS",
        os_version="26.5.1",
        performance_cores=20,
        efficiency_cores=8,
        logical_cores=28,
        memory_bytes=96 * GIB,
        gpu_cores=0,
        gpu_memory_limit_bytes=72 * GIB,
        unified_memory=True,
        bandwidth=Bandwidth(819e9, "table", "Apple, Mac Studio (2025): technical specifications"),
    )


def test_an_intel_mac_has_no_unified_memory_and_no_figure() -> None:
    machine = machine_from(
        sysctl=(
            "machdep.cpu.brand_string: Intel(R) Xeon(R) CPU E5-1650 v2 @ 3.50GHz\n"
            "hw.memsize: 17179869184\nhw.physicalcpu: 6\nhw.logicalcpu: 12\n"
        ),
        displays=fixture("displays_intel.json"),
        version=fixture("sw_vers_11.txt"),
        metal_limit="1610612736",
        architecture="x86_64",
    )
    assert machine == Machine(
        chip="Intel(R) Xeon(R) CPU E5-1650 v2 @ 3.50GHz",
        vendor="Intel",
        architecture="x86_64",
        os_name="macOS",
        os_version="11.4",
        performance_cores=6,
        efficiency_cores=0,
        logical_cores=12,
        memory_bytes=16 * GIB,
        gpu_cores=0,
        gpu_memory_limit_bytes=0,
        unified_memory=False,
        bandwidth=Bandwidth(0.0, "unknown", ""),
    )


def test_a_mac_that_answers_nothing_is_still_a_value() -> None:
    machine = machine_from(sysctl="", displays="", version="", metal_limit="", architecture="arm64")
    assert machine == Machine(
        chip="arm64",
        vendor="Apple",
        architecture="arm64",
        os_name="macOS",
        os_version="",
        performance_cores=0,
        efficiency_cores=0,
        logical_cores=0,
        memory_bytes=0,
        gpu_cores=0,
        gpu_memory_limit_bytes=0,
        unified_memory=True,
        bandwidth=Bandwidth(0.0, "unknown", ""),
    )


@pytest.mark.parametrize(
    ("name", "cores"),
    [
        ("sysctl_m1_max.txt", (8, 2)),  # before macOS named its performance levels
        ("sysctl_m3_ultra.txt", (20, 8)),
        ("sysctl_m5_max.txt", (18, 0)),  # Super and Performance
        ("sysctl_m6.txt", (6, 6)),  # Super, Performance, Efficiency
    ],
)
def test_the_names_of_the_levels_tell_the_kinds_of_cores(name: str, cores: tuple[int, int]) -> None:
    assert core_counts(parse_pairs(fixture(name))) == cores


@pytest.mark.parametrize(
    ("text", "cores"),
    [
        (fixture("displays_m2_max.json"), 30),
        (fixture("displays_m3_max.json"), 40),
        (fixture("displays_intel.json"), 0),
        ("", 0),
        ("[]", 0),
        ("{}", 0),
        ('{"SPDisplaysDataType": null}', 0),
        ('{"SPDisplaysDataType": ["text"]}', 0),
        ('{"SPDisplaysDataType": [{"sppci_cores": "many"}, {"sppci_cores": 8}]}', 8),
    ],
)
def test_gpu_cores(text: str, cores: int) -> None:
    assert parse_gpu_cores(text) == cores


def test_pairs_pass_over_what_is_not_a_pair() -> None:
    assert parse_pairs(
        "sysctl: unknown oid 'hw.perflevel2.name'\nhw.memsize: 8\n\nProductName:\t\tmacOS\nempty:\n"
    ) == {
        "sysctl": "unknown oid 'hw.perflevel2.name'",
        "hw.memsize": "8",
        "ProductName": "macOS",
        "empty": "",
    }


def test_the_limit_that_was_set_comes_before_metal_and_metal_before_the_rule() -> None:
    assert wired_limit(128 * GIB, 114688, 115448725504) == 114688 * MIB
    assert wired_limit(128 * GIB, 0, 115448725504) == 115448725504
    assert wired_limit(128 * GIB, 0, 0) == 96 * GIB


@pytest.mark.parametrize(
    ("memory_gib", "limit"),
    [(8, 5726623061), (16, 11453246122), (32, 22906492245), (36, 27 * GIB), (64, 48 * GIB), (512, 384 * GIB)],
)
def test_the_rule(memory_gib: int, limit: int) -> None:
    assert default_wired_limit(memory_gib * GIB) == limit


def test_every_key_that_is_read_is_asked_for() -> None:
    assert {"machdep.cpu.brand_string", "hw.memsize", "iogpu.wired_limit_mb", "hw.perflevel2.name"} <= set(SYSCTL)
    assert SYSCTL[0] == "/usr/sbin/sysctl"
