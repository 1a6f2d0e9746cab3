"""Memory that llama.cpp holds for a loaded model."""

from __future__ import annotations

from typing import Final

from ultralab.kernel.errors import Unsupported
from ultralab.kernel.language import N_, _
from ultralab.planner.compute import compute_buffer
from ultralab.planner.kv_cache import kv_cache
from ultralab.planner.types import Amount, AttentionLayers, Demand, MemoryPlan, ModelShape

# Fitted with xllamacpp 2026.10 on Linux x86-64: resident memory beyond the buffers that llama.cpp reports, for
# vocabularies of 4,096 to 150,000 tokens (benchmarks/memory_overhead.md). The interpreter with the library loaded
# has 33 MB; the server's threads and heap 12 MB; each vocabulary entry with its merge and sampler slots 430 bytes.
_PROCESS: Final = 33_000_000
_SERVER: Final = 12_000_000
_PER_VOCABULARY_ENTRY: Final = 430

_PLAIN: Final = frozenset({"f32", "f16", "bf16"})
_BLOCK: Final = 32  # elements of a block, for every quantized type that a cache can have

_WEIGHTS: Final = N_("the bytes of the tensors that the header lists")
_OVERHEAD: Final = N_("the process, fitted on Linux x86-64, not yet calibrated on a Mac")


def llamacpp_memory(shape: ModelShape, demand: Demand) -> MemoryPlan:
    """What llama.cpp holds in all: weights, cache, compute buffer, and the process around them.

    Raises UnknownChoice for a type of cache that it does not have, Unsupported for one that it refuses for this model.
    """
    _require_whole_blocks(shape, demand)
    return MemoryPlan(
        weights=Amount(shape.loaded_bytes, 0.0, _WEIGHTS),
        kv_cache=kv_cache(shape, demand),
        compute=compute_buffer(shape, demand),
        overhead=Amount(_PROCESS + _SERVER + _PER_VOCABULARY_ENTRY * shape.vocabulary, 0.15, _OVERHEAD),
    )


def _require_whole_blocks(shape: ModelShape, demand: Demand) -> None:
    """A head must fill whole blocks of a quantized cache (``llama-context.cpp``: ``n_embd_head_k % blck_size``)."""
    for group in shape.cache or ():
        if not isinstance(group, AttentionLayers):
            continue
        for kind, width in ((demand.key_type, group.key_dim), (demand.value_type, group.value_dim)):
            if kind not in _PLAIN and width % _BLOCK:
                raise Unsupported(
                    _("llama.cpp cannot keep a cache in {type} for heads of {width}: {block} do not divide it.").format(
                        type=kind, width=width, block=_BLOCK
                    ),
                    hint=_("Keep the cache of this model in f16."),
                    type=kind,
                    width=width,
                )
