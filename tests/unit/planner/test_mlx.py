"""MLX's memory, as far as it can be said without MLX: known sizes, refusals, and what must hold for every model."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ultralab.kernel.errors import UnknownChoice, Unsupported
from ultralab.kernel.units import MIB
from ultralab.planner.mlx import mlx_cache, mlx_memory
from ultralab.planner.types import AttentionLayers, CacheLayers, Demand, Experts, ModelShape, RecurrentLayers

LLAMA = ModelShape(
    architecture="llama", layers=32, embedding=4096, feed_forward=14_336, heads=32, kv_heads=8, key_dim=128, value_dim=128,
    vocabulary=128_256, trained_context=131_072, parameters=8_030_000_000, weight_bytes=4_500_000_000,
    bytes_per_token=4_200_000_000, cache=(AttentionLayers(32, 32, 8, 128, 128),),
)  # fmt: skip
GEMMA = replace(
    LLAMA, architecture="gemma3", layers=34, embedding=2560, feed_forward=10_240, heads=8, kv_heads=4, key_dim=256,
    value_dim=256, cache=(AttentionLayers(29, 8, 4, 256, 256, 1024), AttentionLayers(5, 8, 4, 256, 256)),
)  # fmt: skip
DEEPSEEK = replace(
    LLAMA, architecture="deepseek_v3", layers=61, embedding=7168, feed_forward=18_432, heads=128, kv_heads=128, key_dim=192,
    value_dim=128, cache=(AttentionLayers(61, 128, 1, 576, 0, latent=512),), experts=Experts(256, 8, 2048, 2048, 58),
)  # fmt: skip


@pytest.mark.parametrize(
    ("shape", "demand", "size"),
    [
        (LLAMA, Demand(131_072), 16_384 * MIB),  # as llama.cpp: 32 layers × 8 heads × 256 numbers × 2 bytes
        (LLAMA, Demand(131_072, key_type="q8_0", value_type="q8_0"), 8_704 * MIB),  # a byte, and 4 bytes for 64
        (LLAMA, Demand(131_072, key_type="q4_0", value_type="q4_0"), 4_608 * MIB),
        (LLAMA, Demand(1), 32 * MIB),
        (LLAMA, Demand(257), 64 * MIB),
        (LLAMA, Demand(256, sequences=4), 128 * MIB),
        (GEMMA, Demand(131_072), (29 * 1024 + 5 * 131_072) * 4096),
        (replace(GEMMA, architecture="gemma2"), Demand(131_072), 34 * 131_072 * 4096),  # mlx-lm ignores its window
        (DEEPSEEK, Demand(163_840), 61 * 163_840 * 576 * 2),  # 10,980 MiB, as llama.cpp's
        (replace(DEEPSEEK, architecture="deepseek_v2"), Demand(256), 61 * 256 * 128 * 320 * 2),  # whole keys and values
    ],
)  # fmt: skip
def test_caches(shape: ModelShape, demand: Demand, size: int) -> None:
    found = mlx_cache(shape, demand)
    assert (found.bytes, found.error_band, found.known) == (size, 0.0, True)


def test_states() -> None:
    shape = replace(LLAMA, architecture="mamba2", cache=(RecurrentLayers(2, conv=576, state=2048, inner=128),))
    assert mlx_cache(shape, Demand(9, sequences=3)).bytes == 2 * 3 * (576 * 2 + 2048 * 4)
    assert mlx_cache(replace(shape, architecture="mamba"), Demand(9)).bytes == 2 * (576 + 2048) * 2


def test_an_unknown_architecture_has_an_upper_bound() -> None:
    plan = mlx_memory(replace(LLAMA, cache=None), Demand(4096))
    assert not plan.known
    assert plan.kv_cache.bytes >= mlx_cache(LLAMA, Demand(4096)).bytes
    assert plan.weights.bytes == LLAMA.weight_bytes


@pytest.mark.parametrize(
    ("shape", "types", "said"),
    [
        (GEMMA, ("q8_0", "q8_0"), "a window"),
        (DEEPSEEK, ("q8_0", "q8_0"), "cannot read it"),
        (LLAMA, ("q8_0", "f16"), "the same type"),
        (LLAMA, ("q8_0", "q4_0"), "the same type"),
        (replace(LLAMA, cache=(AttentionLayers(1, 8, 8, 80, 80),)), ("q4_0", "q4_0"), "80 numbers, no multiple of 64"),
    ],
)
def test_what_mlx_lm_cannot_quantize(shape: ModelShape, types: tuple[str, str], said: str) -> None:
    with pytest.raises(Unsupported, match=said) as caught:
        mlx_memory(shape, Demand(1024, key_type=types[0], value_type=types[1]))
    assert caught.value.hint


def test_a_type_that_mlx_does_not_have() -> None:
    with pytest.raises(UnknownChoice, match="q5_1"):
        mlx_memory(LLAMA, Demand(1024, key_type="q5_1", value_type="q5_1"))


def test_attention_that_is_not_fused_writes_its_scores_down() -> None:
    long = Demand(131_072)
    fused = mlx_memory(LLAMA, long).compute
    assert fused.bytes < 2**30 < 2048 * 131_072 * 32 * 2 < mlx_memory(LLAMA, long, fused=False).compute.bytes
    assert mlx_memory(DEEPSEEK, Demand(163_840)).compute.bytes > 2048 * 163_840 * 128 * 2
    assert "not measured on a GPU" in fused.basis
    assert fused.error_band == 0.5


@pytest.mark.parametrize(("context", "peak"), [(4_096, 383.213e9), (8_192, 388.343e9), (16_384, 398.605e9)])
def test_public_peaks_of_deepseek_v3_in_four_bits(context: int, peak: float) -> None:
    """ml-explore/mlx-lm#839, after the change: weights are 671.03e9 parameters of 4.5 bits."""
    shape = replace(DEEPSEEK, weight_bytes=round(671.03e9 * 4.5 / 8), vocabulary=129_280)
    plan = mlx_memory(shape, Demand(context))
    assert plan.total == pytest.approx(peak, rel=0.005)
    measured = peak - plan.weights.bytes - plan.kv_cache.bytes
    assert abs(measured / plan.compute.bytes - 1) <= plan.compute.error_band < 0.2
    assert mlx_memory(shape, Demand(context, sequences=2)).compute.error_band == 0.5


GROUPS = st.one_of(
    st.builds(
        AttentionLayers, st.integers(1, 60), st.integers(1, 64), st.integers(1, 16), st.sampled_from([64, 128, 256]),
        st.sampled_from([64, 128]), st.sampled_from([0, 0, 128, 1024, 4096]),
    ),
    st.builds(
        RecurrentLayers, st.integers(1, 60), st.integers(1, 10**5), st.integers(1, 10**7), st.integers(1, 10**4),
        st.integers(1, 8), st.integers(1, 128),
    ),
)  # fmt: skip
SHAPES = st.builds(
    lambda kind, groups, experts: replace(LLAMA, architecture=kind, cache=groups, experts=experts),
    st.sampled_from(["llama", "gemma3", "llama4", "mamba2", "qwen3_next", "deepseek_v3", "mistral"]),
    st.one_of(st.none(), st.lists(GROUPS, min_size=1, max_size=3).map(tuple)),
    st.sampled_from([None, Experts(64, 6, 1408, 2816, 20)]),
)


@given(SHAPES, st.integers(1, 10**6), st.integers(0, 10**5), st.integers(1, 40), st.integers(0, 9), st.booleans())
def test_nothing_falls_with_more_context_or_sequences(
    shape: ModelShape, context: int, more: int, sequences: int, others: int, unified: bool
) -> None:
    less = mlx_memory(shape, Demand(context, sequences, unified))
    rest = mlx_memory(shape, Demand(context + more, sequences + others, unified))
    for one, other in zip(less.parts, rest.parts, strict=True):
        assert 0 <= one.bytes <= other.bytes


@given(SHAPES, st.integers(1, 10**5))
def test_nothing_falls_with_more_layers(shape: ModelShape, context: int) -> None:
    def grown(group: CacheLayers) -> CacheLayers:
        return replace(group, count=group.count + 1)

    more = tuple(grown(group) for group in shape.cache) if shape.cache else None
    larger = replace(shape, layers=shape.layers + 1, cache=more)
    assert mlx_memory(larger, Demand(context)).total > mlx_memory(shape, Demand(context)).total


@given(st.integers(1, 10**6), st.integers(1, 9))
def test_a_cache_of_more_bits_takes_more(context: int, sequences: int) -> None:
    four, eight, plain = (
        mlx_cache(LLAMA, Demand(context, sequences, key_type=kind, value_type=kind)).bytes
        for kind in ("q4_0", "q8_0", "f16")
    )
    assert four < eight < plain
