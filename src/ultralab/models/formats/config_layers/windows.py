"""Attention that looks back at a window, or at its own chunk, in some layers (gemma 2 to 4, gpt-oss, Llama 4 …)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Final

from ultralab.models.formats.config_layers.facts import Facts
from ultralab.models.formats.config_layers.grouped import SPECIAL, attention_groups
from ultralab.planner.types import AttentionLayers, CacheLayers

_SLIDING: Final = "sliding_attention"
_FULL: Final = "full_attention"


def patterned(facts: Facts, *, every: int = 0) -> tuple[CacheLayers, ...] | None:
    """``layer_types``, else each ``every``-th layer looks at everything (0: none does), the others at the window.

    ``sliding_window_pattern`` overrides ``every`` (transformers' ``configuration_gemma3.py``, ``configuration_cohere2.py``).
    """
    if facts.says(*SPECIAL):
        return None
    return _groups(facts, facts.kinds() or _by_pattern(facts, every))


def everywhere(facts: Facts) -> tuple[CacheLayers, ...] | None:
    """A window in every layer where ``sliding_window`` is set (transformers' Mistral, Phi-3, StarCoder 2)."""
    return patterned(facts, every=0 if facts.number("sliding_window") else 1)


def where_set(facts: Facts) -> tuple[CacheLayers, ...] | None:
    """EXAONE 4: small models have no ``sliding_window``, the others one in three layers of four (``configuration_exaone4.py``)."""
    return patterned(facts, every=4) if facts.number("sliding_window") else never_used(facts)


def asked_for(facts: Facts) -> tuple[CacheLayers, ...] | None:
    """A window from ``max_window_layers`` on, only with ``use_sliding_window`` (transformers' ``configuration_qwen2.py``)."""
    if facts.says(*SPECIAL):
        return None
    sliding = facts.flag("use_sliding_window") and facts.number("sliding_window")
    first = facts.number("max_window_layers") if sliding else facts.layers
    kinds = facts.kinds() or tuple(_FULL if at < first else _SLIDING for at in range(facts.layers))
    return _groups(facts, kinds)


def never_used(facts: Facts) -> tuple[CacheLayers, ...] | None:
    """A window only where ``layer_types`` names the layers (transformers' Llama and its like ignore the number)."""
    if facts.says(*SPECIAL):
        return None
    return _groups(facts, facts.kinds() or (_FULL,) * facts.layers)


def shared(facts: Facts) -> tuple[CacheLayers, ...] | None:
    """Gemma 3n: the last ``num_kv_shared_layers`` use what earlier layers keep (``configuration_gemma3n.py``)."""
    kinds = facts.kinds() or _by_pattern(facts, 5)
    return _groups(facts, kinds, keep=_keeping(facts))


def gemma4(facts: Facts) -> tuple[CacheLayers, ...] | None:
    """Gemma 4: layers that look at everything have wider heads, and fewer that keep (``configuration_gemma4.py``)."""
    facts.checked_heads()
    kinds = facts.kinds() or _by_pattern(facts, 6)
    window, heads = facts.number("sliding_window"), facts.heads
    narrow = AttentionLayers(1, heads, facts.kv_heads, facts.head_dim, facts.head_dim, window)
    wide = facts.number("global_head_dim") or facts.head_dim
    few = facts.number("num_global_key_value_heads") if facts.flag("attention_k_eq_v") else 0
    full = AttentionLayers(1, heads, few or facts.kv_heads, wide, wide)
    counted = Counter(kind for kind, kept in zip(kinds, _keeping(facts), strict=True) if kept)
    if not window or not facts.head_dim or set(counted) - {_SLIDING, _FULL}:
        return None
    return tuple(
        AttentionLayers(count, heads, one.kv_heads, one.key_dim, one.value_dim, one.window)
        for kind, count in counted.items()
        for one in [narrow if kind == _SLIDING else full]
    )


def llama4(facts: Facts) -> tuple[CacheLayers, ...] | None:
    """Chunks of ``attention_chunk_size``, but every fourth layer sees all (``configuration_llama4.py``)."""
    kinds = facts.kinds()
    if kinds is None:
        listed = facts.raw("no_rope_layers")
        rotary = facts.per_layer("no_rope_layers") if isinstance(listed, list) and listed else ()
        interval = facts.number("no_rope_layer_interval") or 4
        chunked = rotary or tuple((at + 1) % interval for at in range(facts.layers))
        kinds = tuple("chunked_attention" if one else _FULL for one in chunked)
    chunk = facts.number("attention_chunk_size")
    if not chunk or set(kinds) - {"chunked_attention", _FULL}:
        return None
    return attention_groups(facts, tuple(0 if kind == _FULL else chunk for kind in kinds))


def _by_pattern(facts: Facts, every: int) -> tuple[str, ...]:
    said = next((one for key in ("sliding_window_pattern", "_sliding_window_pattern") if (one := facts.raw(key))), None)
    if isinstance(said, str) and said and set(said) <= {"L", "G"}:  # EXAONE 4: "LLLG"
        return tuple(_SLIDING if said[at % len(said)] == "L" else _FULL for at in range(facts.layers))
    step = facts.number("sliding_window_pattern", "_sliding_window_pattern", default=every)
    return tuple(_FULL if step and (at + 1) % step == 0 else _SLIDING for at in range(facts.layers))


def _keeping(facts: Facts) -> tuple[bool, ...]:
    using = min(facts.layers, facts.number("num_kv_shared_layers"))
    return (True,) * (facts.layers - using) + (False,) * using


def _groups(facts: Facts, kinds: tuple[str, ...], keep: tuple[bool, ...] = ()) -> tuple[CacheLayers, ...] | None:
    window = facts.number("sliding_window")
    if set(kinds) - {_SLIDING, _FULL} or (_SLIDING in kinds and not window):
        return None
    return attention_groups(facts, tuple(window if kind == _SLIDING else 0 for kind in kinds), keep=keep)


def _named(
    reader: Callable[[Facts], tuple[CacheLayers, ...] | None], *names: str
) -> dict[str, Callable[[Facts], tuple[CacheLayers, ...] | None]]:
    return dict.fromkeys(names, reader)


READERS: Final[dict[str, Callable[[Facts], tuple[CacheLayers, ...] | None]]] = {
    **_named(partial(patterned, every=2), "gemma2", "gpt_oss"),
    **_named(partial(patterned, every=4), "cohere2", "olmo3"),
    **_named(partial(patterned, every=6), "gemma3", "gemma3_text"),
    **_named(partial(patterned, every=0), "ministral"),
    **_named(everywhere, "mistral", "mixtral", "phi3", "starcoder2"),
    **_named(asked_for, "qwen2", "qwen2_moe", "qwen3", "qwen3_moe", "smollm3"),
    **_named(never_used, "llama", "ministral3", "afm7"),
    "exaone4": where_set,
    "gemma3n_text": shared,
    "gemma4_text": gemma4,
    "llama4_text": llama4,
}
