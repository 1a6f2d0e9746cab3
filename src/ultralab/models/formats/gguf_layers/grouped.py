"""Grouped-query attention over the whole context in every layer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Final

from ultralab.models.formats.gguf_grouped import GROUPED
from ultralab.models.formats.gguf_layers.facts import Facts
from ultralab.planner.types import AttentionLayers, CacheLayers

SPECIAL: Final = (
    "sliding_window",
    "kv_lora_rank",
    ".ssm.",
    "shared_kv_layers",
    "attention.chunk",
    ".wkv.",
    "recurrent",
)
"""Parts of keys that announce another kind of cache: windows, MLA, state space, shared or chunked layers."""


def grouped(facts: Facts) -> tuple[CacheLayers, ...] | None:
    """Every layer keeps all tokens; layers may differ in their heads. None where a key announces another kind."""
    if facts.mentions(*SPECIAL):
        return None
    return attention_groups(facts)


def attention_groups(facts: Facts, windows: tuple[int, ...] = ()) -> tuple[CacheLayers, ...] | None:
    """Groups of like layers from ``attention.*``; ``windows``: each layer's, none for all. None without KV heads."""
    layers = each_layer(facts)
    if windows:
        layers = tuple(replace(layer, window=window) for layer, window in zip(layers, windows, strict=True))
    return groups(layers)


def each_layer(facts: Facts) -> tuple[AttentionLayers, ...]:
    """What ``attention.*`` says of each layer that generates text, one by one."""
    heads = facts.per_layer("attention.head_count")
    kv_heads = facts.per_layer("attention.head_count_kv", facts.number("attention.head_count"))
    width = facts.need("embedding_length") // max(1, *heads)
    keys = facts.per_layer("attention.key_length", width)
    values = facts.per_layer("attention.value_length", width)
    each = zip(heads, kv_heads, keys, values, strict=True)
    return tuple(AttentionLayers(1, *layer) for layer in each)


def groups(layers: Iterable[AttentionLayers]) -> tuple[CacheLayers, ...] | None:
    """Like layers counted together, in the order in which each kind first comes. None where no layer has KV heads.

    Those without keep nothing, but llama.cpp gives them rows of values where these lie transposed (see ``kv_cache``).
    """
    counted = Counter(layer if layer.kv_heads else replace(layer, heads=0) for layer in layers)
    if not any(layer.kv_heads for layer in counted):
        return None
    return tuple(replace(layer, count=count) for layer, count in counted.items())


ALSO: Final = frozenset({"apertus", "pangu-embedded"})
"""Architectures of llama.cpp with such caches that no other format names (``apertus.cpp`` …)."""

READERS: Final[dict[str, Callable[[Facts], tuple[CacheLayers, ...] | None]]] = dict.fromkeys(GROUPED | ALSO, grouped)
