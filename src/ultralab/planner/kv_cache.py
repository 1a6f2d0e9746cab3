"""The KV cache as llama.cpp allocates it: bytes, exact, by what each group of layers keeps."""

from __future__ import annotations

from typing import Final

from ultralab.kernel.language import N_
from ultralab.planner.elements import element_bytes
from ultralab.planner.types import Amount, AttentionLayers, Demand, ModelShape, RecurrentLayers

F32: Final = 4
PAD: Final = 256
"""Cells are padded to this (llama.cpp ``llama-context.cpp``: ``GGML_PAD(cparams.n_ctx, 256)``, and per stream)."""
MOST_STATE: Final = 512
"""Elements of state per element of the embedding, of an unknown architecture: the most that is known is 384 (Falcon-H1)."""

_EXACT: Final = N_("llama.cpp's own layout of the cache, from the header")
_BOUND: Final = N_("an upper bound: the architecture is not known, so every layer is taken to keep all it could")


def padded(cells: int) -> int:
    """Cells as llama.cpp rounds them up."""
    return -(-cells // PAD) * PAD


def kv_cache(shape: ModelShape, demand: Demand) -> Amount:
    """What the cache of all layers takes: llama.cpp's ``llama_kv_cache: size`` and ``llama_memory_recurrent: size`` together.

    Its fit report prints the sum in whole MiB, cut off; the ``output buffer`` (logits) that it logs is in no column.
    Sources: llama.cpp ``llama-kv-cache.cpp`` (one tensor each for K and V per layer), ``llama-kv-cache-iswa.cpp``
    (windows), ``llama-kv-cache-dsa.cpp`` (a sparse attention's index: keys alone, of ``key_type``),
    ``llama-memory-recurrent.cpp`` (states). Raises UnknownChoice for an unknown type.
    """
    if shape.cache is None:
        return Amount(_bound(shape, demand), 0.0, _BOUND, known=False)
    widest = max((_values(group) for group in shape.cache), default=0)
    return Amount(sum(group_bytes(group, demand, widest) for group in shape.cache), 0.0, _EXACT)


def group_bytes(group: AttentionLayers | RecurrentLayers, demand: Demand, widest: int = 0) -> int:
    """What one group of layers keeps. ``widest``: values of a cell in the widest layer of the model.

    Without flash attention values lie transposed, and every layer's rows are as many as the widest layer's
    (``llama-kv-cache.cpp``: ``n_embd_v_gqa_max``), also those of a layer without KV heads.
    """
    if isinstance(group, RecurrentLayers):
        return group.count * demand.sequences * (group.conv + group.state) * F32
    streams = 1 if demand.unified else demand.sequences
    keys = group.kv_heads * group.key_dim * element_bytes(demand.key_type)
    values = _values(group)
    if group.value_dim and not demand.flash:
        values = max(values, widest)
    return int(group.count * streams * cells(group, demand) * (keys + values * element_bytes(demand.value_type)))


def cells(group: AttentionLayers, demand: Demand) -> int:
    """Cells per layer and stream: the whole context, or the window and one micro-batch (``llama-kv-cache-iswa.cpp``)."""
    whole = padded(demand.context)
    if not group.window:
        return whole
    shared = demand.sequences if demand.unified else 1
    return padded(min(whole, group.window * shared + demand.ubatch))


def _values(group: AttentionLayers | RecurrentLayers) -> int:
    return group.kv_heads * group.value_dim if isinstance(group, AttentionLayers) else 0


def _bound(shape: ModelShape, demand: Demand) -> int:
    """Keys and values of the widest layer in every layer, over the whole context, beside a state.

    llama.cpp's cache never keeps more per cell than ``head_count_kv · (key_length + value_length)``, whatever the
    architecture (``llama-kv-cache.cpp``); a model without KV heads is taken to keep vectors as wide as its embedding. A
    state: what the header's numbers would give in any architecture that is known, and at least ``MOST_STATE``.
    """
    keys, values = shape.kv_heads * shape.key_dim, shape.kv_heads * shape.value_dim
    if not keys:
        keys = values = shape.embedding
    streams = 1 if demand.unified else demand.sequences
    per_cell = keys * element_bytes(demand.key_type) + values * element_bytes(demand.value_type)
    state = demand.sequences * max(shape.most_state, MOST_STATE * shape.embedding) * F32
    return int(shape.layers * (streams * padded(demand.context) * per_cell + state))
