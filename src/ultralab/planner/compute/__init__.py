"""llama.cpp's compute buffer: its graph for one micro-batch is built and its memory planned, as ggml plans it.

Nothing is fitted: which tensors there are comes from the header, how they are computed from llama.cpp's graphs
(:mod:`attention`, :mod:`feed_forward`, :mod:`recurrent`, :mod:`model`), and where each finds its place from ggml's
allocator (:mod:`allocator`).
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Final

from ultralab.kernel.language import N_
from ultralab.planner.blocks import Block, Latent
from ultralab.planner.compute.allocator import buffer_bytes, unshared_bytes
from ultralab.planner.compute.assumed import assumed_blocks
from ultralab.planner.compute.model import model_graph, shortened
from ultralab.planner.compute.tensors import F16, F32
from ultralab.planner.kv_cache import PAD, kv_cache
from ultralab.planner.types import Amount, Demand, ModelShape

ERROR_BAND: Final = 0.05
"""On the CPU backend 1,427 of 1,490 points agree with llama.cpp's answer to 0.1 % and all but those of :func:`_demands` to 5 %
(``benchmarks/plan_memory.md``), where too much is planned on purpose. A GPU's backend plans a little differently; that
was not measured.
"""
_ASSUMED_BAND: Final = 0.15
_MOST_MORE: Final = 0.018
"""How much more than llama.cpp holds in all may be planned, so that a longer context takes no less; then it does."""
_HOLES: Final = 3
"""Holes of a micro-batch's vectors that may lie beside the mask's."""
_PASSED: Final = 2
"""Where the mask is so many times the logits, no shorter context takes more."""

_GRAPH: Final = N_("llama.cpp's graph for this architecture on the CPU backend; a GPU's backend may differ")
_ASSUMED: Final = N_("a graph of usual layers with this model's widths, as llama.cpp computes them")
_BOUND: Final = N_(
    "an upper bound: the architecture is not known, so no memory is taken to be used twice within a layer"
)


def compute_buffer(shape: ModelShape, demand: Demand) -> Amount:
    """Bytes of the compute buffer for ``demand.ubatch`` tokens, or all that the context holds.

    Sources: llama.cpp ``src/llama-context.cpp`` (``graph_reserve``), ggml's ``ggml-alloc.c``. Where the architecture is
    not known the amount is an upper bound and not ``known``.
    """
    blocks = shape.blocks or assumed_blocks(shape)
    if shape.cache is None:
        return Amount(_bound(blocks, shape.embedding, shape.vocabulary, demand), 0.0, _BOUND, known=False)
    layers = shortened(blocks)
    asked, *shorter = (
        _planned(layers, shape.embedding, shape.vocabulary, one) for one in _demands(shape, blocks, demand)
    )
    spare = (shape.loaded_bytes + kv_cache(shape, demand).bytes + asked) * _MOST_MORE
    found = max(asked, min(asked + int(spare), max(shorter, default=0)))
    if shape.blocks:
        return Amount(found, ERROR_BAND, _GRAPH)
    return Amount(found, _ASSUMED_BAND, _ASSUMED)


def _demands(shape: ModelShape, blocks: tuple[Block, ...], demand: Demand) -> tuple[Demand, ...]:
    """The demand, and shorter contexts for which llama.cpp takes more, so that a longer one is never planned with less.

    Where the mask has grown as large as the logits, these fit into the hole that it leaves behind, or a little earlier, with
    the holes of a few of the tokens' vectors beside it; and sparse attention has one mask less above them where the context
    reaches what the index chooses. A mask larger by all logits takes more than any of that, and needs no look. Where that
    would be more than ``_MOST_MORE`` of all, the plan falls as llama.cpp's answer does (LFM2 1.2B at 122,880 tokens: by 2 %).
    """
    ends = {mixer.index_top for block in blocks for mixer in block.mixers if isinstance(mixer, Latent)} - {0}
    rows, cell = demand.outputs or demand.ubatch, max(1, demand.ubatch * (F16 if demand.flash else F32))
    full, beside = F32 * rows * shape.vocabulary // cell, F32 * demand.ubatch * shape.embedding // cell
    if demand.context < _PASSED * full:
        holes = _HOLES + sum(block.count for block in blocks if block.stacked)
        ends.update(full - count * beside for count in range(holes + 1))
    shorter = {(end - 1) // PAD * PAD for end in ends}
    return demand, *(replace(demand, context=one) for one in sorted(shorter) if PAD <= one < demand.context)


@lru_cache(maxsize=256)
def _planned(blocks: tuple[Block, ...], embedding: int, vocabulary: int, demand: Demand) -> int:
    return buffer_bytes(model_graph(blocks, embedding, vocabulary, demand))


@lru_cache(maxsize=64)
def _bound(blocks: tuple[Block, ...], embedding: int, vocabulary: int, demand: Demand) -> int:
    kinds = set(blocks) or {Block()}
    return max(unshared_bytes(model_graph((kind,), embedding, vocabulary, demand)) for kind in kinds)


def forget() -> None:
    """Forget the graphs planned so far, as a new process has not planned any: for measurements."""
    for remembered in (_planned, _bound, shortened):
        remembered.cache_clear()
