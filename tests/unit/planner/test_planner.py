"""The planner against figures that others published, and against what must hold for every model."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ultralab.kernel.errors import Unsupported
from ultralab.kernel.units import KIB, MIB
from ultralab.planner import ModelShape, Prediction, decode_speed, kv_cache_bytes, llamacpp_memory

SMOLLM2 = ModelShape(
    architecture="llama", layers=30, embedding=576, feed_forward=1536, heads=9, kv_heads=3, key_dim=64, value_dim=64,
    vocabulary=49152, trained_context=8192, parameters=134_515_008, weight_bytes=96_576_768, bytes_per_token=96_576_768,
    cache=(AttentionLayers(30, 9, 3, 64, 64),),
)  # fmt: skip
LLAMA3_8B = replace(
    SMOLLM2, layers=32, embedding=4096, feed_forward=14336, heads=32, kv_heads=8, key_dim=128, value_dim=128,
    vocabulary=128_256,
)  # fmt: skip
LLAMA3_70B = replace(LLAMA3_8B, layers=80, embedding=8192, feed_forward=28672, heads=64)
QWEN3_30B_A3B = replace(LLAMA3_8B, layers=48, kv_heads=4)

SHAPES = st.builds(
    ModelShape,
    architecture=st.just("llama"),
    layers=st.integers(1, 200),
    embedding=st.integers(64, 20_000),
    feed_forward=st.integers(64, 60_000),
    heads=st.integers(1, 128),
    kv_heads=st.integers(1, 128),
    key_dim=st.integers(32, 256),
    value_dim=st.integers(32, 256),
    vocabulary=st.integers(256, 300_000),
    trained_context=st.just(8192),
    parameters=st.integers(1, 10**12),
    weight_bytes=st.integers(1, 10**12),
    bytes_per_token=st.integers(1, 10**12),
    attention=st.just("grouped"),
)
CONTEXTS = st.integers(1, 200_000)


@pytest.mark.parametrize(
    ("shape", "cells", "expected"),
    [
        (SMOLLM2, 2048, 45 * MIB),  # 30 layers × 3 heads × (64 + 64) × 2048 cells × 2 bytes, as llama.cpp logs it
        (SMOLLM2, 1, 23_040),
        (LLAMA3_8B, 1, 128 * KIB),
        (LLAMA3_8B, 8192, 1024 * MIB),  # llama.cpp's log of Llama 3 8B at 8192: "KV self size = 1024.00 MiB"
        (LLAMA3_70B, 1, 320 * KIB),
        (QWEN3_30B_A3B, 1, 96 * KIB),
        (replace(LLAMA3_8B, key_dim=192), 1, 160 * KIB),  # keys and values of different widths
        (LLAMA3_8B, 0, 0),
    ],
)
def test_kv_cache(shape: ModelShape, cells: int, expected: int) -> None:
    assert kv_cache_bytes(shape, cells) == expected


@pytest.mark.parametrize(("bytes_per_element", "expected"), [(2, 65536), (34 / 32, 34816), (18 / 32, 18432)])
def test_a_quantized_cache(bytes_per_element: float, expected: int) -> None:
    assert kv_cache_bytes(replace(LLAMA3_8B, layers=16), 1, bytes_per_element) == expected


@pytest.mark.parametrize("attention", ["unknown", "", "latent"])
def test_an_attention_that_nobody_can_plan_is_refused(attention: str) -> None:
    shape = replace(SMOLLM2, architecture="deepseek2", attention=attention)
    for work in (lambda: kv_cache_bytes(shape, 1), lambda: llamacpp_memory(shape, 2048)):
        with pytest.raises(Unsupported) as caught:
            work()
        assert caught.value.message == "The KV cache of the architecture 'deepseek2' cannot be predicted yet."
        assert caught.value.data == {"architecture": "deepseek2"}
        assert caught.value.hint


def test_the_plan_of_the_small_model() -> None:
    plan = llamacpp_memory(SMOLLM2, 2048)
    assert plan.weights == 96_576_768
    assert plan.kv_cache == 45 * MIB
    assert plan.compute == 512 * (4 * (5 * 576 + 3 * 1536) + 2 * 2048) + 4 * 49152
    assert plan.overhead == 33_000_000 + 12_000_000 + 430 * 49152
    assert plan.total == plan.weights + plan.kv_cache + plan.compute + plan.overhead == 227_527_232
    assert plan.error_band == 0.05


def test_cells_come_by_the_256() -> None:
    assert llamacpp_memory(SMOLLM2, 1) == llamacpp_memory(SMOLLM2, 256)
    assert llamacpp_memory(SMOLLM2, 257) == llamacpp_memory(SMOLLM2, 512)
    assert llamacpp_memory(SMOLLM2, 256).kv_cache == 256 * 23_040


@given(SHAPES, CONTEXTS, st.integers(0, 100_000))
def test_more_context_never_takes_less(shape: ModelShape, context: int, more: int) -> None:
    less, rest = llamacpp_memory(shape, context), llamacpp_memory(shape, context + more)
    assert rest.total >= less.total > shape.weight_bytes
    assert (rest.weights, rest.overhead) == (less.weights, less.overhead)
    assert rest.kv_cache >= kv_cache_bytes(shape, context + more)


@given(SHAPES, CONTEXTS, st.sampled_from(["layers", "kv_heads", "key_dim", "embedding", "vocabulary", "weight_bytes"]))
def test_a_larger_model_takes_more(shape: ModelShape, context: int, part: str) -> None:
    larger = replace(shape, **{part: getattr(shape, part) + 1})
    assert llamacpp_memory(larger, context).total > llamacpp_memory(shape, context).total


# Published decode speeds on an M3 Ultra (819 GB/s): GiB of weights read per token, tokens per second measured.
@pytest.mark.parametrize(
    ("bytes_per_token", "measured"),
    [
        (42_520_000_000, 14.08),  # Llama 3.1 70B Q4_K_M, geerlingguy/ai-benchmarks
        (3_830_000_000, 92.1),  # 7B Q4_0, ggml-org/llama.cpp discussion 4167
    ],
)
def test_published_speeds_lie_in_the_band(bytes_per_token: int, measured: float) -> None:
    predicted = decode_speed(bytes_per_token, bandwidth=819e9, cores=24, gpu=True)
    assert predicted.low <= measured <= predicted.high


def test_speed_with_and_without_a_gpu() -> None:
    on_gpu = decode_speed(10**9, bandwidth=100e9, cores=8, gpu=True)
    assert (on_gpu.low, on_gpu.value, on_gpu.high) == pytest.approx((40, 62, 85))
    on_cores = decode_speed(10**9, bandwidth=100e9, cores=2, gpu=False)
    assert (on_cores.low, on_cores.value, on_cores.high) == pytest.approx((5, 11, 18))
    many = decode_speed(10**9, bandwidth=100e9, cores=64, gpu=False)
    assert (many.low, many.value, many.high) == pytest.approx((80, 80, 80))  # the memory is the limit
    unknown = decode_speed(10**9, bandwidth=0, cores=2, gpu=False)
    assert isinstance(unknown, Prediction)
    assert unknown.value == pytest.approx(11)


@given(st.integers(1, 10**13), st.floats(1e9, 1e13), st.integers(1, 256), st.booleans())
def test_the_band_is_in_order_and_more_traffic_is_slower(weights: int, bandwidth: float, cores: int, gpu: bool) -> None:
    def speed(weights: int, bandwidth: float, cores: int) -> Prediction:
        return decode_speed(weights, bandwidth=bandwidth, cores=cores, gpu=gpu)

    one = speed(weights, bandwidth, cores)
    assert 0 < one.low <= one.value <= one.high
    assert speed(weights + 10**9, bandwidth, cores).value < one.value
    assert speed(weights, 2 * bandwidth, 2 * cores).value == pytest.approx(2 * one.value)
