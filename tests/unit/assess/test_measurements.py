"""The public measurements: well formed, with sources, and predicted by a fit that has not seen their model."""

from __future__ import annotations

import statistics
from functools import cache

import pytest

from ultralab.assess.measurements import Measurement, measurements, public_samples
from ultralab.planner.hardware import Sample
from ultralab.planner.speed import decode, prefill
from ultralab.planner.speed.calibration import Calibration
from ultralab.planner.speed.defaults import PUBLIC
from ultralab.planner.speed.public import fit_public, left_out_decode, left_out_prefill
from ultralab.planner.types import Prediction

REFERENCE = "M3 Ultra"


@cache
def fitted() -> Calibration:
    return fit_public(public_samples())


@cache
def decoded() -> tuple[tuple[Sample, float], ...]:
    return tuple(pair for pair in left_out_decode(public_samples()) if pair[0].hardware.chip == REFERENCE)


def test_every_row_is_physically_possible_and_says_where_it_is_from() -> None:
    for row in measurements():
        sample = row.sample
        assert len(sample.source) > 10
        assert sample.hardware.bandwidth > 0
        assert 0 < sample.work.weight_bytes <= sample.work.loaded_bytes
        assert (sample.decode_tok_s > 0) != (sample.prefill_tok_s > 0)
        if sample.decode_tok_s and not row.excluded:
            read = (sample.work.weight_bytes + sample.work.kv_bytes) * sample.decode_tok_s
            assert read < sample.hardware.bandwidth, sample


def test_there_are_enough_of_them() -> None:
    used = [row.sample for row in measurements() if not row.excluded and row.sample.hardware.chip == REFERENCE]
    assert len({sample.model for sample in used}) >= 20
    assert sum(sample.decode_tok_s > 0 for sample in used) >= 80
    assert {sample.engine for sample in used} == {"llamacpp", "mlx"}
    assert {sample.hardware.gpu_cores for sample in used} == {60, 80}


def test_what_is_not_used_says_why() -> None:
    excluded: list[Measurement] = [row for row in measurements() if row.excluded]
    assert all(len(row.excluded) > 20 for row in excluded)
    assert len(excluded) < len(measurements()) / 20
    assert not {row.sample for row in excluded} & set(public_samples())


def test_a_known_shape() -> None:
    rows = [row.sample for row in measurements() if row.sample.model == "llama-3.1-70b" and not row.excluded]
    ollama = next(sample for sample in rows if sample.decode_tok_s == 14.08)
    assert ollama.work.kv_bytes == 80 * 8 * (128 + 128) * 2 * 300
    assert ollama.work.weight_bytes == pytest.approx(69.503e9 * 4.82 / 8)
    assert not ollama.work.routed


def test_decode_of_unseen_models_on_the_reference_machine() -> None:
    errors = [abs(predicted / sample.decode_tok_s - 1) for sample, predicted in decoded()]
    rule = [
        abs(0.55 * sample.hardware.bandwidth / sample.work.weight_bytes / sample.decode_tok_s - 1)
        for sample, _ in decoded()
    ]
    assert statistics.median(errors) <= 0.10
    assert statistics.median(errors) < statistics.median(rule) / 2


def test_prefill_of_unseen_models_on_the_reference_machine() -> None:
    pairs = [pair for pair in left_out_prefill(public_samples()) if pair[0].hardware.chip == REFERENCE]
    assert statistics.median(abs(predicted / sample.prefill_tok_s - 1) for sample, predicted in pairs) <= 0.10


def test_the_bands_hold_what_was_measured() -> None:
    """At least as many as a band promises (80 %), less what the models that share a class's band differ by."""
    held = [_holds(sample, predicted) for sample, predicted in decoded()]
    assert sum(held) / len(held) >= 0.75


def _holds(sample: Sample, predicted: float) -> bool:
    band = decode(sample.work, sample.hardware, sample.engine).prediction
    low, high = band.low / band.value * predicted, band.high / band.value * predicted
    return low <= sample.decode_tok_s <= high


def test_the_constants_are_what_the_fit_gives_now() -> None:
    found = fitted()
    assert set(found.decode) == set(PUBLIC.decode)
    assert set(found.prefill) == set(PUBLIC.prefill)
    for key, rates in found.decode.items():
        assert vars(rates) == pytest.approx(vars(PUBLIC.decode[key]), rel=1e-3)
    for one, computing in found.prefill.items():
        assert vars(computing) == pytest.approx(vars(PUBLIC.prefill[one]), rel=1e-3)


@pytest.mark.parametrize(
    ("model", "quantization", "measured"),
    [
        ("deepseek-r1", "Q4_K_M", 20.21),
        ("llama-3.1-70b", "Q4_K_M", 14.08),
        ("llama-2-7b", "Q4_0", 92.14),
        ("qwen3.5-27b", "8-bit", 19.8),
    ],
)
def test_well_known_points_lie_in_the_band(model: str, quantization: str, measured: float) -> None:
    sample = next(
        sample
        for sample in public_samples()
        if (sample.model, sample.work.quantization, sample.decode_tok_s) == (model, quantization, measured)
    )
    found: Prediction = decode(sample.work, sample.hardware, sample.engine).prediction
    assert found.low <= measured <= found.high


def test_prefill_of_the_largest_lies_in_the_band() -> None:
    sample = next(s for s in public_samples() if s.model == "deepseek-r1" and s.prefill_tok_s == 168.9)
    found = prefill(sample.work, 512, sample.hardware, sample.engine).prediction
    assert found.low <= 168.9 <= found.high
