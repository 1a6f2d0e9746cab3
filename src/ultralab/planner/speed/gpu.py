"""Speed on an Apple GPU: the roofline with calibrated rates, and bands from models that the fit had not seen."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final

from ultralab.kernel.language import N_
from ultralab.planner.hardware import Hardware, Work
from ultralab.planner.speed.calibration import Calibration
from ultralab.planner.speed.chips import family, flops, has_matrix_units
from ultralab.planner.speed.estimate import SLOWER, UNKNOWN_SHAPE, Estimate, unknown, within
from ultralab.planner.speed.roofline import decode_seconds, nominal, prefill_seconds

_KERNELS: Final = {"llamacpp": "llamacpp", "ollama": "llamacpp", "mlx": "mlx"}
"""Whose kernels an engine computes with."""

_DECODE: Final = N_("bytes read per token over the bandwidth, fitted to public measurements on Apple chips")
_PREFILL: Final = N_("operations per prompt over the GPU's peak, fitted to public measurements on Apple chips")
_AS_LLAMACPP: Final = N_("as llama.cpp would be, or up to three times slower: nobody measured this engine")
_BANDWIDTH: Final = N_("unknown: neither the bandwidth of this chip nor a measured one is known")
_CORES: Final = N_("unknown: the number of GPU cores is not known")


def gpu_decode(work: Work, hardware: Hardware, engine: str, calibration: Calibration) -> Estimate:
    """Tokens per second of one sequence."""
    if nominal(hardware) <= 0:
        return unknown(_BANDWIDTH)
    kernels = _KERNELS.get(engine, "llamacpp")
    rates = calibration.decode[kernels, family(hardware)]
    spread = rates.spread(work)
    slowest = decode_seconds(work, hardware, rates)
    if not work.kv_known:
        fastest = decode_seconds(replace(work, kv_bytes=0), hardware, rates)
        value = 1 / math.sqrt(slowest * fastest)
        return Estimate(value, math.exp(-spread) / slowest / 2, math.exp(spread) / fastest, UNKNOWN_SHAPE, known=False)
    return _for_engine(within(1 / max(slowest, 1e-9), spread, _DECODE), engine)


def gpu_prefill(work: Work, tokens: int, hardware: Hardware, engine: str, calibration: Calibration) -> Estimate:
    """Tokens per second of a prompt: at least as many as if it were decoded token by token."""
    if nominal(hardware) <= 0:
        return unknown(_BANDWIDTH)
    if flops(hardware) <= 0:
        return unknown(_CORES)
    kernels = _KERNELS.get(engine, "llamacpp")
    rates = calibration.prefill[kernels, has_matrix_units(hardware)]
    spread = rates.routed_spread if work.routed else rates.dense_spread
    one_by_one = tokens * decode_seconds(work, hardware, calibration.decode[kernels, family(hardware)])
    seconds = min(prefill_seconds(work, tokens, hardware, kernels, rates), one_by_one)
    found = within(tokens / max(seconds, 1e-9), spread, _PREFILL)
    if not work.kv_known:
        return replace(found, low=found.low / SLOWER, basis=UNKNOWN_SHAPE, known=False)
    return _for_engine(found, engine)


def _for_engine(estimate: Estimate, engine: str) -> Estimate:
    if engine in _KERNELS:
        return estimate
    return replace(estimate, low=estimate.low / SLOWER, basis=_AS_LLAMACPP)
