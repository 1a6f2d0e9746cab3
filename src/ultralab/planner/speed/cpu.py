"""Speed without a GPU: cores turn weights into products, at most as fast as the memory brings them."""

from __future__ import annotations

import math
from typing import Final

from ultralab.kernel.language import N_
from ultralab.planner.hardware import Hardware, Work
from ultralab.planner.speed.estimate import Estimate
from ultralab.planner.speed.roofline import prefill_operations

# Bytes of quantized weights that one x86-64 core with AVX2 turns into products per second: 4.8 to 7.5 GB/s measured with
# SmolLM2-135M on two cores (benchmarks/README.md); the band is wider than what was seen.
_PER_CORE: Final = (2.5e9, 5.5e9, 9.0e9)
_SHARE: Final = 0.8  # of a measured bandwidth, what reading weights reaches at best

# Operations per second of one such core in prefill. Not measured: 16 multiply-adds a clock (two AVX2 units, FP32) at
# 3 GHz are 96e9, of which kernels for quantized weights reach from a tenth to nearly all.
_OPERATIONS: Final = (10e9, 35e9, 90e9)

_DECODE: Final = N_("5.5 GB/s of weights per CPU core (2.5–9), at most 80 % of the measured bandwidth")
_PREFILL: Final = N_("35 billion operations per second and CPU core (10–90), not measured here")


def cpu_decode(work: Work, hardware: Hardware) -> Estimate:
    """Tokens per second of one sequence on ``hardware.cpu_cores`` cores."""
    traffic = max(1, work.weight_bytes + work.kv_bytes)
    ceiling = hardware.measured_bandwidth * _SHARE or math.inf
    low, middle, high = (min(rate * max(1, hardware.cpu_cores), ceiling) / traffic for rate in _PER_CORE)
    return Estimate(middle, low, high, _DECODE)


def cpu_prefill(work: Work, tokens: int, hardware: Hardware) -> Estimate:
    """Tokens per second of a prompt."""
    operations = max(1.0, prefill_operations(work, tokens))
    low, middle, high = (tokens * rate * max(1, hardware.cpu_cores) / operations for rate in _OPERATIONS)
    return Estimate(middle, low, high, _PREFILL)
