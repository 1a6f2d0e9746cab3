"""The calibration of one machine: public rates, corrected by what it measured itself."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from ultralab.planner.hardware import Sample
from ultralab.planner.speed.calibration import Calibration, Correction, correction
from ultralab.planner.speed.defaults import PUBLIC
from ultralab.planner.speed.estimate import Estimate
from ultralab.planner.speed.predict import decode_estimate, prefill_estimate


def fit(samples: Sequence[Sample], base: Calibration = PUBLIC) -> Calibration:
    """``base`` with a correction for each engine and class of models (dense or routed) that ``samples`` measured.

    All samples are of one machine. How much they weigh: see :func:`ultralab.planner.speed.calibration.correction`.
    """
    decoded = [
        (sample, sample.decode_tok_s, decode_estimate(sample.work, sample.hardware, sample.engine, base))
        for sample in samples
        if sample.decode_tok_s > 0
    ]
    prefilled = [
        (sample, sample.prefill_tok_s, _prefilled(sample, base))
        for sample in samples
        if sample.prefill_tok_s > 0 and sample.prompt_tokens > 0
    ]
    return replace(base, decode_corrections=_corrections(decoded), prefill_corrections=_corrections(prefilled))


def _prefilled(sample: Sample, base: Calibration) -> Estimate:
    return prefill_estimate(sample.work, sample.prompt_tokens, sample.hardware, sample.engine, base)


def _corrections(measured: Sequence[tuple[Sample, float, Estimate]]) -> dict[tuple[str, bool], Correction]:
    residuals: dict[tuple[str, bool], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    spreads: dict[tuple[str, bool], float] = {}
    for sample, speed, estimate in measured:
        if estimate.known and estimate.value > 0:
            key = sample.engine, sample.work.routed
            residuals[key][sample.model].append(math.log(speed / estimate.value))
            spreads[key] = max(spreads.get(key, 0.0), estimate.spread)
    return {key: correction(found, spreads[key]) for key, found in residuals.items()}
