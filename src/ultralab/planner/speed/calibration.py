"""What the roofline was calibrated with: plain values, public ones and this machine's own."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from ultralab.planner.hardware import Work
from ultralab.planner.speed.chips import Family

LARGE: Final = 128e9
"""Bytes of weights. Of larger models few speeds are public, and they are missed by more: Llama 3.1 405B reaches 58 % of the
M3 Ultra's bandwidth where 70B reaches 72 % (geerlingguy/ai-benchmarks), and nobody says why."""


@dataclass(frozen=True)
class DecodeRates:
    """An engine's decode on one family of chips.

    Seconds for a token = weight bytes / (bandwidth · share) + KV bytes / (bandwidth · ``kv_share``) + layers · seconds.
    Shares are of the nominal bandwidth, ``dense`` or ``routed``; seconds per layer are on an M3's clock, ``latent`` what a
    layer with MLA takes more. ``*_spread``: the 80th percentile of ``|ln(measured / predicted)|`` for models left out;
    ``large_spread``: the same for those of more than ``LARGE`` bytes, whatever their engine, 0 where none was measured.
    """

    dense: float
    routed: float
    kv: float
    dense_seconds: float
    routed_seconds: float
    latent_seconds: float
    dense_spread: float
    routed_spread: float
    large_spread: float
    points: int

    def spread(self, work: Work) -> float:
        """Half the band's width for ``work``, of the logarithm."""
        usual = self.routed_spread if work.routed else self.dense_spread
        return max(usual, self.large_spread) if work.loaded_bytes > LARGE else usual


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


BAND: Final = 0.8  # of left-out public errors, and of own runs, what a band holds


def percentile(values: Sequence[float]) -> float:
    """The least of ``values`` that ``BAND`` of them do not exceed; 0 for none."""
    return sorted(values)[math.ceil(BAND * len(values)) - 1] if values else 0.0


def correction(residuals: Mapping[str, list[float]], spread: float, own: float = OWN_SPREAD) -> Correction:
    """What own residuals, at least one model's, say.

    The mean of own residuals ``ln(measured / predicted)``, by model, against a prior of 0 with the public ``spread``.

    Normal prior and normal measurements: the mean is weighted by precision, so one model already counts (spread / own)²
    times as much as everything public. The band shrinks with the number of models to what one run differs by, but it
    holds most runs, those of one model at several lengths as well as those of several models.
    """
    means = [math.fsum(values) / len(values) for values in residuals.values()]
    precision = len(means) / own**2 + 1 / spread**2
    mean = math.fsum(means) / own**2 / precision
    off = [abs(value - mean) for values in residuals.values() for value in values]
    variance = max(own, percentile(off)) ** 2 + 1 / precision
    return Correction(math.exp(mean), math.sqrt(variance), len(off))
