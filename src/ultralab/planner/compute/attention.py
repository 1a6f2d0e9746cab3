"""Attention as a graph: llama.cpp's ``build_qkv``, ``build_attn`` and ``build_attn_mha`` (``src/llama-graph.cpp``)."""

from __future__ import annotations

from typing import Final

from ultralab.planner.blocks import Attention, Latent
from ultralab.planner.compute.tensors import F32, Tensor
from ultralab.planner.compute.workspace import Workspace

ROTATED: Final = 64
"""Quantized keys and values are rotated where a head is a multiple of this (``llama-kv-cache.cpp``: ``attn_rot_k``)."""


def attention(work: Workspace, layer: Attention, current: Tensor) -> Tensor:
    """The layer's answer, ``embedding`` wide."""
    graph, tokens = work.graph, work.tokens
    query, key, value, gate = _projected(work, layer, current)
    if layer.rotated:
        query = graph.over(query, work.positions)
        key = key and graph.over(key, work.positions)
    query = graph.expand(_rotated(work, query, work.key_rotation(layer.key_dim, layer.window)))
    _store(work, layer, key, value)
    answer = _attend(work, query, layer.heads, layer.key_dim, layer.value_dim, layer.window)
    answer = _rotated(work, answer, work.value_rotation(layer.value_dim, layer.window))
    if gate is not None:
        spread = graph.over(graph.new((layer.heads * layer.value_dim, tokens), gate))
        answer = graph.over(answer, spread)
    return graph.new((work.embedding, tokens), answer)


def _projected(
    work: Workspace, layer: Attention, current: Tensor
) -> tuple[Tensor, Tensor | None, Tensor, Tensor | None]:
    graph, tokens = work.graph, work.tokens
    queries, keys, values = (
        layer.heads * layer.key_dim,
        layer.kv_heads * layer.key_dim,
        layer.kv_heads * layer.value_dim,
    )
    heads = (layer.key_dim, layer.heads, tokens)
    if layer.fused:
        whole = graph.new((queries + keys + values, tokens), current)
        return (
            graph.view(whole, heads),
            graph.view(whole, (layer.key_dim, layer.kv_heads, tokens)),
            graph.view(whole, (layer.value_dim, layer.kv_heads, tokens)),
            None,
        )
    gate = None
    if layer.gated:
        both = graph.reshape(graph.new((2 * queries, tokens), current), 2 * layer.key_dim, layer.heads, tokens)
        query = graph.over(graph.view(both, heads))
        gate = graph.view(both, heads)
    else:
        query = graph.reshape(graph.new((queries, tokens), current), *heads)
    key = graph.reshape(graph.new((keys, tokens), current), layer.key_dim, layer.kv_heads, tokens)
    value = graph.reshape(graph.new((values, tokens), current), layer.value_dim, layer.kv_heads, tokens)
    return query, None if layer.reuses else key, value, gate


def _store(work: Workspace, layer: Attention, key: Tensor | None, value: Tensor) -> None:
    if key is None:
        return
    graph = work.graph
    value = graph.expand(_rotated(work, value, work.value_rotation(layer.value_dim, layer.window)))
    key = graph.expand(_rotated(work, key, work.key_rotation(layer.key_dim, layer.window)))
    graph.store(key, work.key_places(layer.window))
    graph.store(value, work.value_places(layer.window))


def _rotated(work: Workspace, tensor: Tensor, rotation: Tensor | None) -> Tensor:
    """``llama_mul_mat_hadamard``: a product with a small square matrix."""
    if rotation is None:
        return tensor
    graph, side = work.graph, rotation.sides[0]
    count = tensor.nbytes // F32 // side
    turned = graph.new((side, count), rotation, graph.reshape(tensor, side, count))
    return graph.reshape(turned, *tensor.sides)


def _attend(
    work: Workspace, query: Tensor, heads: int, key_dim: int, value_dim: int, window: int, expanded: int = 0,
    mask: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """Every head's answer side by side. ``expanded``: what an absorbed value of the latent vector becomes, per head."""
    graph, tokens, streams = work.graph, work.tokens, work.streams
    cells, mask = work.cells(window), mask or work.mask(window)
    each = tokens // streams
    asked = graph.view(graph.view(query, (key_dim, heads, each, streams)), (key_dim, each, heads, streams))
    if work.flash:
        answer = graph.new((value_dim, heads, each, streams), asked, mask)
        if expanded:
            permuted = graph.view(answer, (value_dim, each, heads, streams))
            answer = graph.new((expanded, each, heads, streams), permuted)
            answer = graph.new((expanded, heads, each, streams), graph.view(answer, answer.sides))
        width = expanded or value_dim
        return graph.expand(graph.reshape(answer, width * heads, tokens))
    scores = graph.over(graph.new((cells, each, heads, streams), asked), mask)
    if expanded:
        turned = graph.new((cells, value_dim, 1, streams), element=work.key_element)
        answer = graph.new((value_dim, each, heads, streams), turned, scores)
        answer = graph.new((expanded, each, heads, streams), answer)
    else:
        answer = graph.new((value_dim, each, heads, streams), scores)
    width = expanded or value_dim
    permuted = graph.view(answer, (width, heads, each, streams))
    return graph.expand(graph.new((width * heads, tokens), permuted))


def latent(work: Workspace, layer: Latent, current: Tensor) -> Tensor:
    """``src/models/deepseek2.cpp``."""
    graph, tokens = work.graph, work.tokens
    asking = current
    if layer.query_rank:
        asking = graph.over(graph.new((layer.query_rank, tokens), current))
    if layer.index_heads:
        _store_index(work, layer, current)
    query = graph.new((layer.heads * layer.key_dim, tokens), asking)
    both = graph.new((layer.rank + layer.rotary, tokens), current)
    vector = graph.over(graph.view(both, (layer.rank, tokens)))
    beside = graph.over(graph.view(both, (layer.rotary, 1, tokens)), work.positions)
    if layer.absorbed:
        mask = _selected(work, layer, asking, current) if layer.index_heads else None
        return _absorbed(work, layer, query, vector, beside, mask)
    return _expanded(work, layer, query, vector, beside)


def _absorbed(
    work: Workspace, layer: Latent, query: Tensor, vector: Tensor, beside: Tensor, mask: Tensor | None
) -> Tensor:
    graph, tokens, width = work.graph, work.tokens, layer.rank + layer.rotary
    plain = graph.view(query, (layer.key_dim - layer.rotary, layer.heads, tokens))
    turned = graph.over(graph.view(query, (layer.rotary, layer.heads, tokens)), work.positions)
    flipped = graph.view(plain, (layer.key_dim - layer.rotary, tokens, layer.heads))
    absorbed = graph.new((layer.rank, tokens, layer.heads), flipped)
    query = graph.new((width, layer.heads, tokens), graph.view(absorbed, (layer.rank, layer.heads, tokens)), turned)
    shaped = graph.reshape(vector, layer.rank, 1, tokens)
    key = graph.new((width, 1, tokens), shaped, beside)
    for one in (query, shaped, key):
        graph.expand(one)
    graph.store(key, work.key_places(0))
    answer = _attend(work, query, layer.heads, width, layer.rank, 0, expanded=layer.value_dim, mask=mask)
    return graph.new((work.embedding, tokens), answer)


def _expanded(work: Workspace, layer: Latent, query: Tensor, vector: Tensor, beside: Tensor) -> Tensor:
    graph, tokens, heads = work.graph, work.tokens, layer.heads
    unrotated = layer.key_dim - layer.rotary
    both = graph.new((heads * (unrotated + layer.value_dim), tokens), vector)
    keys = graph.view(both, (unrotated, heads, tokens))
    value = graph.new((layer.value_dim, heads, tokens), graph.view(both, (layer.value_dim, heads, tokens)))
    query = graph.over(graph.reshape(query, layer.key_dim, heads, tokens), work.positions)
    repeated = graph.new((layer.rotary, heads, tokens), beside)
    key = graph.new((layer.key_dim, heads, tokens), keys, repeated)
    query = graph.expand(_rotated(work, query, work.key_rotation(layer.key_dim, 0)))
    as_layer = Attention(heads, heads, layer.key_dim, layer.value_dim)
    _store(work, as_layer, key, value)
    answer = _attend(work, query, heads, layer.key_dim, layer.value_dim, 0)
    answer = _rotated(work, answer, work.value_rotation(layer.value_dim, 0))
    return graph.new((work.embedding, tokens), answer)


def _store_index(work: Workspace, layer: Latent, current: Tensor) -> None:
    """Keys of the index that chooses tokens (DeepSeek sparse attention, ``src/models/deepseek32.cpp``)."""
    graph, tokens, width = work.graph, work.tokens, layer.index_dim
    key = graph.over(graph.reshape(graph.new((width, tokens), current), width, 1, tokens), work.positions)
    key = graph.new((width, tokens), work.index_rotation(width), key)
    graph.store(key, work.index_places)


def _selected(work: Workspace, layer: Latent, asking: Tensor, current: Tensor) -> Tensor:
    """A mask that leaves only the chosen tokens. Every layer brings zeros of its own to fill it with."""
    graph, tokens, heads = work.graph, work.tokens, layer.index_heads
    mask, cells, top = work.mask(0), work.cells(0), min(layer.index_top, work.cells(0))
    others = graph.input(1, top, tokens * (work.standing_for - 1))
    filled = graph.over(graph.input(1, top, tokens), others)
    query = graph.new((heads * layer.index_dim, tokens), asking)
    query = graph.over(graph.reshape(query, layer.index_dim, heads, tokens), work.positions)
    query = graph.new((layer.index_dim, heads, tokens), work.index_rotation(layer.index_dim), query)
    weights = graph.over(graph.reshape(graph.new((heads, tokens), current), heads, tokens))
    scores = graph.new((cells, tokens), query, weights, work.index_mask)
    chosen = graph.new((top, tokens), graph.new((top, tokens), scores))
    written = graph.view(graph.over(mask), (1, cells, tokens))
    written.sources = (filled, chosen, *written.sources)
    return graph.over(graph.view(written, mask.sides), mask)
