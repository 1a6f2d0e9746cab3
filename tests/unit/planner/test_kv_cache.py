"""The KV cache against what llama.cpp logged, and against what must hold for every model."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ultralab.kernel.errors import UnknownChoice
from ultralab.kernel.units import KIB, MIB
from ultralab.planner.elements import BYTES
from ultralab.planner.kv_cache import kv_cache
from ultralab.planner.types import AttentionLayers, CacheLayers, Demand, ModelShape, RecurrentLayers

PLAIN: Final = ModelShape(
    architecture="llama", layers=32, embedding=4096, feed_forward=14336, heads=32, kv_heads=8, key_dim=128, value_dim=128,
    vocabulary=128256, trained_context=131072, parameters=8 * 10**9, weight_bytes=8 * 10**9, bytes_per_token=8 * 10**9,
)  # fmt: skip


def shape(*cache: CacheLayers) -> ModelShape:
    return replace(PLAIN, cache=cache)


LLAMA_8B = shape(AttentionLayers(32, 32, 8, 128, 128))
DEEPSEEK_V3 = shape(AttentionLayers(61, 128, 1, 576, 0, latent=512))
LEGACY_V3 = shape(AttentionLayers(61, 128, 128, 192, 128))
DEEPSEEK_V32 = shape(AttentionLayers(61, 128, 1, 576, 0, latent=512), AttentionLayers(61, 64, 1, 128, 0))
GEMMA3_4B = shape(AttentionLayers(29, 8, 4, 256, 256, window=1024), AttentionLayers(5, 8, 4, 256, 256))
QWEN3_NEXT = shape(AttentionLayers(12, 16, 2, 256, 256), RecurrentLayers(36, 24576, 524288, 4096, 16, 32))
UNLIKE = shape(
    AttentionLayers(3, 32, 8, 64, 64),
    AttentionLayers(1, 32, 4, 64, 64),
    RecurrentLayers(36, 13056, 524288, 4096, 1, 64),
)


WITHOUT_HEADS = shape(AttentionLayers(45, 64, 8, 128, 128), AttentionLayers(35, 0, 0, 128, 128))


@pytest.mark.parametrize(
    ("model", "demand", "logged"),
    [
        (LLAMA_8B, Demand(131_072), 16384.00),
        (LLAMA_8B, Demand(131_072, key_type="q8_0", value_type="q8_0"), 8704.00),
        (LLAMA_8B, Demand(131_072, key_type="q4_0", value_type="q4_0"), 4608.00),
        (DEEPSEEK_V3, Demand(163_840), 10980.00),
        (DEEPSEEK_V3, Demand(163_840, key_type="q8_0", value_type="q8_0"), 5833.12),
        (DEEPSEEK_V3, Demand(4096, 4), 1098.00),
        (DEEPSEEK_V3, Demand(4096, 4, unified=True), 274.50),
        (LEGACY_V3, Demand(4096), 19520.00),
        (DEEPSEEK_V32, Demand(4096), 274.50 + 61.00),
        (DEEPSEEK_V32, Demand(1000, 4), 274.50 + 61.00),
        (DEEPSEEK_V32, Demand(4096, key_type="q8_0", value_type="q8_0"), 145.83 + 32.41),
        (GEMMA3_4B, Demand(131_072), 2734.00),
        (QWEN3_NEXT, Demand(4096), 96.00 + 75.38),
        (QWEN3_NEXT, Demand(4096, 4, key_type="q8_0", value_type="q8_0"), 204.00 + 301.50),
        (UNLIKE, Demand(4096), 28.00 + 73.79),
        (WITHOUT_HEADS, Demand(4096), 720.00),
        (WITHOUT_HEADS, Demand(4096, flash=False), 1000.00),  # rows of values also where a layer has no KV heads
        (UNLIKE, Demand(4096, flash=False), 30.00 + 73.79),  # values lie in rows as many as the widest layer's
    ],
)
def test_what_llama_cpp_logs(model: ModelShape, demand: Demand, logged: float) -> None:
    """MiB of "llama_kv_cache: size" and "llama_memory_recurrent: size", version 2026.10.11549."""
    found = kv_cache(model, demand)
    assert found.known
    assert found.error_band == 0
    assert found.bytes / MIB == pytest.approx(logged, abs=0.0101)


def test_cells_come_by_the_256() -> None:
    assert [kv_cache(LLAMA_8B, Demand(context)).bytes for context in (1, 256, 257, 512)] == [
        count * 256 * 128 * KIB for count in (1, 1, 2, 2)
    ]


def test_a_window_keeps_itself_and_a_micro_batch() -> None:
    layer = shape(AttentionLayers(1, 8, 1, 64, 64, window=1000))
    per_cell = (64 + 64) * 2
    for demand, cells in (
        (Demand(512), 512),
        (Demand(100_000), 1536),
        (Demand(100_000, ubatch=2048), 3072),
        (Demand(100_000, 4), 4 * 1536),
        (Demand(100_000, 4, unified=True), 4608),
    ):
        assert kv_cache(layer, demand).bytes == cells * per_cell


def test_an_unknown_type_is_refused() -> None:
    for demand in (Demand(512, key_type="q2_k"), Demand(512, value_type="int4")):
        for model in (LLAMA_8B, PLAIN):
            with pytest.raises(UnknownChoice):
                kv_cache(model, demand)


def test_a_model_that_keeps_nothing() -> None:
    assert kv_cache(shape(), Demand(4096)).bytes == 0


def test_an_unknown_architecture_has_a_bound_and_says_so() -> None:
    bound = kv_cache(PLAIN, Demand(4096))
    assert not bound.known
    state = 32 * 512 * 4096 * 4
    assert bound.bytes == kv_cache(LLAMA_8B, Demand(4096)).bytes + state
    assert kv_cache(replace(PLAIN, most_state=10**8), Demand(4096, 2)).bytes > 32 * 2 * 10**8 * 4


COUNTS, WIDTHS = st.integers(1, 130), st.integers(1, 640)
GROUPS = st.one_of(
    st.builds(
        AttentionLayers, COUNTS, COUNTS, COUNTS, WIDTHS, st.integers(0, 640), st.sampled_from([0, 128, 1000, 4096])
    ),
    st.builds(RecurrentLayers, COUNTS, st.integers(0, 10**5), st.integers(0, 10**6)),
)
SHAPES = st.builds(
    lambda cache, layers, heads, width: replace(
        PLAIN, cache=cache, layers=layers, heads=heads, kv_heads=heads, key_dim=width, value_dim=width
    ),
    st.none() | st.lists(GROUPS, max_size=4).map(tuple), COUNTS, COUNTS, WIDTHS,
)  # fmt: skip
TYPES = sorted(BYTES, key=lambda name: BYTES[name])
DEMANDS = st.builds(
    Demand, st.integers(1, 2_000_000), st.integers(1, 16), st.booleans(), st.sampled_from(TYPES), st.sampled_from(TYPES),
    st.booleans(), st.sampled_from([1, 512, 2048]),
)  # fmt: skip


@given(SHAPES, DEMANDS, st.integers(0, 100_000), st.integers(0, 8))
def test_more_context_and_more_sequences_never_take_less(
    model: ModelShape, demand: Demand, context: int, sequences: int
) -> None:
    before = kv_cache(model, demand).bytes
    assert kv_cache(model, replace(demand, context=demand.context + context)).bytes >= before
    assert kv_cache(model, replace(demand, sequences=demand.sequences + sequences)).bytes >= before
    assert kv_cache(model, replace(demand, ubatch=demand.ubatch + context)).bytes >= before
    assert kv_cache(model, replace(demand, flash=False)).bytes >= kv_cache(model, replace(demand, flash=True)).bytes


@given(SHAPES, DEMANDS, st.sampled_from(TYPES))
def test_more_bits_never_take_less(model: ModelShape, demand: Demand, other: str) -> None:
    less, more = sorted((demand.key_type, other), key=lambda name: BYTES[name])
    for part in ("key_type", "value_type"):
        one, two = (kv_cache(model, replace(demand, **{part: name})).bytes for name in (less, more))  # type: ignore[arg-type]
        assert one <= two


@given(SHAPES, DEMANDS, st.data(), st.integers(1, 64))
def test_more_layers_and_more_heads_never_take_less(
    model: ModelShape, demand: Demand, data: st.DataObject, more: int
) -> None:
    before = kv_cache(model, demand).bytes
    for part in ("layers", "kv_heads", "key_dim", "value_dim", "embedding", "most_state"):
        larger = replace(model, **{part: getattr(model, part) + more})
        assert kv_cache(larger, demand).bytes >= before
    if not model.cache:
        return
    at = data.draw(st.integers(0, len(model.cache) - 1))
    group = model.cache[at]
    parts = ("count", "kv_heads", "key_dim", "value_dim") if isinstance(group, AttentionLayers) else ("count", "state")
    for part in parts:
        larger_group = replace(group, **{part: getattr(group, part) + more})
        cache = (*model.cache[:at], larger_group, *model.cache[at + 1 :])
        assert kv_cache(replace(model, cache=cache), demand).bytes >= before
    added = (*model.cache, group)
    assert (
        kv_cache(replace(model, cache=added), demand).bytes
        == pytest.approx(before + kv_cache(replace(model, cache=(group,)), replace(demand, flash=True)).bytes, abs=1)
        or not demand.flash
    )


@given(st.lists(GROUPS, min_size=1, max_size=3), DEMANDS)
def test_the_bound_is_above_every_cache_of_such_numbers(groups: list[CacheLayers], demand: Demand) -> None:
    attending = [group for group in groups if isinstance(group, AttentionLayers)]
    states = [group.conv + group.state for group in groups if isinstance(group, RecurrentLayers)]
    whole = replace(
        PLAIN, layers=sum(group.count for group in groups), kv_heads=max((one.kv_heads for one in attending), default=1),
        key_dim=max((one.key_dim for one in attending), default=1),
        value_dim=max((one.value_dim for one in attending), default=1), most_state=max(states, default=0),
    )  # fmt: skip
    assert kv_cache(whole, demand).bytes >= kv_cache(replace(whole, cache=tuple(groups)), demand).bytes
