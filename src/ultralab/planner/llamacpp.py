"""Memory that llama.cpp holds for a loaded model."""

from __future__ import annotations

from typing import Final

from ultralab.kernel.language import N_
from ultralab.planner.compute import compute_buffer
from ultralab.planner.kv_cache import kv_cache
from ultralab.planner.types import Amount, Demand, MemoryPlan, ModelShape

# Fitted with xllamacpp 2026.10 on Linux x86-64: resident memory beyond the buffers that llama.cpp reports, for
# vocabularies of 4,096 to 150,000 tokens (benchmarks/memory_overhead.md). The interpreter with the library loaded
# has 33 MB; the server's threads and heap 12 MB; each vocabulary entry with its merge and sampler slots 430 bytes.
_PROCESS: Final = 33_000_000
_SERVER: Final = 12_000_000
_PER_VOCABULARY_ENTRY: Final = 430

_WEIGHTS: Final = N_("the bytes of the tensors that the header lists")
_OVERHEAD: Final = N_("the process, fitted on Linux x86-64, not yet calibrated on a Mac")


def llamacpp_memory(shape: ModelShape, demand: Demand) -> MemoryPlan:
    """What llama.cpp holds in all: weights, cache, compute buffer, and the process around them."""
    return MemoryPlan(
        weights=Amount(shape.loaded_bytes, 0.0, _WEIGHTS),
        kv_cache=kv_cache(shape, demand),
        compute=compute_buffer(shape, demand),
        overhead=Amount(_PROCESS + _SERVER + _PER_VOCABULARY_ENTRY * shape.vocabulary, 0.15, _OVERHEAD),
    )
