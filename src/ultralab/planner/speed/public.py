"""The calibration that public measurements give, and how well it predicts models that it has not seen."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from ultralab.planner.hardware import Sample
from ultralab.planner.speed.calibration import LARGE, Calibration, DecodeRates, PrefillRates, percentile
from ultralab.planner.speed.chips import Family, family, flops, has_matrix_units
from ultralab.planner.speed.least_squares import solve
from ultralab.planner.speed.roofline import (
    decode_seconds,
    decode_terms,
    prefill_computing,
    prefill_fixed,
    prefill_seconds,
)

# What the fit is drawn to where measurements say nothing, and the physical bounds: no share above 1, no negative time.
_PRIOR: Final = (1.2, 1.5, 2.0, 1e-4, 2e-4, 1e-4)
_LEAST: Final = (1.0, 1.0, 1.0, 0.0, 0.0, 0.0)
_STRENGTH: Final = 0.03
_PREFILL_PRIOR: Final = 0.5
_LEAST_SPREAD: Final = 0.05
_FEW: Final = 6  # with fewer errors of a class, a band takes all classes


def fit_public(samples: Sequence[Sample]) -> Calibration:
    """Fit rates for every engine and kind of chip in ``samples``; spreads by leaving one model out at a time.

    A model with many measurements counts as the square root of their number, so that none decides alone.
    """
    decode, prefill = {}, {}
    left_out = left_out_decode(samples)
    for key in sorted({_decode_key(sample) for sample in samples if sample.decode_tok_s}):
        chosen = [sample for sample in samples if sample.decode_tok_s and _decode_key(sample) == key]
        own = [pair for pair in left_out if _decode_key(pair[0]) == key]
        large = [
            _off(sample.decode_tok_s, predicted)
            for sample, predicted in left_out
            if family(sample.hardware) == key[1] and sample.work.loaded_bytes > LARGE
        ]
        decode[key] = replace(_with_decode_spreads(_decode_rates(chosen), own), large_spread=percentile(large))
    for one in sorted({_prefill_key(sample) for sample in samples if sample.prefill_tok_s}):
        chosen = [sample for sample in samples if sample.prefill_tok_s and _prefill_key(sample) == one]
        prefill[one] = _with_prefill_spreads(_prefill_rates(chosen), left_out_prefill(chosen))
    return Calibration(decode, prefill)


def left_out_decode(samples: Sequence[Sample]) -> list[tuple[Sample, float]]:
    """Each sample with the decode speed (tok/s) that a fit without its model predicts; none where nothing is left."""
    measured = [sample for sample in samples if sample.decode_tok_s]
    return _left_out(measured, _decode_key, _predict_decode)


def left_out_prefill(samples: Sequence[Sample]) -> list[tuple[Sample, float]]:
    """The same for prefill."""
    measured = [sample for sample in samples if sample.prefill_tok_s]
    return _left_out(measured, _prefill_key, _predict_prefill)


def _left_out(
    samples: Sequence[Sample],
    key: Callable[[Sample], tuple[str, object]],
    predict: Callable[[Sequence[Sample], Sample], float],
) -> list[tuple[Sample, float]]:
    found = []
    for sample in samples:
        others = tuple(one for one in samples if one.model != sample.model and key(one) == key(sample))
        if others:
            found.append((sample, predict(others, sample)))
    return found


def _predict_decode(others: Sequence[Sample], sample: Sample) -> float:
    return 1 / decode_seconds(sample.work, sample.hardware, _decode_rates(others))


def _predict_prefill(others: Sequence[Sample], sample: Sample) -> float:
    rates, tokens = _prefill_rates(others), sample.prompt_tokens
    seconds = prefill_seconds(sample.work, tokens, sample.hardware, sample.engine, rates, sample.batch)
    return sample.prompt_tokens / seconds


def _decode_key(sample: Sample) -> tuple[str, Family]:
    return sample.engine, family(sample.hardware)


def _prefill_key(sample: Sample) -> tuple[str, bool]:
    return sample.engine, has_matrix_units(sample.hardware)


def _decode_rates(samples: Sequence[Sample]) -> DecodeRates:
    rows = [[term * sample.decode_tok_s for term in decode_terms(sample.work, sample.hardware)] for sample in samples]
    found = solve(rows, _model_weights(samples), _PRIOR, _LEAST, _STRENGTH)
    return DecodeRates(
        dense=1 / found[0],
        routed=1 / found[1],
        kv=1 / found[2],
        dense_seconds=found[3],
        routed_seconds=found[4],
        latent_seconds=found[5],
        dense_spread=0.0,
        routed_spread=0.0,
        large_spread=0.0,
        points=len(samples),
    )


def _prefill_rates(samples: Sequence[Sample]) -> PrefillRates:
    """Each class's share: the weighted median of what the samples' own computing times say."""
    shares = {}
    for routed in (False, True):
        chosen = [sample for sample in samples if sample.work.routed == routed]
        said = [_share(sample) for sample in chosen]
        shares[routed] = _weighted_median(said, _model_weights(chosen)) if chosen else None
    dense, routed_share = shares[False], shares[True]
    return PrefillRates(
        dense=dense or routed_share or _PREFILL_PRIOR,
        routed=routed_share or dense or _PREFILL_PRIOR,
        dense_spread=0.0,
        routed_spread=0.0,
        points=len(samples),
    )


def _share(sample: Sample) -> float:
    """Of the peak, what one sample's prefill used, beside the time that no share changes (at most nine tenths of all)."""
    tokens, hardware = sample.prompt_tokens, sample.hardware
    total = tokens / sample.prefill_tok_s
    fixed = prefill_fixed(sample.work, tokens, hardware, sample.engine, sample.batch)
    operations = prefill_computing(sample.work, tokens, sample.engine, sample.batch)
    return min(1.0, operations / (max(total - fixed, total / 10) * flops(hardware)))


def _model_weights(samples: Sequence[Sample]) -> list[float]:
    counts = Counter(sample.model for sample in samples)
    return [1 / math.sqrt(counts[sample.model]) for sample in samples]


def _weighted_median(values: Sequence[float], weights: Sequence[float]) -> float:
    pairs = sorted(zip(values, weights, strict=True))
    half, passed = sum(weights) / 2, 0.0
    for value, weight in pairs:
        passed += weight
        if passed >= half:
            return value
    return pairs[-1][0]


def _with_decode_spreads(rates: DecodeRates, pairs: Sequence[tuple[Sample, float]]) -> DecodeRates:
    errors = [(sample.work.routed, _off(sample.decode_tok_s, predicted)) for sample, predicted in pairs]
    return replace(rates, dense_spread=_spread(errors, False), routed_spread=_spread(errors, True))


def _with_prefill_spreads(rates: PrefillRates, pairs: Sequence[tuple[Sample, float]]) -> PrefillRates:
    errors = [(sample.work.routed, _off(sample.prefill_tok_s, predicted)) for sample, predicted in pairs]
    return replace(rates, dense_spread=_spread(errors, False), routed_spread=_spread(errors, True))


def _off(measured: float, predicted: float) -> float:
    return abs(math.log(measured / predicted))


def _spread(errors: Sequence[tuple[bool, float]], routed: bool) -> float:
    own = [off for one, off in errors if one == routed]
    chosen = own if len(own) >= _FEW else [off for _, off in errors]
    return max(_LEAST_SPREAD, percentile(chosen)) if chosen else math.log(2)
