"""Multi-head latent attention (DeepSeek V2, V3, R1, V3.2; Kimi K2; GLM 4.7 Flash and 5), with a sparse index or without.

Source of all widths: llama.cpp ``llama-kv-cache.cpp`` (a row of keys is ``head_count_kv · key_length``; models with
``key_length_mla`` get no tensor for values) and ``llama-kv-cache-dsa.cpp`` (a second cache, of the index's keys alone,
in the type of the keys).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

from ultralab.models.formats.gguf_layers.facts import Facts
from ultralab.planner.types import AttentionLayers, CacheLayers

OTHERS: Final = (
    "sliding_window", "_swa", "shared_kv_layers", "attention.chunk", "compress", "indexer.types", "indexer.block_size",
    "indexer.kpool", "num_loops", ".ple.", ".engram", "cross_attention",
)  # fmt: skip
"""Parts of keys that announce what neither these architectures nor the recurrent ones keep in their caches."""
_RECURRENT: Final = (".ssm.", ".wkv.", ".kda.", ".shortconv.", "recurrent", "full_attention_interval")


def latent(facts: Facts) -> tuple[CacheLayers, ...] | None:
    """One latent vector with its rotary part per token and layer.

    A file from before llama.cpp split ``attn_kv_b`` in two (May 2025) says no ``key_length_mla``: its cache keeps every
    head's keys and values.
    """
    if facts.mentions(*OTHERS, *_RECURRENT, ".indexer."):
        return None
    return attention_of(facts, range(facts.layers))


def sparse(facts: Facts) -> tuple[CacheLayers, ...] | None:
    """The same, and the keys of an index that chooses the tokens (DeepSeek sparse attention)."""
    width = facts.number("attention.indexer.key_length")
    if facts.mentions(*OTHERS, *_RECURRENT) or not width or not is_latent(facts):
        return None
    index = AttentionLayers(facts.layers, facts.number("attention.indexer.head_count"), 1, width, 0)
    return *attention_of(facts, range(facts.layers)), index


def attention_of(facts: Facts, layers: Sequence[int]) -> tuple[AttentionLayers, ...]:
    """Groups of like layers among those numbered; layers without KV heads keep nothing.

    Raises FileDamaged where a layer's matrices are not as wide as its heads.
    """
    heads = facts.per_layer("attention.head_count")
    kv_heads = facts.per_layer("attention.head_count_kv", facts.number("attention.head_count"))
    width = facts.need("embedding_length") // max(1, *heads)
    keys = facts.per_layer("attention.key_length", width)
    values = facts.per_layer("attention.value_length", width)
    rank = facts.number("attention.kv_lora_rank") if is_latent(facts) else 0
    for at in layers:
        _require_agreement(facts, at, heads[at], kv_heads[at], keys[at], values[at])
    found = Counter((heads[at], kv_heads[at], keys[at], 0 if rank else values[at]) for at in layers if kv_heads[at])
    return tuple(AttentionLayers(count, *group, latent=rank) for group, count in found.items())


def _require_agreement(facts: Facts, at: int, heads: int, kv_heads: int, keys: int, values: int) -> None:
    """Of one layer, as llama.cpp's loaders create its matrices."""
    if facts.has("attention.kv_lora_rank"):
        rank, rotary = facts.number("attention.kv_lora_rank"), facts.number("rope.dimension_count")
        facts.require_rows(
            f"blk.{at}.attn_kv_a_mqa.weight", rank + rotary, "attention.kv_lora_rank + rope.dimension_count"
        )
        keys, values = (
            facts.number(f"attention.{part}_length_mla", one) for part, one in (("key", keys), ("value", values))
        )
        expanded = heads * (keys - rotary + values)
        facts.require_rows(f"blk.{at}.attn_kv_b.weight", expanded, "head_count · (key_length + value_length − rope)")
    else:
        facts.require_rows(f"blk.{at}.attn_k.weight", kv_heads * keys, "head_count_kv · key_length")
        facts.require_rows(f"blk.{at}.attn_v.weight", kv_heads * values, "head_count_kv · value_length")


def is_latent(facts: Facts) -> bool:
    """Whether the file has the tensors that let a cache hold latent vectors (llama.cpp's ``llama_hparams::is_mla``)."""
    said = facts.number("attention.key_length_mla") and facts.number("attention.value_length_mla")
    return bool(said and facts.number("attention.kv_lora_rank"))


READERS: Final[dict[str, Callable[[Facts], tuple[CacheLayers, ...] | None]]] = {
    "deepseek2": latent,
    "deepseek32": sparse,
    "glm-dsa": sparse,
    "minicpm3": latent,
    "mistral4": latent,
}
