"""What the planner expects of a model on a machine, before it is loaded."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from ultralab.assess.places import hardware_of
from ultralab.engines.base import Engine, LoadOptions
from ultralab.experiments.types import Expected
from ultralab.machine import Machine
from ultralab.planner.hardware import Hardware
from ultralab.planner.speed import Calibration, decode, work_of
from ultralab.planner.types import Demand, ModelShape

_CACHED: Final = 512
"""Tokens in the cache while speed is measured, where nobody says: experiments measure with short prompts."""


def expect(
    shape: ModelShape,
    engine: Engine,
    options: LoadOptions,
    machine: Machine,
    calibration: Calibration | None = None,
    *,
    reading: float = 0.0,
    cached: int = _CACHED,
) -> Expected:
    """Memory and decode speed. Pure. Raises Unsupported for a shape that cannot be planned.

    ``calibration`` and ``reading``: what was measured on this machine, the latter how fast memory is read (bytes/s, 0:
    not measured). ``cached``: tokens in the cache while speed is measured.
    """
    memory = engine.plan(shape, options)
    work = work_of(shape, Demand(options.context), min(cached, options.context), "")
    speed = decode(work, _hardware(machine, options.threads, reading), engine.name, calibration).prediction
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


def _hardware(machine: Machine, threads: int, reading: float) -> Hardware:
    """The machine as plans see it, with as many cores as threads may use."""
    cores = min(threads or machine.performance_cores, machine.logical_cores)
    return replace(hardware_of(machine, reading), cpu_cores=cores)
