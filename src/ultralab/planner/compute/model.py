"""The graph of a whole model for one micro-batch, as llama.cpp reserves it (``llama-context.cpp``: ``graph_reserve``)."""

from __future__ import annotations

from dataclasses import replace
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


def model_graph(blocks: tuple[Block, ...], embedding: int, vocabulary: int, demand: Demand) -> Graph:
    """From the tokens to the logits."""
    work = Workspace(blocks, embedding, demand)
    graph, tokens = work.graph, work.tokens
    outputs = min(demand.outputs or work.batch, work.batch)
    current = _embedded(graph, embedding, tokens)
    wanted = graph.input(outputs)
    layers = _shortened(blocks)
    for index, block in enumerate(layers):
        work.standing_for = block.count
        last = (wanted, outputs) if index == len(layers) - 1 else None
        current = _layer(work, block, current, last)
    if not layers:
        current = graph.rows(current, wanted, outputs)
    normed = graph.over(graph.over(current))
    normed.kept = True
    logits = graph.new((vocabulary, outputs), normed)
    logits.kept = True
    graph.expand(logits)
    return graph


def _embedded(graph: Graph, width: int, tokens: int) -> Tensor:
    """The tokens' vectors, beside the two other ways to give them, which are planned although they do not run: vectors
    alone, and both mixed (``build_inp_embd``).
    """
    ids = graph.input(tokens)
    current = graph.expand(graph.new((width, tokens), ids))
    graph.expand(graph.input(width, tokens))
    mixed = graph.new((width, tokens), graph.input(tokens))
    copied = graph.new((width, tokens), graph.input(width, tokens))
    written = graph.view(copied, copied.sides)
    written.sources = (mixed, graph.input(tokens, element=I64), copied)
    graph.expand(written)
    return current


def _shortened(blocks: tuple[Block, ...]) -> list[Block]:
    """Each kind of layer a few times, in their order, and the last one last; ``count``: how many it stands for."""
    places: dict[Block, list[int]] = {}
    kept: list[Block] = []
    for at, block in enumerate(blocks):
        kind = replace(block, count=1)
        found = places.setdefault(kind, [])
        room = max(_ENOUGH - len(found), at == len(blocks) - 1)
        fresh = block.count if block.count <= room else room + (block.count - room) % 2
        found += range(len(kept), len(kept) + fresh)
        kept += [kind] * fresh
        latest = found[-1]
        kept[latest] = replace(kept[latest], count=kept[latest].count + block.count - fresh)
    return kept


def _layer(work: Workspace, block: Block, before: Tensor, last: tuple[Tensor, int] | None) -> Tensor:
    graph = work.graph
    normed = _normed(work, block, before)
    current = _mixed(work, block.mixers[0], normed) if block.mixers else None
    for mixer in block.mixers[1:]:
        assert current is not None
        current = graph.over(current, _mixed(work, mixer, _normed(work, block, before)))
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
    out = _fed(work, block, _normed(work, block, middle))
    return _added(work, block, out, middle)


def _added(work: Workspace, block: Block, current: Tensor, before: Tensor) -> Tensor:
    return work.graph.over(before, current) if block.onto else work.graph.over(current, before)


def _normed(work: Workspace, block: Block, current: Tensor) -> Tensor:
    return current if block.bare else work.graph.over(work.graph.over(current))


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
