"""Multi-head latent attention: a token leaves one latent vector and one rotary key per layer (DeepSeek V2 and later)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ultralab.models.formats.config_layers.facts import Facts
from ultralab.planner.types import AttentionLayers, CacheLayers


def latent_layer(facts: Facts, count: int) -> AttentionLayers | None:
    """``count`` such layers: keys of ``kv_lora_rank + qk_rope_head_dim``, no values (DeepSeek-V2, arXiv 2405.04434, 2.1)."""
    rank, rotary = facts.number("kv_lora_rank"), facts.number("qk_rope_head_dim")
    if not rank or not rotary or not facts.heads:
        return None
    return AttentionLayers(count, facts.heads, 1, rank + rotary, 0, latent=rank)


def latent(facts: Facts) -> tuple[CacheLayers, ...] | None:
    """Every layer is one. None where a key announces an index for sparse attention."""
    if facts.says("index_"):
        return None
    facts.checked_heads()
    layer = latent_layer(facts, facts.layers)
    return (layer,) if layer and layer.count else None


def doubled(facts: Facts) -> tuple[CacheLayers, ...] | None:
    """LongCat-Flash: two attentions in each layer (``modeling_longcat_flash.py``)."""
    layer = latent_layer(facts, 2 * facts.layers)
    return (layer,) if layer and layer.count else None


def indexed(facts: Facts) -> tuple[CacheLayers, ...] | None:
    """DeepSeek V3.2, GLM 5: beside the latent, the keys of an indexer that chooses tokens (``modeling_deepseek_v32.py``).

    GLM 5.2 has one in some layers only, the others use what it chose (``configuration_glm_moe_dsa.py``).
    """
    layer = latent_layer(facts, facts.layers)
    width, heads = facts.number("index_head_dim"), facts.number("index_n_heads")
    choosing = _choosing(facts)
    if not layer or not layer.count or not width or not heads or not choosing:
        return None
    return layer, AttentionLayers(choosing, heads, 1, width, 0)


def _choosing(facts: Facts) -> int:
    """Layers with an indexer of their own: ``indexer_types``, else a pattern, else each ``index_topk_freq``-th; 0: unknown."""
    said = facts.raw("indexer_types") or facts.raw("index_topk_pattern")
    if said is None:
        step, offset = facts.number("index_topk_freq") or 1, facts.number("index_skip_topk_offset", default=2)
        return sum(1 for at in range(facts.layers) if max(at - offset + 1, 0) % step == 0)
    each = [{"F": "full", "S": "shared"}.get(str(one), one) for one in said] if isinstance(said, list | str) else []
    known = len(each) == facts.layers and all(one in ("full", "shared") for one in each)
    return each.count("full") if known else 0


_NAMES: Final = (
    "deepseek_v2", "deepseek_v3", "glm4_moe_lite", "joyai_llm_flash", "kimi_k2", "minicpm3", "youtu", "youtu_llm",
)  # fmt: skip

READERS: Final[dict[str, Callable[[Facts], tuple[CacheLayers, ...] | None]]] = {
    **dict.fromkeys(_NAMES, latent),
    "longcat_flash": doubled,
    "deepseek_v32": indexed,
    "glm_moe_dsa": indexed,
}
