"""The graph of a whole model for one micro-batch, as llama.cpp reserves it (``llama-context.cpp``: ``graph_reserve``)."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Final

from ultralab.planner.blocks import Attention, Block, Latent, Mixer, Routed, StateSpace
from ultralab.planner.compute.attention import attention, latent
from ultralab.planner.compute.feed_forward import dense, routed
from ultralab.planner.compute.recurrent import state_space
from ultralab.planner.compute.tensors import I64, Graph, Tensor
from ultralab.planner.compute.workspace import Workspace
from ultralab.planner.types import Demand

_ENOUGH: Final = 3
"""Layers of a kind after which two more find the buffer as they leave it (places may change with every other layer)."""
_ALIKE: Final = 1
"""Layers before two places that must be alike for what follows to be the same."""
_FURTHEST: Final = 1024
"""Layers that are looked through at once, more than any model has."""


def model_graph(blocks: tuple[Block, ...], embedding: int, vocabulary: int, demand: Demand) -> Graph:
    """From the tokens to the logits. ``blocks``: each a layer, of which ``count`` says how many it stands for."""
    work = Workspace(blocks, embedding, demand)
    graph, tokens = work.graph, work.tokens
    outputs = min(demand.outputs or work.batch, work.batch)
    parts = 1 + sum(block.count for block in blocks if block.stacked)
    brought = _embedded(graph, embedding, tokens, parts)
    current = graph.view(brought, (embedding, tokens)) if parts > 1 else brought
    wanted = graph.input(outputs)
    for index, block in enumerate(blocks):
        work.standing_for = block.count
        last = (wanted, outputs) if index == len(blocks) - 1 else None
        current = _layer(work, block, current, last)
        if block.stacked:
            current = graph.over(current, graph.view(brought, current.sides))
    if not blocks:
        current = graph.rows(current, wanted, outputs)
    normed = _normed(work, blocks[-1].centred if blocks else False, current)
    normed.kept = True
    logits = graph.new((vocabulary, outputs), normed)
    logits.kept = True
    graph.expand(logits)
    return graph


def _embedded(graph: Graph, width: int, tokens: int, parts: int) -> Tensor:
    """The tokens' vectors, beside the two other ways to give them, which are planned although they do not run: vectors
    alone, and both mixed (``build_inp_embd``). Of several ``parts`` a token's vector is the first, the rest is nothing.
    """
    ids, wide = graph.input(tokens), parts * width
    current = graph.new((width, tokens), ids)
    current = graph.expand(graph.new((wide, tokens), current) if parts > 1 else current)
    graph.expand(graph.input(wide, tokens))
    mixed = graph.new((width, tokens), graph.input(tokens))
    mixed = graph.new((wide, tokens), mixed) if parts > 1 else mixed
    copied = graph.new((wide, tokens), graph.input(wide, tokens))
    written = graph.view(copied, copied.sides)
    written.sources = (mixed, graph.input(tokens, element=I64), copied)
    graph.expand(written)
    return current


@lru_cache(maxsize=64)
def shortened(blocks: tuple[Block, ...]) -> tuple[Block, ...]:
    """Fewer layers that need the same buffer, in their order, the last one last; ``count``: how many a layer stands for.

    What is left out is an even number of layers, of kinds that came often enough, behind the same layers as it ends with.
    """
    kinds: dict[Block, int] = {}
    order = [kinds.setdefault(replace(block, count=1), len(kinds)) for block in blocks for _at in range(block.count)]
    kept: list[int] = []
    seen, whole = [0] * len(kinds), [order.count(kind) for kind in range(len(kinds))]
    at = 0
    while at < len(order):
        if following := _next_alike(order, at, seen):
            at = following
            continue
        kept.append(order[at])
        seen[order[at]] += 1
        at += 1
    last = {kind: place for place, kind in enumerate(kept)}
    made = list(kinds)
    return tuple(
        replace(made[kind], count=1 + whole[kind] - seen[kind]) if last[kind] == place else made[kind]
        for place, kind in enumerate(kept)
    )


def _next_alike(order: list[int], at: int, seen: list[int]) -> int:
    """The furthest layer with which to go on instead of layer ``at``; 0 where there is none."""
    before = order[max(0, at - _ALIKE) : at]
    stop = at
    while stop < min(len(order) - 1, at + _FURTHEST) and seen[order[stop]] >= _ENOUGH:
        stop += 1
    stop -= (stop - at) % 2
    return next((end for end in range(stop, at, -2) if order[end - len(before) : end] == before), 0)


def _layer(work: Workspace, block: Block, before: Tensor, last: tuple[Tensor, int] | None) -> Tensor:
    graph = work.graph
    normed = before if block.bare else _normed(work, block.centred, before)
    current = _mixed(work, block.mixers[0], normed) if block.mixers else None
    for mixer in block.mixers[1:]:
        assert current is not None
        current = graph.over(current, _mixed(work, mixer, _normed(work, block.centred, before)))
    if last is not None:
        current = graph.rows(current, *last) if current is not None else None
        before = graph.rows(before, *last)
        if block.parallel:
            normed = graph.rows(normed, *last)
    if block.parallel and current is not None:
        out = _fed(work, block, normed)
        return graph.over(graph.over(out, current), before)
    middle = _added(work, block, current, before) if current is not None else before
    if not block.feed_forward:
        return middle
    out = _fed(work, block, middle if block.bare else _normed(work, block.centred, middle))
    return _added(work, block, out, middle)


def _added(work: Workspace, block: Block, current: Tensor, before: Tensor) -> Tensor:
    return work.graph.over(before, current) if block.onto else work.graph.over(current, before)


def _normed(work: Workspace, centred: bool, current: Tensor) -> Tensor:
    found = work.graph.new(current.sides, current) if centred else work.graph.over(current)
    return work.graph.over(found)


def _mixed(work: Workspace, mixer: Mixer, current: Tensor) -> Tensor:
    match mixer:
        case Attention():
            return attention(work, mixer, current)
        case Latent():
            return latent(work, mixer, current)
        case StateSpace():
            return state_space(work, mixer, current)


def _fed(work: Workspace, block: Block, current: Tensor) -> Tensor:
    parts = [
        routed(work, part, current, work.embedding)
        if isinstance(part, Routed)
        else dense(work, part, current, work.embedding)
        for part in block.feed_forward
    ]
    total = parts[0]
    for part in parts[1:]:
        total = work.graph.over(total, part)
    return total
