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
"""Layers of a kind, or periods of them, after which two more find the buffer as they leave it (places may change with
every other one)."""
_LONGEST: Final = 16
"""Layers of a period that is looked for."""

Layer = tuple[int, int]
"""Of which kind a layer is, and how many it stands for."""


def model_graph(blocks: tuple[Block, ...], embedding: int, vocabulary: int, demand: Demand) -> Graph:
    """From the tokens to the logits."""
    work = Workspace(blocks, embedding, demand)
    graph, tokens = work.graph, work.tokens
    outputs = min(demand.outputs or work.batch, work.batch)
    current = _embedded(graph, embedding, tokens)
    wanted = graph.input(outputs)
    layers = shortened(blocks)
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


def shortened(blocks: tuple[Block, ...]) -> list[Block]:
    """Fewer layers that need the same buffer, in their order, and the last one last; ``count``: how many one stands for."""
    kinds: dict[Block, int] = {}
    order = [(kinds.setdefault(replace(block, count=1), len(kinds)), block.count) for block in blocks]
    names = list(kinds)
    return [replace(names[kind], count=count) for kind, count in _without_periods(_without_runs(order))]


def _without_runs(order: list[Layer]) -> list[Layer]:
    """Each kind a few times; of a longer run every second layer is as the one before it, so an even number is left out."""
    found: dict[int, int] = {}
    kept: list[Layer] = []
    for at, (kind, count) in enumerate(order):
        room = max(_ENOUGH - found.get(kind, 0), at == len(order) - 1)
        fresh = count if count <= room else room + (count - room) % 2
        found[kind] = found.get(kind, 0) + fresh
        kept += [(kind, 1)] * fresh
        _stand_for(kept, kind, count - fresh)
    return kept


def _without_periods(order: list[Layer]) -> list[Layer]:
    """The same for layers that come again in the same order."""
    kinds = [kind for kind, _count in order]
    kept: list[Layer] = []
    at = 0
    while at < len(order):
        length, spare = max((_spare(kinds, at, length) for length in range(1, _LONGEST + 1)), key=lambda one: one[1])
        kept += order[at : at + length]
        at += length
        if spare:
            kept += order[at : at + length * (_ENOUGH - 1)]
            at += length * (_ENOUGH - 1)
        for kind, count in order[at : at + spare]:
            _stand_for(kept, kind, count)
        at += spare
    return kept


def _spare(kinds: list[int], at: int, length: int) -> tuple[int, int]:
    """The period's length, and how many layers are more of the same than are needed: whole periods, an even number."""
    times, period = 1, kinds[at : at + length]
    while kinds[at + times * length : at + (times + 1) * length] == period:
        times += 1
    return (length, max(0, times - _ENOUGH) // 2 * 2 * length) if times > _ENOUGH else (1, 0)


def _stand_for(kept: list[Layer], kind: int, more: int) -> None:
    """The latest layer of this kind stands for so many more."""
    latest = next(at for at in range(len(kept) - 1, -1, -1) if kept[at][0] == kind) if more else 0
    if more:
        kept[latest] = (kind, kept[latest][1] + more)


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
