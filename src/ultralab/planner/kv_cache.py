"""The KV cache as llama.cpp allocates it: bytes, exact, by what each group of layers keeps."""

from __future__ import annotations

from typing import Final

from ultralab.kernel.language import N_
from ultralab.planner.elements import element_bytes
from ultralab.planner.types import Amount, AttentionLayers, Demand, ModelShape, RecurrentLayers

F32: Final = 4
PAD: Final = 256
"""Cells are padded to this (llama.cpp ``llama-context.cpp``: ``GGML_PAD(cparams.n_ctx, 256)``, and per stream)."""

_EXACT: Final = N_("exact: llama.cpp's own layout of the cache, from the header")
_BOUND: Final = N_("an upper bound: the architecture is not known, so every layer is taken to keep all it could")


def padded(cells: int) -> int:
    """Cells as llama.cpp rounds them up."""
    return -(-cells // PAD) * PAD


def kv_cache(shape: ModelShape, demand: Demand) -> Amount:
    """What the cache of all layers takes.

    Sources: llama.cpp ``llama-kv-cache.cpp`` (one tensor each for K and V per layer), ``llama-kv-cache-iswa.cpp``
    (windows), ``llama-memory-recurrent.cpp`` (states). Raises UnknownChoice for an unknown type.
    """
    if shape.cache is None:
        return Amount(_bound(shape, demand), 0.0, _BOUND, known=False)
    return Amount(sum(group_bytes(group, demand) for group in shape.cache), 0.0, _EXACT)


def group_bytes(group: AttentionLayers | RecurrentLayers, demand: Demand) -> int:
    """What one group of layers keeps."""
    if isinstance(group, RecurrentLayers):
        return group.count * demand.sequences * (group.conv + group.state) * F32
    streams = 1 if demand.unified else demand.sequences
    keys = group.kv_heads * group.key_dim * element_bytes(demand.key_type)
    values = group.kv_heads * group.value_dim * element_bytes(demand.value_type)
    return int(group.count * streams * cells(group, demand) * (keys + values))


def cells(group: AttentionLayers, demand: Demand) -> int:
    """Cells per layer and stream: the whole context, or the window and one micro-batch (``llama-kv-cache-iswa.cpp``)."""
    whole = padded(demand.context)
    if not group.window:
        return whole
    shared = demand.sequences if demand.unified else 1
    return padded(min(whole, group.window * shared + demand.ubatch))


def _bound(shape: ModelShape, demand: Demand) -> int:
    """Keys and values of every head in every layer, over the whole context, beside a state as large as the layer."""
    heads = max(shape.heads, shape.kv_heads, 1)
    width = max(heads * max(shape.key_dim, shape.value_dim), shape.embedding)
    streams = 1 if demand.unified else demand.sequences
    per_cell = width * (element_bytes(demand.key_type) + element_bytes(demand.value_type))
    return int(shape.layers * streams * padded(demand.context) * per_cell)
