"""Grouped-query attention over the whole context in every layer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Final

from ultralab.models.formats.config_layers.facts import HEADS, KV_HEADS, Facts
from ultralab.planner.types import AttentionLayers, CacheLayers

SPECIAL: Final = (
    "kv_lora_rank", "ssm_", "mamba_", "state_size", "linear_num_key_heads", "linear_attn_config", "num_kv_shared_layers",
    "attention_chunk_size", "full_attention_interval", "rwkv", "recurrent", "conv_L_cache", "index_topk", "attn_config",
    "cla_share_factor", "use_cla",
)  # fmt: skip
"""Beginnings of keys that announce another kind of cache."""

_NAMES: Final = (
    "apertus", "arcee", "bitnet", "cohere", "deepseek", "dots1", "ernie4_5", "ernie4_5_moe", "exaone", "gemma", "glm",
    "glm4", "glm4_moe", "gpt2", "gpt_bigcode", "gpt_neox", "gptj", "granite", "granitemoe", "granitemoeshared", "helium",
    "hunyuan_v1_dense", "hunyuan_v1_moe", "internlm2", "internlm3", "llama", "mimo", "minicpm", "minimax_m2", "nemotron",
    "olmo", "olmo2", "olmoe", "openelm", "phi", "phimoe", "qwen2_5_vl_text", "qwen2_vl", "qwen2_vl_text", "qwen3_vl_moe",
    "qwen3_vl_moe_text", "qwen3_vl_text", "seed_oss", "stablelm", "telechat3",
)  # fmt: skip
"""transformers' ``model_type`` of architectures whose every layer keeps keys and values of all tokens, unless a key of
another kind says otherwise (``models/*/modeling_*.py`` of transformers 5.23; the modules of mlx-lm 0.32.2 by the same
names make one ``KVCache`` for each layer).
"""


def grouped(facts: Facts) -> tuple[CacheLayers, ...] | None:
    """Every layer keeps all tokens; layers may differ in their heads. None where a key announces another kind."""
    if facts.says(*SPECIAL, "sliding_window"):
        return None
    kinds = facts.kinds()
    if kinds and any(kind != "full_attention" for kind in kinds):
        return None
    return attention_groups(facts)


def attention_groups(
    facts: Facts, windows: tuple[int, ...] = (), *, keep: tuple[bool, ...] = ()
) -> tuple[CacheLayers, ...] | None:
    """Groups of like layers. ``windows``: each layer's, 0 for none; ``keep``: which layers keep anything.

    None without KV heads or a width.
    """
    facts.checked_heads()
    heads = facts.per_layer(*HEADS)
    kv_heads = facts.per_layer(*KV_HEADS, default=facts.kv_heads)
    width = facts.head_dim
    if not width:
        return None
    each = zip(heads, kv_heads, windows or (0,) * facts.layers, keep or (True,) * facts.layers, strict=True)
    counted = Counter((asks, keeps, window) for asks, keeps, window, kept in each if keeps and kept)
    found = tuple(
        AttentionLayers(count, asks, keeps, width, width, window) for (asks, keeps, window), count in counted.items()
    )
    return found or None


READERS: Final[dict[str, Callable[[Facts], tuple[CacheLayers, ...] | None]]] = dict.fromkeys(_NAMES, grouped)
