"""Feed-forward parts as graphs: llama.cpp's ``build_ffn`` and ``build_moe_ffn`` (``src/llama-graph.cpp``)."""

from __future__ import annotations

from typing import Final

from ultralab.planner.blocks import FeedForward, Routed
from ultralab.planner.compute.tensors import Tensor
from ultralab.planner.compute.workspace import Workspace

_I32: Final = 4
_SUMMANDS: Final = 8
"""More experts are added up in the same memory as so many."""


def dense(work: Workspace, layer: FeedForward, current: Tensor, width: int) -> Tensor:
    """From ``width`` elements per token to ``width``, over the layer's own."""
    graph, tokens = work.graph, current.sides[-1]
    inner = (layer.width, tokens)
    if layer.fused:
        hidden = graph.new(inner, graph.new((2 * layer.width, tokens), current))
    elif layer.gated:
        hidden = graph.new(inner, graph.new(inner, current), graph.new(inner, current))
    else:
        hidden = graph.over(graph.new(inner, current))
    return graph.new((width, tokens), hidden)


def routed(work: Workspace, layer: Routed, current: Tensor, width: int) -> Tensor:
    """Experts, and beside them the shared one."""
    graph, tokens = work.graph, current.sides[-1]
    shared_input = current
    chosen, weights = _chosen(work, layer, current)
    graph.expand(weights)
    if layer.latent:
        current = graph.new((layer.latent, tokens), current)
    narrow = layer.latent or width
    cast = graph.reshape(current, narrow, 1, tokens)
    if layer.early:
        cast = graph.over(graph.new((narrow, layer.used, tokens), cast), weights)
    experts = graph.new((narrow, layer.used, tokens), _inner(work, layer, cast, chosen), chosen)
    if not layer.early:
        experts = graph.over(experts, weights)
    total = _summed(work, graph.expand(experts), layer.used, narrow)
    if layer.latent:
        total = graph.new((width, tokens), total)
    if layer.shared is None:
        return total
    return graph.over(total, dense(work, layer.shared, shared_input, width))


def _chosen(work: Workspace, layer: Routed, current: Tensor) -> tuple[Tensor, Tensor]:
    """The experts of each token and how much each counts."""
    graph, tokens = work.graph, current.sides[-1]
    scores = graph.over(graph.new((layer.count, tokens), current))
    ranking = graph.over(scores) if layer.biased else scores
    if layer.groups > 1:
        ranking = _of_groups(work, layer, ranking)
    order = graph.new((layer.count, tokens), ranking, element=_I32)
    chosen = graph.view(order, (layer.used, tokens))
    weights = graph.new((1, layer.used, tokens), graph.reshape(scores, 1, layer.count, tokens), chosen)
    flat = graph.reshape(weights, layer.used, tokens)
    summed = graph.over(graph.new((1, tokens), flat))
    return chosen, graph.over(graph.reshape(graph.over(flat, summed), 1, layer.used, tokens))


def _of_groups(work: Workspace, layer: Routed, ranking: Tensor) -> Tensor:
    """Scores in which the groups that were not chosen count nothing."""
    graph, tokens = work.graph, ranking.sides[-1]
    size = layer.count // layer.groups
    grouped = graph.reshape(ranking, size, layer.groups, tokens)
    best = graph.view(graph.new(grouped.sides, grouped, element=_I32), (2, layer.groups, tokens))
    pairs = graph.new((1, 2, layer.groups, tokens), graph.reshape(grouped, 1, size, layer.groups, tokens), best)
    totals = graph.new((1, layer.groups, tokens), graph.reshape(pairs, 2, layer.groups, tokens))
    groups = graph.new((layer.groups, tokens), graph.reshape(totals, layer.groups, tokens), element=_I32)
    kept = graph.new((size, layer.groups, tokens), grouped, groups)
    filled = graph.over(grouped)
    masked = graph.view(filled, filled.sides)
    masked.sources = (kept, groups, filled)
    return graph.reshape(masked, layer.count, tokens)


def _inner(work: Workspace, layer: Routed, cast: Tensor, chosen: Tensor) -> Tensor:
    graph = work.graph
    sides = (layer.width, layer.used, cast.sides[-1])
    if not layer.gated:
        return graph.over(graph.new(sides, cast, chosen))
    if layer.fused:
        both = graph.new((2 * layer.width, *sides[1:]), cast, chosen)
        return graph.new(sides, graph.view(both, sides), graph.view(both, sides))
    up = graph.new(sides, cast, chosen)
    return graph.new(sides, graph.new(sides, cast, chosen), up)


def _summed(work: Workspace, experts: Tensor, used: int, width: int) -> Tensor:
    """One sum after the other, over views that all stand before the first of them."""
    graph, tokens = work.graph, experts.sides[-1]
    each = [graph.expand(graph.view(experts, (width, tokens))) for _at in range(min(used, _SUMMANDS))]
    total = each[0]
    for one in each[1:]:
        total = graph.expand(graph.over(total, one))
    return graph.new((width, tokens), total) if used == 1 else total
