"""Recurrent layers as graphs. Sources, in llama.cpp: ``build_rs`` (``src/llama-graph.cpp``), ``src/models/mamba-base.cpp``,
``delta-net-base.cpp``, ``qwen3next.cpp``, ``kimi-linear.cpp``, ``lfm2.cpp``, ``rwkv7-base.cpp``.

Every sequence brings as many tokens; a state is read into the graph, changed there, and copied back.
"""

from __future__ import annotations

from ultralab.planner.blocks import StateSpace
from ultralab.planner.compute.tensors import Tensor
from ultralab.planner.compute.workspace import Workspace


def state_space(work: Workspace, layer: StateSpace, current: Tensor) -> Tensor:
    """The layer's answer, ``embedding`` wide."""
    match layer.kind:
        case "mamba":
            return _mamba(work, layer, current)
        case "mamba2":
            return _mamba2(work, layer, current)
        case "delta":
            return _delta(work, layer, current)
        case "keyed":
            return _keyed(work, layer, current)
        case "conv":
            return _short(work, layer, current)
        case _:
            return _time_mix(work, layer, current)


def _state(work: Workspace, size: int) -> Tensor:
    """The sequences' states, and the copy of those that stay as they are (none of them)."""
    graph, sequences = work.graph, work.demand.sequences
    found = graph.expand(graph.new((size, sequences), work.copied))
    graph.store(graph.view(found, (size, 0)))
    return graph.view(found, (size, sequences))


def _convolved(work: Workspace, kernel: int, width: int, state: Tensor, current: Tensor) -> Tensor:
    """What the convolution slides over: the last tokens of before and those of now, side by side per channel."""
    graph, each, sequences = work.graph, work.each, work.demand.sequences
    joined = graph.new((kernel - 1 + each, width, sequences), state, graph.view(current, (each, width)))
    graph.store(graph.view(joined, (kernel - 1, width, sequences)))
    return joined


def _flat(work: Workspace, answer: Tensor) -> Tensor:
    """The layer's output, seen as one sequence of tokens again."""
    graph = work.graph
    return graph.reshape(graph.new((work.embedding, work.tokens), answer), work.embedding, work.tokens)


def _mamba(work: Workspace, layer: StateSpace, current: Tensor) -> Tensor:
    graph, tokens, inner, size = work.graph, work.tokens, layer.inner, layer.state
    before = _state(work, (layer.kernel - 1) * inner)
    both = graph.new((2 * inner, tokens), current)
    gate = graph.view(both, (inner, tokens))
    joined = _convolved(work, layer.kernel, inner, before, graph.view(both, (inner, tokens)))
    wide = graph.over(graph.over(graph.new((inner, tokens), joined)))
    parts = graph.new((layer.rank + 2 * size, tokens), wide)
    step = graph.new((layer.rank, tokens), graph.view(parts, (layer.rank, tokens)))
    step = graph.over(graph.new((inner, tokens), step))
    shaped = graph.reshape(wide, 1, inner, tokens)
    keys = [graph.view(parts, (size, 1, tokens)) for _side in range(2)]
    scanned = _scanned(work, layer, shaped, step, *keys)
    answer = graph.view(scanned, (inner, tokens))
    spread = graph.new((inner, tokens), gate)
    answer = graph.new((inner, tokens), spread, graph.over(answer, graph.over(wide)))
    return _flat(work, answer)


def _mamba2(work: Workspace, layer: StateSpace, current: Tensor) -> Tensor:
    graph, tokens, inner, size, heads = work.graph, work.tokens, layer.inner, layer.state, layer.heads
    width = inner + 2 * layer.groups * size
    before = _state(work, (layer.kernel - 1) * width)
    whole = graph.new((inner + width + heads, tokens), current)
    gate = graph.view(whole, (inner, tokens))
    joined = _convolved(work, layer.kernel, width, before, graph.view(whole, (width, tokens)))
    wide = graph.over(graph.over(graph.new((width, tokens), joined)))
    step = graph.over(graph.new((heads, tokens), graph.view(whole, (heads, tokens))))
    value = graph.view(wide, (inner, tokens))
    keys = [graph.view(wide, (size, layer.groups, tokens)) for _side in range(2)]
    scanned = _scanned(work, layer, value, step, *keys)
    answer = graph.view(scanned, (inner, tokens))
    spread = graph.new((inner, tokens), gate)
    answer = graph.new((inner, tokens), spread, graph.over(answer, graph.over(value)))
    return _flat(work, graph.over(graph.over(graph.reshape(answer, inner, tokens))))


def _scanned(work: Workspace, layer: StateSpace, *sources: Tensor) -> Tensor:
    """Answers of all tokens and, behind them, the states after the last."""
    graph, sequences = work.graph, work.demand.sequences
    state = layer.state * layer.inner * sequences
    scanned = graph.expand(graph.new((layer.inner * work.tokens + state,), *sources, work.copied))
    graph.store(graph.view(scanned, (state,)))
    return scanned


def _delta(work: Workspace, layer: StateSpace, current: Tensor) -> Tensor:
    graph, tokens, heads, size = work.graph, work.tokens, layer.heads, layer.state
    graph.expand(current)
    width = layer.inner + 2 * layer.groups * size
    before = _state(work, (layer.kernel - 1) * width)
    joined = _convolved(work, layer.kernel, width, before, graph.new((width, tokens), current))
    state = _state(work, layer.inner // heads * layer.inner)
    wide = graph.over(graph.new((width, tokens), joined))
    query, key = (_normed_heads(work, layer, wide) for _part in range(2))
    value = graph.view(wide, (layer.inner, tokens))
    if layer.rank:
        gate = graph.over(graph.new((heads, tokens), current))
        beta = graph.over(graph.new((heads, tokens), current))
    else:
        both = graph.new((2 * heads, tokens), current)
        gate = graph.over(graph.new((heads, tokens), graph.view(both, (heads, tokens))))
        beta = graph.over(graph.new((heads, tokens), graph.view(both, (heads, tokens))))
    answer = graph.over(_ruled(work, layer, query, key, value, gate, beta, state))
    answer = graph.over(
        answer, graph.over(graph.reshape(graph.new((layer.inner, tokens), current), layer.inner, tokens))
    )
    return _flat(work, answer)


def _normed_heads(work: Workspace, layer: StateSpace, wide: Tensor) -> Tensor:
    """Keys or queries, repeated for every head of the values where the kernel wants as many."""
    graph, tokens = work.graph, work.tokens
    part = graph.view(wide, (layer.groups * layer.state, tokens))
    normed = graph.over(graph.over(part))
    if layer.groups == layer.heads or layer.rank:
        return normed
    return graph.new((layer.heads * layer.state, tokens), normed)


def _ruled(work: Workspace, layer: StateSpace, *sources: Tensor) -> Tensor:
    """The gated delta rule (``GATED_DELTA_NET``): answers of all tokens and, behind them, the states after the last."""
    graph, tokens = work.graph, work.tokens
    state = layer.inner // layer.heads * layer.inner * work.demand.sequences
    ruled = graph.new((layer.inner * tokens + state,), *sources)
    graph.store(graph.view(ruled, (state,)))
    return graph.view(ruled, (layer.inner, tokens))


def _keyed(work: Workspace, layer: StateSpace, current: Tensor) -> Tensor:
    graph, tokens, inner = work.graph, work.tokens, layer.inner
    graph.expand(current)
    before = _state(work, 3 * (layer.kernel - 1) * inner)
    joined = [_convolved(work, layer.kernel, inner, before, graph.new((inner, tokens), current)) for _part in range(3)]
    state = _state(work, layer.state * inner)
    query, key, value = (graph.over(graph.new((inner, tokens), one)) for one in joined)
    gate = graph.over(graph.new((inner, tokens), graph.new((layer.state, tokens), current)))
    beta = graph.over(graph.new((layer.heads, tokens), current))
    ruled = _ruled(work, layer, query, key, value, gate, beta, state)
    answer = graph.over(graph.new((inner, tokens), ruled))
    gate = graph.over(graph.new((inner, tokens), graph.new((layer.state, tokens), current)))
    spread = graph.new((inner, tokens), graph.over(answer, gate))
    return graph.new((work.embedding, tokens), spread)


def _short(work: Workspace, layer: StateSpace, current: Tensor) -> Tensor:
    graph, tokens, inner = work.graph, work.tokens, layer.inner
    before = _state(work, (layer.kernel - 1) * inner)
    whole = graph.new((3 * inner, tokens), current)
    left, middle, right = (graph.view(whole, (inner, tokens)) for at in range(3))
    joined = _convolved(work, layer.kernel, inner, before, graph.over(left, right))
    answer = graph.over(middle, graph.new((inner, tokens), joined))
    return _flat(work, answer)


def _time_mix(work: Workspace, layer: StateSpace, current: Tensor) -> Tensor:
    """RWKV 6 and 7: six mixes of each token with the one before it, and what comes of them."""
    graph, tokens, inner = work.graph, work.tokens, layer.inner
    before = _state(work, 2 * inner)
    state = _state(work, layer.state * inner)
    graph.expand(current)
    shifted = graph.over(graph.new((inner, tokens), before, graph.view(current, (inner, tokens))), current)
    mixed = graph.over(graph.over(graph.new((inner, tokens, 6), shifted)), current)
    parts = [graph.view(mixed, (inner, tokens)) for at in range(6)]
    read = graph.new((inner, tokens), parts[0])
    decay, keys, values, rate, gate = (graph.over(graph.new((inner, tokens), part)) for part in parts[1:])
    removed = graph.over(graph.over(keys))
    turned = graph.over(removed)
    sources = (read, decay, graph.over(keys, rate), values, turned, graph.over(removed, rate), state)
    ruled = graph.new((inner * tokens + layer.state * inner * work.demand.sequences,), *sources)
    graph.store(graph.view(ruled, (layer.state * inner * work.demand.sequences,)))
    answer = graph.over(graph.over(graph.view(ruled, (inner, tokens))), graph.over(values))
    return graph.new((work.embedding, tokens), graph.over(answer, gate))
