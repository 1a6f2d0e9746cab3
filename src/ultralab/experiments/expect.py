"""What the planner expects of a model on a machine, before it is loaded."""

from __future__ import annotations

from ultralab.engines.base import Engine, LoadOptions
from ultralab.experiments.types import Expected
from ultralab.machine import Machine
from ultralab.planner import decode_speed
from ultralab.planner.types import ModelShape


def expect(shape: ModelShape, engine: Engine, options: LoadOptions, machine: Machine) -> Expected:
    """Memory and decode speed. Pure. Raises Unsupported for a shape that cannot be planned."""
    memory = engine.plan(shape, options)
    speed = decode_speed(
        shape.bytes_per_token,
        bandwidth=machine.bandwidth.bytes_per_second,
        cores=min(options.threads or machine.performance_cores, machine.logical_cores),
        gpu=machine.gpu_cores > 0 and machine.unified_memory,
    )
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
