"""Speed on an Apple GPU: the roofline with calibrated rates, and bands from models that the fit had not seen."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final

from ultralab.kernel.language import N_
from ultralab.planner.hardware import Hardware, Work
from ultralab.planner.speed.calibration import Calibration
from ultralab.planner.speed.chips import family, flops, has_matrix_units
from ultralab.planner.speed.estimate import Estimate, unknown, within
from ultralab.planner.speed.roofline import decode_seconds, nominal, prefill_seconds

_KERNELS: Final = {"llamacpp": "llamacpp", "ollama": "llamacpp", "mlx": "mlx"}
"""Whose kernels an engine computes with."""
_SLOWER: Final = math.log(3)
"""How much slower than llama.cpp an engine may be that nobody measured."""

_DECODE: Final = N_("bytes read per token over the bandwidth, fitted to public measurements on Apple chips")
_PREFILL: Final = N_("operations per prompt over the GPU's peak, fitted to public measurements on Apple chips")
_AS_LLAMACPP: Final = N_("as llama.cpp would be, or up to three times slower: nobody measured this engine")
_BANDWIDTH: Final = N_("unknown: neither the bandwidth of this chip nor a measured one is known")
_CORES: Final = N_("unknown: the number of GPU cores is not known")
_SHAPE: Final = N_("the architecture is not known: between no cache at all and one that every layer keeps whole")


def gpu_decode(work: Work, hardware: Hardware, engine: str, calibration: Calibration) -> Estimate:
    """Tokens per second of one sequence."""
    if nominal(hardware) <= 0:
        return unknown(_BANDWIDTH)
    kernels = _KERNELS.get(engine, "llamacpp")
    rates = calibration.decode[kernels, family(hardware)]
    spread = rates.routed_spread if work.routed else rates.dense_spread
    slowest = decode_seconds(work, hardware, rates)
    if not work.kv_known:
        fastest = decode_seconds(replace(work, kv_bytes=0), hardware, rates)
        value = 1 / math.sqrt(slowest * fastest)
        return Estimate(value, math.exp(-spread) / slowest / 2, math.exp(spread) / fastest, _SHAPE, known=False)
    return _for_engine(within(1 / max(slowest, 1e-9), spread, _DECODE), engine)


def gpu_prefill(work: Work, tokens: int, hardware: Hardware, engine: str, calibration: Calibration) -> Estimate:
    """Tokens per second of a prompt."""
    if nominal(hardware) <= 0:
        return unknown(_BANDWIDTH)
    if flops(hardware) <= 0:
        return unknown(_CORES)
    kernels = _KERNELS.get(engine, "llamacpp")
    rates = calibration.prefill[kernels, has_matrix_units(hardware)]
    spread = rates.routed_spread if work.routed else rates.dense_spread
    seconds = max(prefill_seconds(work, tokens, hardware, kernels, rates), 1e-9)
    found = within(tokens / seconds, spread, _PREFILL)
    if not work.kv_known:
        return replace(found, low=found.low * math.exp(-_SLOWER), basis=_SHAPE, known=False)
    return _for_engine(found, engine)


def _for_engine(estimate: Estimate, engine: str) -> Estimate:
    if engine in _KERNELS:
        return estimate
    return replace(estimate, low=estimate.low * math.exp(-_SLOWER), basis=_AS_LLAMACPP)
