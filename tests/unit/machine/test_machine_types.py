"""The value of a machine, and how much of it models may take."""

import dataclasses
import json

import pytest
from tests.machines import MAC as MACHINE

from ultralab.kernel.units import GIB
from ultralab.machine import Bandwidth, memory_limit

MAC = dataclasses.replace(MACHINE, bandwidth=Bandwidth(819e9, "table", "a page"))


def test_on_apple_silicon_the_gpu_limit_is_the_limit() -> None:
    assert memory_limit(MAC) == MAC.limit_bytes == 464 * GIB


@pytest.mark.parametrize(
    ("memory", "limit"),
    [(8 * GIB, 6 * GIB), (20 * GIB, 18 * GIB), (100 * GIB, 90 * GIB), (4 * GIB, 2 * GIB), (GIB, GIB // 2), (0, 0)],
)
def test_elsewhere_a_reserve_is_kept(memory: int, limit: int) -> None:
    machine = dataclasses.replace(MAC, unified_memory=False, gpu_memory_limit_bytes=0, memory_bytes=memory)
    assert memory_limit(machine) == limit


def test_a_limit_above_the_memory_does_not_count() -> None:
    assert memory_limit(dataclasses.replace(MAC, gpu_memory_limit_bytes=600 * GIB)) == 512 * GIB


def test_json_has_every_field_and_the_limit() -> None:
    assert json.loads(json.dumps(MAC.as_json())) == {
        "chip": "Apple M3 Ultra",
        "vendor": "Apple",
        "architecture": "arm64",
        "os_name": "macOS",
        "os_version": "26.5.1",
        "performance_cores": 24,
        "efficiency_cores": 8,
        "logical_cores": 32,
        "memory_bytes": 549755813888,
        "gpu_cores": 80,
        "gpu_memory_limit_bytes": 498216206336,
        "unified_memory": True,
        "bandwidth": {"bytes_per_second": 819e9, "basis": "table", "source": "a page"},
        "limit_bytes": 498216206336,
    }
