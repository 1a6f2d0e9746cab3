"""What a model computes layer by layer, as far as the size of a graph's buffers depends on it.

One :class:`Block` is one layer: what mixes tokens with earlier ones, and the feed-forward part behind it. Sources: the
graphs of llama.cpp (``src/models``, ``src/llama-graph.cpp``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Attention:
    """Queries of ``heads`` against keys and values of ``kv_heads``, elements per head ``key_dim`` and ``value_dim``.

    ``window``: tokens that it looks back at, 0 for all. ``fused``: one matrix gives queries, keys and values.
    ``gated``: the query matrix gives a gate as well. ``reuses``: keys and values are another layer's. ``rotated``: keys and
    queries are turned by their position.
    """

    heads: int
    kv_heads: int
    key_dim: int
    value_dim: int
    window: int = 0
    fused: bool = False
    gated: bool = False
    reuses: bool = False
    rotated: bool = True


@dataclass(frozen=True)
class Latent:
    """Multi-head latent attention: keys and values come from one vector of ``rank`` with ``rotary`` elements beside it.

    A head asks with ``key_dim`` elements (``rotary`` of them rotated) and answers with ``value_dim``. ``query_rank``:
    of the queries' own latent vector, 0 without. ``absorbed``: the cache keeps the vector, else every head's keys and
    values (files without ``attn_k_b``). ``index_heads`` of ``index_dim`` choose the ``index_top`` tokens to look at
    (sparse attention), 0 without.
    """

    heads: int
    rank: int
    rotary: int
    key_dim: int
    value_dim: int
    query_rank: int = 0
    absorbed: bool = True
    index_heads: int = 0
    index_dim: int = 0
    index_top: int = 0


@dataclass(frozen=True)
class StateSpace:
    """A recurrent layer: ``inner`` wide, a state of ``state`` elements per channel or head, ``groups`` and ``heads`` of it.

    ``kind``: ``mamba`` (``rank`` of its time step), ``mamba2``, ``delta`` (gated delta net), ``keyed`` (a delta net with
    a gate per key element), ``conv`` (a short convolution alone), ``rwkv6``, ``rwkv7`` (``rank`` of its mixes). ``kernel``:
    taps of the convolution.
    """

    kind: Literal["mamba", "mamba2", "delta", "keyed", "conv", "rwkv6", "rwkv7"]
    inner: int
    state: int
    heads: int = 1
    groups: int = 1
    kernel: int = 4
    rank: int = 0


@dataclass(frozen=True)
class FeedForward:
    """``width`` inner elements. ``gated``: two matrices of them are multiplied; ``fused``: by one matrix of twice the width."""

    width: int
    gated: bool = True
    fused: bool = False


@dataclass(frozen=True)
class Routed:
    """``used`` of ``count`` experts of ``width``, beside ``shared`` that always works.

    ``fused``: one matrix gives both halves of a gated expert. ``early``: experts are weighted before they work, not
    after. ``biased``: a bias moves the choice. ``groups``: experts are chosen group by group, 1 for not.
    ``latent``: experts work on a vector of this width instead of the layer's, 0 for not.
    """

    count: int
    used: int
    width: int
    gated: bool = True
    fused: bool = False
    early: bool = False
    biased: bool = False
    groups: int = 1
    shared: FeedForward | None = None
    latent: int = 0


Mixer = Attention | Latent | StateSpace


@dataclass(frozen=True)
class Block:
    """``count`` layers that are alike. ``mixers`` beside each other work on the same input and are added up.

    ``feed_forward`` empty: none; several are added up (dense beside routed). ``parallel``: it works on the mixer's input
    instead of on its output. ``bare``: no norm before the mixers. ``centred``: norms subtract the mean (LayerNorm), which
    ggml does not do in place as it does an RMS norm. ``stacked``: behind it a further vector of the input is added, which each
    token brings beside its own (Qwen3-VL's deepstack).
    ``onto``: a part's output is added to what came in, instead of the other way round (it decides whose memory is kept).
    """

    mixers: tuple[Mixer, ...] = ()
    feed_forward: tuple[FeedForward | Routed, ...] = ()
    parallel: bool = False
    bare: bool = False
    onto: bool = False
    centred: bool = False
    stacked: bool = False
    count: int = 1
