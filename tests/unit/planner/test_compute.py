"""The compute buffer: figures that llama.cpp logged (xllamacpp 2026.10, CPU backend), and what must hold for every model."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.architectures.everything import MODELS, shape_of

from ultralab.planner.blocks import Attention, Block, FeedForward, Latent, Mixer, Routed, StateSpace
from ultralab.planner.compute import compute_buffer
from ultralab.planner.compute.allocator import buffer_bytes, unshared_bytes
from ultralab.planner.compute.model import model_graph, shortened
from ultralab.planner.compute.tensors import Graph
from ultralab.planner.types import AttentionLayers, Demand, Experts, ModelShape

if TYPE_CHECKING:
    from tests.architectures.base import Known

MIB = 2**20
EMPTY = ModelShape(
    architecture="made-up", layers=32, embedding=4096, feed_forward=14336, heads=32, kv_heads=8, key_dim=128,
    value_dim=128, vocabulary=128_256, trained_context=131_072, parameters=8 * 10**9, weight_bytes=8 * 10**9,
    bytes_per_token=8 * 10**9, cache=(AttentionLayers(32, 32, 8, 128, 128),),
)  # fmt: skip
ATTENTION = Attention(32, 8, 128, 128)
LLAMA_8B = replace(EMPTY, blocks=(Block((ATTENTION,), (FeedForward(14336),), count=32),))
MLA = Latent(128, 512, 64, 192, 128, 1536)
EXPERTS = Routed(256, 8, 2048, biased=True, shared=FeedForward(2048))
DEEPSEEK_V3 = replace(
    EMPTY, embedding=7168, vocabulary=129_280,
    blocks=(Block((MLA,), (FeedForward(18432),), count=3), Block((MLA,), (EXPERTS,), count=58)),
)  # fmt: skip


@pytest.mark.parametrize(
    ("shape", "demand", "logged"),
    [
        (LLAMA_8B, Demand(131072), 418.52),
        (LLAMA_8B, Demand(131072, key_type="q8_0", value_type="q8_0"), 418.60),
        (LLAMA_8B, Demand(131072, flash=False), 8500.02),
        (LLAMA_8B, Demand(512), 291.02),
        (LLAMA_8B, Demand(4096, flash=False), 316.02),
        (LLAMA_8B, Demand(4096, 4, ubatch=2048), 1178.08),
        (LLAMA_8B, Demand(4096, 4, flash=False, ubatch=2048), 1264.06),
        (DEEPSEEK_V3, Demand(4096), 410.02),
        (DEEPSEEK_V3, Demand(32768, flash=False), 8662.02),
    ],
)
def test_what_llamacpp_logged(shape: ModelShape, demand: Demand, logged: float) -> None:
    found = compute_buffer(shape, demand)
    assert found.bytes / MIB == pytest.approx(logged, abs=0.01)
    assert found.known
    assert found.error_band == 0.05


def test_few_outputs_take_fewer_logits() -> None:
    every, one = compute_buffer(LLAMA_8B, Demand(4096)), compute_buffer(LLAMA_8B, Demand(4096, outputs=1))
    assert every.bytes - one.bytes > 100 * MIB
    assert (
        compute_buffer(LLAMA_8B, Demand(4096, outputs=512))
        == compute_buffer(LLAMA_8B, Demand(4096, outputs=9999))
        == every
    )


def test_a_tensor_takes_the_place_of_one_that_nobody_reads_any_more() -> None:
    graph = Graph()
    first = graph.new((1024,), graph.input(8))
    second = graph.new((1024,), first)
    graph.expand(graph.new((1024,), second))
    assert buffer_bytes(graph) == 32 + 2 * 4096
    assert unshared_bytes(graph) == 32 + 3 * 4096


def test_an_operation_in_place_needs_the_last_reader_and_no_view() -> None:
    def taken(*, through_view: bool) -> int:
        graph = Graph()
        first = graph.new((1024,), graph.input(8))
        read = graph.reshape(first, 32, 32) if through_view else first
        graph.expand(graph.over(graph.over(read)))
        return buffer_bytes(graph)

    assert (taken(through_view=False), taken(through_view=True)) == (32 + 4096, 32 + 2 * 4096)


def test_without_layers_the_usual_ones_are_assumed_and_the_error_is_larger() -> None:
    found = compute_buffer(EMPTY, Demand(131072))
    assert (found.bytes, found.known, found.error_band) == (compute_buffer(LLAMA_8B, Demand(131072)).bytes, True, 0.15)
    mixture = replace(EMPTY, experts=Experts(128, 8, 768, 512, 32))
    assert compute_buffer(mixture, Demand(4096)).bytes > 200 * MIB


def test_an_unknown_architecture_gets_an_upper_bound() -> None:
    for shape in (LLAMA_8B, EMPTY, DEEPSEEK_V3, replace(EMPTY, heads=0, kv_heads=0, key_dim=0, value_dim=0, layers=1)):
        bound = compute_buffer(replace(shape, cache=None), Demand(4096))
        assert not bound.known
        assert bound.bytes > compute_buffer(shape, Demand(4096)).bytes


MIXERS: tuple[Mixer, ...] = (
    ATTENTION, replace(ATTENTION, window=1024), replace(ATTENTION, fused=True), replace(ATTENTION, gated=True),
    MLA, replace(MLA, absorbed=False), replace(MLA, index_heads=64, index_dim=128, index_top=2048),
    StateSpace("mamba", 8192, 16, rank=256), StateSpace("mamba2", 8192, 128, heads=128, groups=8),
    StateSpace("delta", 4096, 128, heads=32, groups=16), StateSpace("keyed", 4096, 128, heads=32),
    StateSpace("conv", 4096, 0, kernel=3), StateSpace("rwkv7", 4096, 64, heads=64),
)  # fmt: skip
FED = (FeedForward(14336), FeedForward(14336, gated=False), EXPERTS, replace(EXPERTS, used=1, groups=8, early=True))


@pytest.mark.parametrize("fed", FED)
@pytest.mark.parametrize("mixer", MIXERS)
def test_more_tokens_sequences_and_vocabulary_never_take_less(mixer: Mixer, fed: FeedForward | Routed) -> None:
    shape = replace(EMPTY, blocks=(Block((mixer,), (fed,), count=24),))
    contexts = [compute_buffer(shape, Demand(context)).bytes for context in (1, 512, 2048, 8192, 131072)]
    assert contexts == sorted(contexts)
    batches = [compute_buffer(shape, Demand(8192, ubatch=ubatch)).bytes for ubatch in (1, 32, 128, 512, 2048)]
    assert batches == sorted(batches)
    words = [compute_buffer(replace(shape, vocabulary=words), Demand(512)).bytes for words in (1, 32_000, 256_000)]
    assert words == sorted(words)
    everyone = unshared_bytes_of(shape)
    assert 0 < contexts[0] <= contexts[1] < everyone


def unshared_bytes_of(shape: ModelShape) -> int:
    """An upper bound for all layers of the shape, at 512 tokens."""
    return 24 * compute_buffer(replace(shape, cache=None), Demand(512)).bytes


@given(
    st.integers(1, 64), st.integers(1, 40), st.integers(1, 16), st.integers(1, 300), st.integers(1, 9000),
    st.integers(1, 5000), st.integers(1, 70_000), st.integers(1, 9), st.booleans(), st.booleans(),
)  # fmt: skip
def test_no_sides_are_too_odd(
    embedding: int, heads: int, kv_heads: int, width: int, inner: int, vocabulary: int, context: int, sequences: int,
    unified: bool, flash: bool,
) -> None:  # fmt: skip
    blocks = (Block((Attention(heads, kv_heads, width, width),), (FeedForward(inner),), count=7),)
    shape = replace(EMPTY, embedding=embedding, vocabulary=vocabulary, blocks=blocks)
    demand = Demand(context, sequences, unified, flash=flash, key_type="q8_0" if flash else "f16")
    assert compute_buffer(shape, demand).bytes >= 4 * vocabulary
    assert compute_buffer(replace(shape, cache=None), demand).bytes >= compute_buffer(shape, demand).bytes


@pytest.mark.parametrize("known", MODELS, ids=lambda known: known.name)
def test_leaving_layers_out_changes_nothing(known: Known, tmp_path: Path) -> None:
    """The buffer of the few layers that are planned is that of all of them."""
    shape = shape_of(known, tmp_path)
    every = tuple(replace(block, count=1) for block in shape.blocks for _at in range(block.count))
    few = shortened(shape.blocks)
    assert len(few) <= max(20, len(every) // 2)
    assert sum(block.count for block in few) == len(every)
    for demand in (Demand(4096), Demand(32768, 2, ubatch=2048, outputs=2), Demand(4096, flash=False)):
        of_few, of_all = (
            buffer_bytes(model_graph(blocks, shape.embedding, shape.vocabulary, demand)) for blocks in (few, every)
        )
        assert of_few == of_all


def test_layers_are_left_out_of_any_order() -> None:
    one, two, three = (Block((ATTENTION,), (FeedForward(width),)) for width in (1000, 2000, 3000))
    orders = (
        [one] * 126,
        [one, two] * 40,
        ([one] * 5 + [two]) * 9,
        [one, two, one, three] * 11 + [two],
        [one, two, three],
    )
    for order in orders:
        few = shortened(tuple(order))
        assert sum(block.count for block in few) == len(order)
        assert {replace(block, count=1) for block in few} == set(order)
        assert replace(few[-1], count=1) == order[-1]
    assert [len(shortened(tuple(order))) for order in orders] == [4, 8, 10, 13, 3]
    assert shortened(()) == ()


def test_a_context_shorter_than_the_micro_batch_is_the_micro_batch() -> None:
    """llama.cpp logged 52.88 MiB for Llama 3.2 1B at 100 tokens."""
    shape = replace(
        EMPTY, embedding=2048, cache=(AttentionLayers(16, 32, 8, 64, 64),),
        blocks=(Block((Attention(32, 8, 64, 64),), (FeedForward(8192),), count=16),),
    )  # fmt: skip
    assert compute_buffer(shape, Demand(100)).bytes / MIB == pytest.approx(52.88, abs=0.01)


def test_a_norm_that_subtracts_the_mean_is_not_in_place() -> None:
    """llama.cpp logged 247.27 MiB for Orion 14B at 32,768 tokens."""
    block = Block((Attention(40, 40, 128, 128),), (FeedForward(15360),), count=40)
    shape = replace(EMPTY, embedding=5120, vocabulary=84608, cache=(AttentionLayers(40, 40, 40, 128, 128),))
    found = [
        compute_buffer(replace(shape, blocks=(replace(block, centred=centred),)), Demand(32768)).bytes / MIB
        for centred in (True, False)
    ]
    assert found == [pytest.approx(247.27, abs=0.01), pytest.approx(257.27, abs=0.01)]


def test_vectors_that_a_token_brings_beside_its_own_are_kept_until_they_are_added() -> None:
    """Qwen3-VL 8B: llama.cpp logged 473.28 MiB at 512 tokens; 337 without its three further vectors."""
    block = Block((ATTENTION,), (FeedForward(12288),))
    blocks = (replace(block, stacked=True, count=3), replace(block, count=33))
    shape = replace(EMPTY, vocabulary=151936, cache=(AttentionLayers(36, 32, 8, 128, 128),), blocks=blocks)
    assert compute_buffer(shape, Demand(512)).bytes / MIB == pytest.approx(473.28, rel=0.02)


def test_it_takes_a_few_milliseconds() -> None:
    kinds = tuple(Block((mixer,), (fed,), count=10) for mixer in MIXERS[:5] for fed in FED[:3])
    compute_buffer(replace(EMPTY, blocks=kinds), Demand(777))
    start = time.perf_counter()
    compute_buffer(replace(DEEPSEEK_V3, vocabulary=129_281), Demand(4096))
    assert time.perf_counter() - start < 0.1
