"""The planner's word on a model before it is loaded."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.unit.experiments.bench_sample import MACHINE, shape

from ultralab.engines import engine
from ultralab.engines.base import LoadOptions
from ultralab.experiments.expect import expect
from ultralab.machine.types import Bandwidth
from ultralab.planner.hardware import Hardware, Sample
from ultralab.planner.speed import fit, work_of
from ultralab.planner.types import Demand


def test_memory_is_the_engines_plan_and_speed_follows_from_the_cores() -> None:
    found = expect(shape(), engine("fake"), LoadOptions(512, 2), MACHINE)
    plan = engine("fake").plan(shape(), LoadOptions(512, 2))
    assert (found.memory_bytes, found.memory_error_band, found.memory_basis) == (plan.total, 0.25, plan.basis)
    assert found.memory_parts == {"weights": 0, "kv_cache": 0, "compute": 0, "overhead": 30_000_000}
    traffic = 9e7 + 3.3 * 2 * 2 * (16 + 16) * 512 * 2
    assert (found.decode_low, found.decode_tok_s, found.decode_high) == pytest.approx(
        (5e9 / traffic, 11e9 / traffic, 16e9 / (9e7 + 2 * 2 * (16 + 16) * 512 * 2))  # at last, the memory
    )


def test_parts_add_up_for_a_real_engine() -> None:
    found = expect(shape(), engine("llamacpp"), LoadOptions(512, 2), MACHINE)
    assert sum(found.memory_parts.values()) == found.memory_bytes
    assert found.memory_parts["weights"] == 90_000_000
    assert found.memory_parts["kv_cache"] == 2 * 2 * (16 + 16) * 512 * 2


@pytest.mark.parametrize(("threads", "cores"), [(0, 4), (1, 1), (3, 3), (64, 4)])
def test_no_more_threads_than_cores(threads: int, cores: int) -> None:
    found = expect(shape(), engine("fake"), LoadOptions(512, threads), MACHINE)
    assert found.decode_low == pytest.approx(2.5e9 * cores / (9e7 + 3.3 * 2 * 2 * (16 + 16) * 512 * 2))


def test_a_gpu_with_unified_memory_is_limited_by_its_bandwidth() -> None:
    mac = replace(
        MACHINE,
        chip="Apple M3 Ultra",
        vendor="Apple",
        gpu_cores=80,
        unified_memory=True,
        bandwidth=Bandwidth(819e9, "table", "Apple"),
    )
    found = expect(shape(), engine("llamacpp"), LoadOptions(512, 2), mac)
    large = expect(shape(90_000_000_000), engine("llamacpp"), LoadOptions(512, 2), mac)
    assert 0 < found.decode_low < found.decode_tok_s < found.decode_high
    assert 0.5 < large.decode_tok_s * 90e9 / 819e9 < 0.85
    assert found.decode_tok_s < 1000 * large.decode_tok_s  # what each layer takes weighs more in a small model


def test_own_measurements_count() -> None:
    public = expect(shape(), engine("fake"), LoadOptions(512, 2), MACHINE)
    hardware = Hardware("Test", 0.0, gpu=False, gpu_cores=0, cpu_cores=2, measured_bandwidth=20e9)
    work = work_of(shape(), Demand(512), 512, "")
    own = fit([Sample("one", "fake", hardware, work, 512, public.decode_tok_s / 2, 0.0, "here")])
    found = expect(shape(), engine("fake"), LoadOptions(512, 2), MACHINE, own)
    assert 0.5 <= found.decode_tok_s / public.decode_tok_s < 0.55
    assert found.decode_basis != public.decode_basis


def test_a_fuller_cache_is_slower_and_memory_is_never_read_faster_than_measured() -> None:
    few, many = (expect(shape(), engine("fake"), LoadOptions(4096, 2), MACHINE, cached=n) for n in (16, 4000))
    assert many.decode_tok_s < few.decode_tok_s
    slow = expect(shape(), engine("fake"), LoadOptions(4096, 2), MACHINE, reading=1e9)
    assert slow.decode_tok_s < 1e9 / 9e7 < few.decode_tok_s
