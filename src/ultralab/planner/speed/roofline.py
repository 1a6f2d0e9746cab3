"""Seconds of decode and prefill on a GPU, from a work, a machine and rates. No bands, no corrections."""

from __future__ import annotations

import math
from typing import Final

from ultralab.planner.hardware import Hardware, Work
from ultralab.planner.speed.calibration import DecodeRates, PrefillRates
from ultralab.planner.speed.chips import flops, slowness

_BATCH: Final = {"llamacpp": 512, "mlx": 2048}
"""Tokens computed at once: llama.cpp's default micro-batch; mlx-lm's ``prefill_step_size``."""
_READING_SHARE: Final = 0.85
"""Of the nominal bandwidth, what a GPU reads at best: 692 of 819 GB/s on the M3 Ultra (jundot/omlx#2238)."""


def nominal(hardware: Hardware) -> float:
    """The bandwidth that shares are of, bytes/s: the maker's, else from what was measured by reading; 0 if unknown."""
    return hardware.bandwidth or hardware.measured_bandwidth / _READING_SHARE


def decode_terms(work: Work, hardware: Hardware) -> tuple[float, float, float, float, float, float]:
    """What a token takes, to be multiplied by the unknowns of :class:`DecodeRates` in their order: 1/dense, 1/routed,
    1/kv, seconds per dense, routed, and latent layer. The sum of the products is the time in seconds.
    """
    bandwidth, clock = nominal(hardware), slowness(hardware)
    weights, layers = work.weight_bytes / bandwidth, work.layers * clock
    cache, latent = work.kv_bytes / bandwidth, work.latent_layers * clock
    if work.routed:
        return 0.0, weights, cache, 0.0, layers, latent
    return weights, 0.0, cache, layers, 0.0, latent


def decode_seconds(work: Work, hardware: Hardware, rates: DecodeRates) -> float:
    """Seconds per token."""
    unknowns = (
        1 / rates.dense,
        1 / rates.routed,
        1 / rates.kv,
        rates.dense_seconds,
        rates.routed_seconds,
        rates.latent_seconds,
    )
    return sum(term * unknown for term, unknown in zip(decode_terms(work, hardware), unknowns, strict=True))


def prefill_operations(work: Work, tokens: int) -> float:
    """Operations that a prompt takes: two per parameter and token, two per multiplication of a token with a cell before
    it, of which there are half as many as pairs of tokens.
    """
    return 2.0 * work.parameters * tokens + float(work.attention_per_cell) * tokens * tokens


def prefill_reading(work: Work, tokens: int, engine: str, bandwidth: float) -> float:
    """Seconds in which weights are read for a prompt, once for each batch of tokens computed together.

    A batch with experts reads those that any of its tokens chose: at most all, at most what each token reads alone.
    """
    batch = min(tokens, _BATCH.get(engine, 512))
    once = min(max(work.loaded_bytes, work.weight_bytes), batch * work.weight_bytes)
    return math.ceil(tokens / max(1, batch)) * once / (bandwidth * _READING_SHARE)


def prefill_seconds(work: Work, tokens: int, hardware: Hardware, engine: str, rates: PrefillRates) -> float:
    """Seconds for a prompt of ``tokens``."""
    share = rates.routed if work.routed else rates.dense
    computing = prefill_operations(work, tokens) / (flops(hardware) * share)
    return computing + prefill_reading(work, tokens, engine, nominal(hardware))
