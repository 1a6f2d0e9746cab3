"""Speed: what must hold for every model and machine, and what own measurements change."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ultralab.planner.hardware import Hardware, Sample, Speed, Work
from ultralab.planner.speed import decode, fit, prefill, ttft, work_of
from ultralab.planner.speed.calibration import correction
from ultralab.planner.speed.least_squares import solve
from ultralab.planner.speed.roofline import prefill_computing, prefill_operations, prefill_reading
from ultralab.planner.types import AttentionLayers, Demand, Experts, ModelShape, Prediction, RecurrentLayers

M3_ULTRA = Hardware("Apple M3 Ultra", 819e9, gpu=True, gpu_cores=80, cpu_cores=24, measured_bandwidth=692e9)
LINUX = Hardware("Some x86", 0.0, gpu=False, gpu_cores=0, cpu_cores=2, measured_bandwidth=20e9)
LLAMA_8B = ModelShape(
    architecture="llama", layers=32, embedding=4096, feed_forward=14336, heads=32, kv_heads=8, key_dim=128, value_dim=128,
    vocabulary=128_256, trained_context=131_072, parameters=8_030_000_000, weight_bytes=8_530_000_000,
    bytes_per_token=7_970_000_000, cache=(AttentionLayers(32, 32, 8, 128, 128),),
)  # fmt: skip
DEMAND = Demand(8192)
WORK = work_of(LLAMA_8B, DEMAND, 512, "Q8_0")

works = st.builds(
    Work,
    weight_bytes=st.integers(10**6, 10**12),
    kv_bytes=st.integers(0, 10**11),
    parameters=st.integers(10**6, 10**12),
    layers=st.integers(1, 200),
    routed=st.booleans(),
    quantization=st.just("Q4_K"),
    attention_per_cell=st.integers(0, 10**7),
    latent_layers=st.integers(0, 200),
    loaded_bytes=st.integers(0, 10**12),
    kv_known=st.booleans(),
    experts=st.integers(0, 512),
    experts_used=st.integers(0, 16),
)
machines = st.sampled_from(
    [
        M3_ULTRA,
        LINUX,
        replace(LINUX, measured_bandwidth=0.0, cpu_cores=64),
        Hardware("Apple M1", 68.25e9, gpu=True, gpu_cores=8, cpu_cores=4),
        Hardware("Apple M5 Max", 614e9, gpu=True, gpu_cores=40, cpu_cores=18),
        Hardware("Apple M9 Pro", 0.0, gpu=True, gpu_cores=30, cpu_cores=18, measured_bandwidth=300e9),
    ]
)
engines = st.sampled_from(["llamacpp", "mlx", "ollama", "torch", "fake"])


def test_what_a_token_of_a_dense_model_reads() -> None:
    assert WORK.weight_bytes == 7_970_000_000
    assert WORK.kv_bytes == 32 * 8 * (128 + 128) * 2 * 512
    assert (
        work_of(LLAMA_8B, Demand(8192, key_type="q8_0", value_type="q8_0"), 512, "").kv_bytes == WORK.kv_bytes * 17 / 32
    )
    assert (WORK.parameters, WORK.loaded_bytes, WORK.layers) == (8_030_000_000, 8_530_000_000, 32)
    assert WORK.attention_per_cell == 32 * 32 * 256
    assert not WORK.routed
    assert WORK.kv_known


def test_windows_states_and_latent_attention() -> None:
    groups = (
        AttentionLayers(10, 8, 4, 256, 256, window=1024),
        AttentionLayers(2, 128, 1, 576, 0, latent=512),
        RecurrentLayers(3, conv=100, state=900),
    )
    work = work_of(replace(LLAMA_8B, cache=groups), DEMAND, 8192, "")
    assert work.kv_bytes == 10 * 4 * 512 * 2 * 1024 + 2 * 576 * 2 * 8192 + 2 * 3 * 1000 * 4
    assert work.latent_layers == 2
    assert work.attention_per_cell == 10 * 8 * 512 // 4 + 2 * 128 * (576 + 512)


def test_only_active_experts_count() -> None:
    shape = replace(
        LLAMA_8B, experts=Experts(8, 2, 1024), active_parameters=2_000_000_000, bytes_per_token=2_100_000_000
    )
    work = work_of(shape, DEMAND, 512, "")
    assert (work.routed, work.parameters, work.weight_bytes) == (True, 2_000_000_000, 2_100_000_000)
    assert decode(work, M3_ULTRA, "llamacpp").prediction.value > decode(WORK, M3_ULTRA, "llamacpp").prediction.value


def test_two_efficiencies() -> None:
    found = decode(WORK, M3_ULTRA, "llamacpp")
    read = (WORK.weight_bytes + WORK.kv_bytes) * found.prediction.value
    assert found.of_nominal == pytest.approx(read / 819e9)
    assert found.of_measured == pytest.approx(read / 692e9)
    assert 0.4 < (found.of_nominal or 0) < 0.8
    here = decode(WORK, LINUX, "llamacpp")
    assert here.of_nominal is None
    assert 0 < (here.of_measured or 0) <= 0.8
    assert prefill(WORK, 512, M3_ULTRA, "llamacpp").of_nominal is None


def test_without_a_gpu_cores_or_the_memory_are_the_limit() -> None:
    work = replace(WORK, weight_bytes=10**9, kv_bytes=0)
    found = decode(work, replace(LINUX, measured_bandwidth=100e9), "llamacpp").prediction
    assert (found.low, found.value, found.high) == pytest.approx((5, 11, 18))
    many = decode(work, replace(LINUX, measured_bandwidth=100e9, cpu_cores=64), "llamacpp").prediction
    assert (many.low, many.value, many.high) == pytest.approx((80, 80, 80))
    assert decode(work, replace(LINUX, measured_bandwidth=0.0), "llamacpp").prediction.value == pytest.approx(11)


def test_an_unknown_bandwidth_is_no_number() -> None:
    unknown = replace(M3_ULTRA, bandwidth=0.0, measured_bandwidth=0.0)
    assert decode(WORK, unknown, "llamacpp") == Speed(decode(WORK, unknown, "mlx").prediction)
    for found in (
        decode(WORK, unknown, "llamacpp").prediction,
        prefill(WORK, 512, unknown, "mlx").prediction,
        prefill(WORK, 512, replace(M3_ULTRA, gpu_cores=0), "mlx").prediction,
        ttft(WORK, 512, unknown, "mlx"),
    ):
        assert (found.value, found.low, found.high) == (0, 0, 0)
        assert "unknown" in found.basis


def test_an_unknown_architecture_is_never_a_confident_number() -> None:
    work = work_of(replace(LLAMA_8B, cache=None), DEMAND, 8192, "")
    assert not work.kv_known
    assert work.kv_bytes > work_of(LLAMA_8B, DEMAND, 8192, "").kv_bytes
    known, found = decode(WORK, M3_ULTRA, "llamacpp").prediction, decode(work, M3_ULTRA, "llamacpp").prediction
    assert found.error_band > 2 * known.error_band
    assert found.high / found.low > 2.5
    assert prefill(work, 512, M3_ULTRA, "llamacpp").prediction.error_band > 0.5


def test_an_engine_that_nobody_measured_says_so() -> None:
    ours, torch = decode(WORK, M3_ULTRA, "llamacpp").prediction, decode(WORK, M3_ULTRA, "torch").prediction
    assert torch.low == pytest.approx(ours.low / 3)
    assert torch.high == ours.high
    assert torch.basis != ours.basis
    assert decode(WORK, M3_ULTRA, "ollama").prediction == ours


def test_the_first_token_takes_the_prompt_and_one_step() -> None:
    first = ttft(WORK, 4096, M3_ULTRA, "mlx")
    step, prompt = decode(WORK, M3_ULTRA, "mlx").prediction, prefill(WORK, 4096, M3_ULTRA, "mlx").prediction
    assert first.value == pytest.approx(4096 / prompt.value + 1 / step.value + 0.05)
    assert first.low < first.value < first.high


@given(works, machines, engines, st.integers(1, 200_000))
def test_bands_are_in_order(work: Work, machine: Hardware, engine: str, tokens: int) -> None:
    for found in (
        decode(work, machine, engine).prediction,
        prefill(work, tokens, machine, engine).prediction,
        ttft(work, tokens, machine, engine),
    ):
        assert isinstance(found, Prediction)
        assert 0 < found.low <= found.value * (1 + 1e-9)
        assert found.value <= found.high * (1 + 1e-9)
        assert math.isfinite(found.high)


@given(works, machines, engines, st.integers(1, 10**10), st.integers(1, 10**10))
def test_more_bytes_and_more_layers_are_slower(
    work: Work, machine: Hardware, engine: str, weights: int, cache: int
) -> None:
    one = decode(work, machine, engine).prediction.value
    assert decode(replace(work, weight_bytes=work.weight_bytes + weights), machine, engine).prediction.value < one
    assert decode(replace(work, kv_bytes=work.kv_bytes + cache), machine, engine).prediction.value < one
    assert decode(replace(work, layers=work.layers + 1), machine, engine).prediction.value <= one


@given(machines, engines, st.integers(0, 131_072), st.integers(0, 131_072), st.booleans())
def test_more_context_is_never_faster(machine: Hardware, engine: str, context: int, more: int, windowed: bool) -> None:
    group = AttentionLayers(32, 32, 8, 128, 128, window=1024 if windowed else 0)
    shape = replace(LLAMA_8B, cache=(group,))
    less, rest = (work_of(shape, DEMAND, tokens, "") for tokens in (context, context + more))
    assert decode(rest, machine, engine).prediction.value <= decode(less, machine, engine).prediction.value
    assert ttft(rest, context + more, machine, engine).value >= ttft(less, context, machine, engine).value * (1 - 1e-9)


def _measured(model: str, factor: float, machine: Hardware = M3_ULTRA, work: Work = WORK) -> Sample:
    fast = decode(work, machine, "llamacpp").prediction.value * factor
    prompt = prefill(work, 512, machine, "llamacpp").prediction.value * factor
    return Sample(model, "llamacpp", machine, work, 512, fast, prompt, "here")


@pytest.mark.parametrize("machine", [M3_ULTRA, LINUX])
def test_own_measurements_outweigh_public_ones(machine: Hardware) -> None:
    public = decode(WORK, machine, "llamacpp").prediction
    calibration = fit([_measured("one", 0.7, machine)])
    found = decode(WORK, machine, "llamacpp", calibration).prediction
    assert 0.69 < found.value / public.value < 0.80
    assert found.basis != public.basis
    assert found.low < found.value < found.high
    prompt = prefill(WORK, 512, machine, "llamacpp", calibration).prediction
    assert 0.69 < prompt.value / prefill(WORK, 512, machine, "llamacpp").prediction.value < 0.80


def test_a_band_shrinks_with_models_that_agree_and_not_with_those_that_do_not() -> None:
    def band(*factors: float) -> float:
        samples = [_measured(str(number), factor) for number, factor in enumerate(factors)]
        return decode(WORK, M3_ULTRA, "llamacpp", fit(samples)).prediction.error_band

    public = decode(WORK, M3_ULTRA, "llamacpp").prediction.error_band
    assert public > band(0.9) > band(0.9, 0.9) > band(0.9, 0.9, 0.9, 0.9)
    assert band(0.6, 1.2) > band(0.9, 0.9)


def test_own_measurements_stay_with_their_engine_and_class() -> None:
    calibration = fit([_measured("one", 0.5)])
    routed = replace(WORK, routed=True)
    for work, engine in ((WORK, "mlx"), (routed, "llamacpp")):
        assert decode(work, M3_ULTRA, engine, calibration) == decode(work, M3_ULTRA, engine)
    assert decode(WORK, M3_ULTRA, "llamacpp", fit([])) == decode(WORK, M3_ULTRA, "llamacpp")


@pytest.mark.parametrize("machine", [M3_ULTRA, LINUX])
def test_what_was_measured_lies_in_the_band_at_every_length(machine: Hardware) -> None:
    """Also where this machine slows down with its context more than public ones: own scatter widens the band."""
    works = {tokens: work_of(LLAMA_8B, DEMAND, tokens, "Q8_0") for tokens in (64, 512, 1500)}
    measured = {
        tokens: decode(work, machine, "llamacpp").prediction.value * factor
        for (tokens, work), factor in zip(works.items(), (1.1, 0.85, 0.6), strict=True)
    }
    calibration = fit(
        [Sample("one", "llamacpp", machine, work, tokens, measured[tokens], 0.0, "") for tokens, work in works.items()]
    )
    for tokens, work in works.items():
        band = decode(work, machine, "llamacpp", calibration).prediction
        assert band.low <= measured[tokens] <= band.high


def test_a_core_computes_with_the_cache_more_slowly_than_with_weights() -> None:
    """SmolLM2-135M on two cores, measured: 112 tok/s after 64 tokens, 54 after 1500."""
    short, long = (Work(96_576_768, cache, 134_515_008, 30, False, "Q4_1") for cache in (1_751_040, 34_836_480))
    fast, slow = (decode(work, LINUX, "llamacpp").prediction for work in (short, long))
    assert fast.value / slow.value == pytest.approx(112 / 54, rel=0.1)
    assert fast.low <= 112 <= fast.high
    assert slow.low <= 54 <= slow.high


def test_an_unknown_architecture_is_no_confident_number_on_cores_either() -> None:
    work = work_of(replace(LLAMA_8B, cache=None), DEMAND, 8192, "")
    known, found = decode(WORK, LINUX, "llamacpp").prediction, decode(work, LINUX, "llamacpp").prediction
    assert found.high / found.low > 1.5 * known.high / known.low
    assert found.basis == decode(work, M3_ULTRA, "llamacpp").prediction.basis != known.basis
    own = fit([_measured("one", 0.7, LINUX)])
    assert decode(work, LINUX, "llamacpp", own).prediction == found


MOE = Work(
    weight_bytes=22_000_000_000, kv_bytes=0, parameters=36_600_000_000, layers=61, routed=True, quantization="Q4_K",
    loaded_bytes=404_000_000_000, experts=256, experts_used=8,
)  # fmt: skip


def test_few_tokens_for_each_expert_waste_its_tiles() -> None:
    dense = prefill_operations(MOE, 512)
    assert 1.3 * dense < prefill_computing(MOE, 512, "llamacpp") < 2 * dense
    assert prefill_computing(MOE, 512, "llamacpp", batch=2048) == prefill_computing(MOE, 512, "llamacpp")
    assert prefill_computing(MOE, 2048, "llamacpp", batch=2048) < prefill_computing(MOE, 2048, "llamacpp")
    assert prefill_computing(replace(MOE, experts=0), 512, "llamacpp") == dense


def test_a_batch_reads_the_experts_that_its_tokens_chose() -> None:
    one, few, many = (prefill_reading(MOE, tokens, "llamacpp", 1 / 0.85) for tokens in (1, 8, 512))
    assert one == pytest.approx(MOE.weight_bytes)
    assert 4 * one < few < 8 * one
    assert many == pytest.approx(MOE.loaded_bytes, rel=1e-3)
    assert prefill_reading(MOE, 513, "llamacpp", 1 / 0.85) == pytest.approx(many + one)


def test_very_large_models_have_the_wider_band() -> None:
    large = replace(WORK, loaded_bytes=243_000_000_000)
    usual, wide = (decode(work, M3_ULTRA, "llamacpp").prediction for work in (WORK, large))
    assert usual.value == wide.value
    assert wide.error_band > usual.error_band


@pytest.mark.parametrize("engine", ["llamacpp", "mlx"])
@pytest.mark.parametrize("tokens", [1, 2, 16, 64, 512])
def test_a_prompt_is_never_read_more_slowly_than_it_would_be_written(engine: str, tokens: int) -> None:
    for work in (WORK, MOE, Work(96_576_768, 0, 134_515_008, 30, False, "Q4_1", loaded_bytes=96_576_768)):
        read = prefill(work, tokens, M3_ULTRA, engine).prediction.value
        assert read >= 0.999 * decode(work, M3_ULTRA, engine).prediction.value


def test_the_weight_of_own_measurements_is_by_precision() -> None:
    found = correction({"a": [0.2], "b": [0.2, 0.2]}, spread=0.16, own=0.08)
    assert math.log(found.factor) == pytest.approx(0.2 * 8 / 9)
    assert found.samples == 3


def test_least_squares_finds_what_made_the_rows_despite_an_outlier() -> None:
    truth = (1.5, 2.5)
    pairs = [(float(one), float(two)) for one in range(1, 6) for two in range(1, 6)]
    rows = [[one / (one * truth[0] + two * truth[1]), two / (one * truth[0] + two * truth[1])] for one, two in pairs]
    rows[7] = [4 * value for value in rows[7]]
    assert solve(rows, [1.0] * len(rows), (1.0, 1.0), (0.0, 0.0), 1e-6) == pytest.approx(truth, rel=0.02)


def test_least_squares_keeps_bounds_and_priors() -> None:
    assert solve([[1.0, 0.0]], [1.0], (1.2, 0.7), (1.1, 0.0), 1e-3) == pytest.approx([1.1, 0.7], rel=0.01)


def test_an_unknown_at_its_bound_leaves_the_others_their_best() -> None:
    """Three rows ask for (2, -1): with the second held at 0, the first alone fits them best at 1, not at 2."""
    rows = [[1.0, 1.0], [1.0, 1.0], [1.0, 1.0], [0.5, 0.0]]
    assert solve(rows, [1.0] * 4, (1.0, 1.0), (0.0, 0.0), 1e-6) == pytest.approx([1.0, 0.0], abs=0.01)
