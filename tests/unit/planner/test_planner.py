"""llama.cpp's memory as a whole: what it is made of, how sure it is, and that more of anything never takes less."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ultralab.kernel.errors import UnknownChoice
from ultralab.kernel.units import MIB
from ultralab.planner import Demand, ModelShape, llamacpp_memory
from ultralab.planner.blocks import Attention, Block, FeedForward
from ultralab.planner.types import AttentionLayers

SMOLLM2 = ModelShape(
    architecture="llama", layers=30, embedding=576, feed_forward=1536, heads=9, kv_heads=3, key_dim=64, value_dim=64,
    vocabulary=49152, trained_context=8192, parameters=134_515_008, weight_bytes=96_576_768, bytes_per_token=96_576_768,
    cache=(AttentionLayers(30, 9, 3, 64, 64),), blocks=(Block((Attention(9, 3, 64, 64),), (FeedForward(1536),), count=30),),
)  # fmt: skip
BITS = ("q4_0", "q5_1", "q8_0", "f16", "f32")


def dense(layers: int, heads: int, kv_heads: int, width: int, inner: int, vocabulary: int) -> ModelShape:
    """A model whose numbers agree with each other."""
    return replace(
        SMOLLM2, layers=layers, embedding=heads * width, feed_forward=inner, heads=heads, kv_heads=kv_heads, key_dim=width,
        value_dim=width, vocabulary=vocabulary, cache=(AttentionLayers(layers, heads, kv_heads, width, width),),
        blocks=(Block((Attention(heads, kv_heads, width, width),), (FeedForward(inner),), count=layers),),
    )  # fmt: skip


SHAPES = st.builds(
    dense,
    layers=st.integers(8, 120),
    heads=st.integers(4, 64),
    kv_heads=st.integers(2, 16),
    width=st.sampled_from([64, 96, 128, 256]),
    inner=st.integers(256, 50_000),
    vocabulary=st.integers(256, 300_000),
)
CONTEXTS = st.integers(1, 200_000)


def whole(shape: ModelShape) -> bool:
    """Whether 256 more cells of cache weigh more than the widest tensor of a micro-batch, as in all but toy models.

    Else llama.cpp itself may take a little less for a longer context: a larger mask leaves a larger hole behind, into which
    fits what did not fit before.
    """
    kept = shape.layers * shape.kv_heads * (shape.key_dim + shape.value_dim) * 2 * 256
    return kept >= 3 * 4 * 512 * max(shape.embedding, shape.feed_forward, 1024)


SHAPES = SHAPES.filter(whole)


def total(shape: ModelShape, demand: Demand) -> int:
    return llamacpp_memory(shape, demand).total


def test_the_plan_of_the_small_model() -> None:
    plan = llamacpp_memory(SMOLLM2, Demand(2048, outputs=1))
    assert plan.weights.bytes == 96_576_768
    assert plan.kv_cache.bytes == 45 * MIB
    assert plan.compute.bytes == 17_451_040
    assert plan.overhead.bytes == 33_000_000 + 12_000_000 + 430 * 49152
    assert plan.total == sum(part.bytes for part in plan.parts)
    assert plan.error_band == pytest.approx(0.05, abs=0.01)
    assert plan.known


def test_a_row_of_logits_per_sequence_or_per_token() -> None:
    server, report = (llamacpp_memory(SMOLLM2, Demand(2048, outputs=outputs)) for outputs in (1, 0))
    assert report.compute.bytes - server.compute.bytes > 80 * MIB
    assert (report.weights, report.kv_cache, report.overhead) == (server.weights, server.kv_cache, server.overhead)


def test_what_no_engine_loads_is_not_held() -> None:
    less = replace(SMOLLM2, unloaded_bytes=1_000_000)
    assert total(SMOLLM2, Demand(512)) - total(less, Demand(512)) == 1_000_000


def test_an_unknown_architecture_is_never_a_confident_number() -> None:
    plan = llamacpp_memory(replace(SMOLLM2, architecture="made-up", cache=None), Demand(2048))
    assert not plan.known
    assert plan.weights.known
    assert (plan.kv_cache.known, plan.compute.known) == (False, False)
    assert plan.total > total(SMOLLM2, Demand(2048))


def test_a_type_that_no_cache_has() -> None:
    with pytest.raises(UnknownChoice) as caught:
        llamacpp_memory(SMOLLM2, Demand(512, key_type="q3_k"))
    assert caught.value.hint


@given(SHAPES, CONTEXTS, st.integers(0, 100_000))
def test_more_context_never_takes_less(shape: ModelShape, context: int, more: int) -> None:
    less, rest = llamacpp_memory(shape, Demand(context)), llamacpp_memory(shape, Demand(context + more))
    assert rest.total >= less.total > shape.weight_bytes
    assert (rest.weights, rest.overhead) == (less.weights, less.overhead)


@given(SHAPES, st.integers(1, 40_000), st.integers(1, 15), st.booleans())
def test_more_sequences_never_take_less(shape: ModelShape, context: int, sequences: int, unified: bool) -> None:
    fewer, more = (Demand(context, count, unified) for count in (sequences, sequences + 1))
    assert total(shape, more) >= total(shape, fewer)


@given(SHAPES, CONTEXTS, st.sampled_from(list(pairwise(BITS))))
def test_more_bits_never_take_less(shape: ModelShape, context: int, types: tuple[str, str]) -> None:
    less, more = (Demand(context, key_type=kind, value_type=kind) for kind in types)
    assert total(shape, more) >= total(shape, less)


@given(SHAPES, CONTEXTS, st.integers(1, 8))
def test_more_layers_never_take_less(shape: ModelShape, context: int, more: int) -> None:
    one = shape.blocks[0]
    mixer, fed = one.mixers[0], one.feed_forward[0]
    assert isinstance(mixer, Attention)
    assert isinstance(fed, FeedForward)
    deeper = dense(shape.layers + more, mixer.heads, mixer.kv_heads, mixer.key_dim, fed.width, shape.vocabulary)
    assert total(deeper, Demand(context)) >= total(shape, Demand(context))


@given(SHAPES, CONTEXTS, st.sampled_from(["vocabulary", "weight_bytes"]))
def test_a_larger_model_takes_more(shape: ModelShape, context: int, part: str) -> None:
    larger = replace(shape, **{part: getattr(shape, part) + 1})
    assert total(larger, Demand(context)) > total(shape, Demand(context))
