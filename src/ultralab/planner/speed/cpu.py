"""Speed without a GPU: cores turn weights into products, at most as fast as the memory brings them."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final

from ultralab.kernel.language import N_
from ultralab.planner.hardware import Hardware, Work
from ultralab.planner.speed.estimate import SLOWER, UNKNOWN_SHAPE, Estimate
from ultralab.planner.speed.roofline import prefill_operations

# Bytes of quantized weights that one x86-64 core with AVX2 turns into products per second: 4.8 to 7.5 GB/s measured with
# SmolLM2-135M on two cores (benchmarks/README.md); the band is wider than what was seen.
_PER_CORE: Final = (2.5e9, 5.5e9, 9.0e9)
_SHARE: Final = 0.8  # of a measured bandwidth, what reading weights reaches at best

# What a byte of the KV cache costs a core, in bytes of weights: SmolLM2-135M (Q4_1, f16 cache) on two cores decoded 112,
# 90 and 54 tok/s after 64, 512 and 1500 tokens, from which follow 2.5 for short and 3.7 for long contexts.
_KV_COST: Final = 3.3

# Operations per second of one such core in prefill. An estimate: 16 multiply-adds a clock (two AVX2 units, FP32) at
# 3 GHz are 96e9, of which kernels for quantized weights reach from a tenth to nearly all (SmolLM2-135M: 32 to 41e9).
_OPERATIONS: Final = (10e9, 35e9, 90e9)

_DECODE: Final = N_("5.5 GB/s of weights per CPU core (2.5–9), at most 80 % of the measured bandwidth")
_PREFILL: Final = N_("35 billion operations per second and CPU core (10–90), not measured here")


def cpu_decode(work: Work, hardware: Hardware) -> Estimate:
    """Tokens per second of one sequence on ``hardware.cpu_cores`` cores; wide where the cache is not known."""
    low, middle, high = (_decode_rate(work, hardware, rate) for rate in _PER_CORE)
    if work.kv_known:
        return Estimate(middle, low, high, _DECODE)
    without = replace(work, kv_bytes=0)
    middle = math.sqrt(middle * _decode_rate(without, hardware, _PER_CORE[1]))
    return Estimate(middle, low, _decode_rate(without, hardware, _PER_CORE[2]), UNKNOWN_SHAPE, known=False)


def cpu_prefill(work: Work, tokens: int, hardware: Hardware) -> Estimate:
    """Tokens per second of a prompt."""
    operations = max(1.0, prefill_operations(work, tokens))
    low, middle, high = (tokens * rate * max(1, hardware.cpu_cores) / operations for rate in _OPERATIONS)
    if work.kv_known:
        return Estimate(middle, low, high, _PREFILL)
    return Estimate(middle, low / SLOWER, high, UNKNOWN_SHAPE, known=False)


def _decode_rate(work: Work, hardware: Hardware, per_core: float) -> float:
    """By the cores, which compute with the cache more slowly than with weights, and at most by the memory."""
    by_cores = (work.weight_bytes + _KV_COST * work.kv_bytes) / (per_core * max(1, hardware.cpu_cores))
    bandwidth = hardware.measured_bandwidth or hardware.bandwidth
    by_memory = (work.weight_bytes + work.kv_bytes) / (bandwidth * _SHARE) if bandwidth > 0 else 0.0
    return 1 / max(by_cores, by_memory, 1e-9)
