"""Memory that a loaded model holds, in bytes."""

from __future__ import annotations

from typing import Final

from ultralab.kernel.errors import Unsupported
from ultralab.kernel.language import N_, _
from ultralab.planner.types import MemoryPlan, ModelShape

F16: Final = 2
F32: Final = 4
LLAMACPP_UBATCH: Final = 512  # llama.cpp's own default: tokens computed at once in prefill

# Fitted with xllamacpp 2026.10 on Linux x86-64: resident memory beyond the buffers that llama.cpp reports, for
# vocabularies of 4,096 to 150,000 tokens (benchmarks/memory_overhead.md). The interpreter with the library loaded
# has 33 MB; the server's threads and heap 12 MB; each vocabulary entry with its merge and sampler slots 430 bytes.
_PROCESS: Final = 33_000_000
_SERVER: Final = 12_000_000
_PER_VOCABULARY_ENTRY: Final = 430

_BASIS: Final = N_(
    "weights and KV cache exact from the header; buffers by llama.cpp's graph for grouped-query attention;"
    " the process fitted on Linux x86-64, not yet calibrated on a Mac"
)


def kv_cache_bytes(shape: ModelShape, cells: int, bytes_per_element: float = F16) -> int:
    """Keys and values of ``cells`` tokens with grouped-query attention: ``L·Hkv·(dk+dv)·T·b``.

    Source: llama.cpp ``llama-kv-cache.cpp`` (one tensor each for K and V per layer, n_embd_k_gqa and n_embd_v_gqa
    wide). Raises Unsupported for a shape whose attention is not grouped-query over the full context.
    """
    if shape.attention != "grouped":
        raise Unsupported(
            _("The KV cache of the architecture {name!r} cannot be predicted yet.").format(name=shape.architecture),
            hint=_("Models with plain grouped-query attention (llama, qwen2, qwen3 and the like) can."),
            architecture=shape.architecture,
        )
    return int(shape.layers * shape.kv_heads * (shape.key_dim + shape.value_dim) * cells * bytes_per_element)


def llamacpp_memory(shape: ModelShape, context: int, ubatch: int = LLAMACPP_UBATCH) -> MemoryPlan:
    """What llama.cpp's server holds for one sequence of ``context`` tokens with flash attention and an f16 cache.

    ``context`` is rounded up to 256 cells as llama.cpp does. The compute buffer of one micro-batch of ``ubatch``
    tokens is, where the feed-forward part is its peak: 5 vectors of the embedding's and 3 of the feed-forward's
    width per token in float32, and the attention mask in f16; plus one row of logits, since the server reserves
    logits for one token per sequence. Matches the sizes that llama.cpp logs for SmolLM2-135M at 256–8192 cells
    and 128–512 tokens within 1 %.
    """
    cells = -(-context // 256) * 256
    tokens = min(ubatch, cells)
    graph = tokens * (F32 * (5 * shape.embedding + 3 * shape.feed_forward) + F16 * cells)
    return MemoryPlan(
        weights=shape.weight_bytes,
        kv_cache=kv_cache_bytes(shape, cells),
        compute=graph + F32 * shape.vocabulary,
        overhead=_PROCESS + _SERVER + _PER_VOCABULARY_ENTRY * shape.vocabulary,
        error_band=0.05,
        basis=_BASIS,
    )
