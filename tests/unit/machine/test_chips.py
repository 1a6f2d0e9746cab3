"""The table of Apple chips."""

import re

import pytest

from ultralab.machine.chips import TABLE, find_variant, nominal_bandwidth, variants
from ultralab.machine.types import Bandwidth

FIGURES = [
    ("Apple M1", 8, 68.25),
    ("Apple M1 Pro", 14, 200),
    ("Apple M1 Max", 24, 400),
    ("Apple M1 Ultra", 64, 800),
    ("Apple M2", 10, 100),
    ("Apple M2 Pro", 19, 200),
    ("Apple M2 Max", 38, 400),
    ("Apple M2 Ultra", 76, 800),
    ("Apple M3", 10, 100),
    ("Apple M3 Pro", 14, 150),
    ("Apple M3 Max", 30, 300),
    ("Apple M3 Max", 40, 400),
    ("Apple M3 Ultra", 60, 819),
    ("Apple M3 Ultra", 80, 819),
    ("Apple M4", 10, 120),
    ("Apple M4 Pro", 20, 273),
    ("Apple M4 Max", 32, 410),
    ("Apple M4 Max", 40, 546),
    ("Apple M5", 10, 153),
    ("Apple M5 Pro", 16, 307),
    ("Apple M5 Max", 32, 460),
    ("Apple M5 Max", 40, 614),
    ("Apple M5 Ultra", 80, 1200),
]


@pytest.mark.parametrize(("chip", "gpu_cores", "gb_per_second"), FIGURES)
def test_the_gpu_core_count_decides_between_bandwidths(chip: str, gpu_cores: int, gb_per_second: float) -> None:
    bandwidth = nominal_bandwidth(chip, gpu_cores)
    assert (bandwidth.bytes_per_second, bandwidth.basis) == (gb_per_second * 1e9, "table")


def test_a_chip_with_one_bandwidth_needs_no_gpu_core_count() -> None:
    assert nominal_bandwidth("Apple M3 Ultra", 0).bytes_per_second == 819e9


@pytest.mark.parametrize(
    ("chip", "gpu_cores"),
    [
        ("Apple M3 Max", 0),
        ("Apple M4 Max", 36),
        ("Apple M4 Ultra", 80),
        ("Apple M6", 12),
        ("Apple M1 (Virtual)", 0),
        ("AMD EPYC", 0),
        ("", 0),
    ],
)
def test_what_the_table_does_not_know_is_unknown(chip: str, gpu_cores: int) -> None:
    assert nominal_bandwidth(chip, gpu_cores) == Bandwidth(0.0, "unknown", "")
    assert find_variant(chip, gpu_cores) is None


def test_every_row_is_whole_and_has_its_source() -> None:
    for row in TABLE:
        assert re.fullmatch(r"M[1-5]( Pro| Max| Ultra)?", row.chip)
        assert row.source.startswith(("Apple newsroom 202", "Apple, Mac", "LPDDR4X"))
        assert all(fast > 0 and slow >= 0 for fast, slow in row.cpus)
        assert list(row.gpus) == sorted(set(row.gpus))
        assert row.memory_gb >= 16


def test_rows_of_one_chip_do_not_share_gpu_core_counts() -> None:
    for chip in {row.chip for row in TABLE}:
        counts = [count for row in variants(chip) for count in row.gpus]
        assert len(counts) == len(set(counts))


def test_within_a_generation_more_expensive_is_not_slower() -> None:
    order = ["", " Pro", " Max", " Ultra"]
    for generation in range(1, 6):
        rates = [
            min(row.gb_per_second for row in variants(f"M{generation}{suffix}"))
            for suffix in order
            if variants(f"M{generation}{suffix}")
        ]
        assert rates == sorted(rates)
