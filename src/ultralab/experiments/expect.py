"""What the planner expects of a model on a machine, before it is loaded."""

from __future__ import annotations

from typing import Final

from ultralab.engines.base import Engine, LoadOptions
from ultralab.experiments.types import Expected
from ultralab.machine import Machine
from ultralab.planner.hardware import Hardware
from ultralab.planner.speed import Calibration, decode, work_of
from ultralab.planner.types import Demand, ModelShape

_CACHED: Final = 512
"""Tokens in the cache while a run's speed is measured, at most: experiments measure with short prompts."""


def expect(
    shape: ModelShape, engine: Engine, options: LoadOptions, machine: Machine, calibration: Calibration | None = None
) -> Expected:
    """Memory and decode speed. Pure. Raises Unsupported for a shape that cannot be planned."""
    memory = engine.plan(shape, options)
    work = work_of(shape, Demand(options.context), min(_CACHED, options.context), "")
    speed = decode(work, _hardware(machine, options.threads), engine.name, calibration).prediction
    return Expected(
        memory_bytes=memory.total,
        memory_parts={
            "weights": memory.weights.bytes,
            "kv_cache": memory.kv_cache.bytes,
            "compute": memory.compute.bytes,
            "overhead": memory.overhead.bytes,
        },
        memory_error_band=memory.error_band,
        memory_basis=memory.basis,
        decode_tok_s=speed.value,
        decode_low=speed.low,
        decode_high=speed.high,
        decode_basis=speed.basis,
    )


def _hardware(machine: Machine, threads: int) -> Hardware:
    """The machine as the planner sees it, with as many cores as threads may use."""
    bandwidth = machine.bandwidth
    return Hardware(
        chip=machine.chip,
        bandwidth=bandwidth.bytes_per_second if bandwidth.basis == "table" else 0.0,
        gpu=machine.gpu_cores > 0 and machine.unified_memory,
        gpu_cores=machine.gpu_cores,
        cpu_cores=min(threads or machine.performance_cores, machine.logical_cores),
        measured_bandwidth=bandwidth.bytes_per_second if bandwidth.basis == "measured" else 0.0,
    )
