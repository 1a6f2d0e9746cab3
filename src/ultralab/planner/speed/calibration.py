"""What the roofline was calibrated with: plain values, public ones and this machine's own."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from ultralab.planner.speed.chips import Family


@dataclass(frozen=True)
class DecodeRates:
    """An engine's decode on one family of chips.

    Seconds for a token = weight bytes / (bandwidth · share) + KV bytes / (bandwidth · ``kv_share``) + layers · seconds.
    Shares are of the nominal bandwidth, ``dense`` or ``routed``; seconds per layer are on an M3's clock, ``latent`` what a
    layer with MLA takes more. ``*_spread``: the 80th percentile of ``|ln(measured / predicted)|`` for models left out.
    """

    dense: float
    routed: float
    kv: float
    dense_seconds: float
    routed_seconds: float
    latent_seconds: float
    dense_spread: float
    routed_spread: float
    points: int


@dataclass(frozen=True)
class PrefillRates:
    """An engine's prefill on GPUs with or without matrix units: shares of the peak operations per second, and spreads."""

    dense: float
    routed: float
    dense_spread: float
    routed_spread: float
    points: int


@dataclass(frozen=True)
class Correction:
    """What this machine's own measurements add: speeds are ``factor`` times those predicted, give or take ``spread``
    (of the logarithm), from ``samples`` measurements.
    """

    factor: float
    spread: float
    samples: int


@dataclass(frozen=True)
class Calibration:
    """``decode`` by engine and family, ``prefill`` by engine and whether the GPU has matrix units; corrections by engine
    and whether experts are routed.
    """

    decode: Mapping[tuple[str, Family], DecodeRates]
    prefill: Mapping[tuple[str, bool], PrefillRates]
    decode_corrections: Mapping[tuple[str, bool], Correction] = field(default_factory=dict)
    prefill_corrections: Mapping[tuple[str, bool], Correction] = field(default_factory=dict)


# How far the logarithm of one measured speed lies from the machine's own mean: what a run, a prompt and a model differ by
# on one machine (repeated public runs of the same model on the M3 Ultra differ by 3 to 10 %).
OWN_SPREAD = 0.08


def correction(residuals: Mapping[str, list[float]], spread: float, own: float = OWN_SPREAD) -> Correction:
    """What own residuals, at least one model's, say.

    The mean of own residuals ``ln(measured / predicted)``, by model, against a prior of 0 with the public ``spread``.

    Normal prior and normal measurements: the mean is weighted by precision, so one model already counts (spread / own)²
    times as much as everything public, and the band shrinks with the number of models to what one run differs by.
    """
    means = [math.fsum(values) / len(values) for values in residuals.values()]
    precision = len(means) / own**2 + 1 / spread**2
    mean = math.fsum(means) / own**2 / precision
    scatter = math.fsum((value - mean) ** 2 for value in means) / len(means)
    variance = max(own**2, scatter) + 1 / precision
    samples = sum(len(values) for values in residuals.values())
    return Correction(math.exp(mean), math.sqrt(variance), samples)
