"""transformers' memory from its source: sizes of its caches, and what must hold for every model."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.planner.test_mlx import DEEPSEEK, GEMMA, LLAMA, SHAPES

from ultralab.kernel.errors import UnknownChoice
from ultralab.planner.torch import torch_cache, torch_memory
from ultralab.planner.types import Demand, ModelShape, RecurrentLayers


@pytest.mark.parametrize(
    ("shape", "demand", "size"),
    [
        (LLAMA, Demand(1000), 32 * 1000 * 8 * 256 * 2),
        (LLAMA, Demand(1000, sequences=3), 3 * 32 * 1000 * 8 * 256 * 2),
        (LLAMA, Demand(1000, key_type="q4_0", value_type="q4_0"), 32 * 8 * 256 * (1000 * 9 // 16 + 128 * 2) // 1),
        (GEMMA, Demand(131_072), (29 * 1024 + 5 * 131_072) * 4096),
        (DEEPSEEK, Demand(1000), 61 * 1000 * 576 * 2),
    ],
)  # fmt: skip
def test_caches(shape: ModelShape, demand: Demand, size: int) -> None:
    assert torch_cache(shape, demand).bytes == pytest.approx(size, rel=1e-3)
    assert torch_cache(shape, demand, element=4).bytes > size


def test_states_have_a_band() -> None:
    shape = replace(LLAMA, architecture="mamba2", cache=(RecurrentLayers(2, conv=576, state=2048, inner=128),))
    found = torch_cache(shape, Demand(9, sequences=3))
    assert (found.bytes, found.error_band) == (2 * 3 * (864 * 2 + 2048 * 4), 0.3)


def test_the_whole_prompt_is_read_at_once() -> None:
    plan = torch_memory(LLAMA, Demand(32_768))
    assert plan.compute.bytes > 32 * 32_768**2 * 2
    assert (plan.compute.error_band, plan.overhead.error_band) == (0.6, 0.6)
    assert plan.known
    assert not torch_memory(replace(LLAMA, cache=None), Demand(32_768)).known


@pytest.mark.parametrize(("vocabulary", "seen"), [(325, 388_000_000), (49_152, 418_000_000)])
def test_the_process_is_never_less_than_what_was_measured(vocabulary: int, seen: int) -> None:
    """Tiny and SmolLM2 on the engine, weights taken off: see the module."""
    overhead = torch_memory(replace(LLAMA, vocabulary=vocabulary), Demand(1024)).overhead
    assert seen < overhead.bytes < 1.06 * seen
    assert overhead.error_band == 0.6  # of a Mac nothing is known


def test_a_type_that_transformers_does_not_have() -> None:
    with pytest.raises(UnknownChoice, match="iq4_nl"):
        torch_memory(LLAMA, Demand(1024, key_type="iq4_nl"))


@given(SHAPES, st.integers(1, 10**5), st.integers(0, 10**5), st.integers(1, 40), st.integers(0, 9), st.booleans())
def test_nothing_falls_with_more_context_or_sequences(
    shape: ModelShape, context: int, more: int, sequences: int, others: int, unified: bool
) -> None:
    less = torch_memory(shape, Demand(context, sequences, unified))
    rest = torch_memory(shape, Demand(context + more, sequences + others, unified))
    for one, other in zip(less.parts, rest.parts, strict=True):
        assert 0 <= one.bytes <= other.bytes


@given(SHAPES, st.integers(1, 10**5))
def test_nothing_falls_with_more_layers_or_bits(shape: ModelShape, context: int) -> None:
    larger = replace(
        shape,
        layers=shape.layers + 1,
        cache=tuple(replace(group, count=group.count + 1) for group in shape.cache) if shape.cache else None,
    )
    assert torch_memory(larger, Demand(context)).total > torch_memory(shape, Demand(context)).total
    assert torch_memory(shape, Demand(context), element=4).total > torch_memory(shape, Demand(context)).total
