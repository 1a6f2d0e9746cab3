"""A public configuration as arithmetic: parameters layer by layer, and what each group of layers keeps of earlier tokens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ultralab.planner.types import AttentionLayers, CacheLayers, Experts, RecurrentLayers

Group = Mapping[str, Any]
"""One entry of ``attention`` in models.yaml, as its head says."""


@dataclass(frozen=True)
class Layers:
    """A model's layers. ``tied``: the embedding is the output matrix too. ``heads``: where no attention group is known."""

    count: int
    embedding: int
    feed_forward: int
    vocabulary: int
    attention: tuple[Group, ...]
    heads: Group | None = None
    experts: Experts | None = None
    tied: bool = False
    predicting: int = 0

    @property
    def whole_heads(self) -> AttentionLayers:
        """The same before keys and values are compressed, as a config.json has them."""
        group = next((one for one in self.attention if one["kind"] == "latent"), None)
        if group is None:
            return self.first_heads
        return AttentionLayers(0, group["heads"], group["heads"], group["nope"] + group["rope"], group["value"])

    @property
    def first_heads(self) -> AttentionLayers:
        """Heads and their widths of the first attention group, of latent attention as GGUF files have them."""
        group = next((one for one in self.attention if one["kind"] != "linear"), self.heads)
        if group is None:
            return AttentionLayers(0, 0, 0, 0, 0)
        if group.get("kind") == "latent":
            return AttentionLayers(0, group["heads"], 1, group["latent"] + group["rope"], group["latent"])
        return AttentionLayers(0, group["heads"], group["kv_heads"], group["dim"], group["dim"])


def parameters_of(layers: Layers) -> int:
    """All parameters that generate text: matrices alone, as norms and biases are less than a thousandth."""
    embedding = layers.vocabulary * layers.embedding * (1 if layers.tied else 2)
    return embedding + _attention(layers) + _feed_forward(layers, layers.experts.count if layers.experts else 0)


def active_parameters(layers: Layers) -> int:
    """Those that work on one token; both tables count whole, as makers do."""
    embedding = layers.vocabulary * layers.embedding * (1 if layers.tied else 2)
    return embedding + _attention(layers) + _feed_forward(layers, layers.experts.used if layers.experts else 0)


def predicting_parameters(layers: Layers) -> int:
    """Of layers behind the last, which only predict further tokens: a layer and a projection of two embeddings to one."""
    if not layers.predicting or layers.experts is None:
        return 0
    last = layers.attention[-1]
    experts = layers.experts
    inner = experts.count * experts.feed_forward + experts.shared_feed_forward
    each = _group(last, layers.embedding) + 3 * layers.embedding * inner + 2 * layers.embedding**2
    return layers.predicting * each


def cache_of(layers: Layers) -> tuple[CacheLayers, ...] | None:
    """The groups of layers that keep something, as the planner takes them; None where the attention is not known.

    Sources: llama.cpp ``llama-kv-cache.cpp`` (MLA keeps one latent vector with its rotary part), pull request 23346
    (sparse attention keeps one key of the indexer per token and layer beside it), ``llama-memory-recurrent.cpp``.
    """
    if not layers.attention:
        return None
    found: list[CacheLayers] = []
    for group in layers.attention:
        count = group["count"]
        match group["kind"]:
            case "latent":
                latent = group["latent"]
                found.append(AttentionLayers(count, group["heads"], 1, latent + group["rope"], 0, latent=latent))
                if group.get("indexer_dim"):
                    found.append(AttentionLayers(count, group["indexer_heads"], 1, group["indexer_dim"], 0))
            case "linear":
                found.append(_recurrent(group))
            case _:
                width, window = group["dim"], group.get("window", 0)
                found.append(AttentionLayers(count, group["heads"], group["kv_heads"], width, width, window))
    return tuple(found)


def _recurrent(group: Group) -> RecurrentLayers:
    inner = group["value_heads"] * group["value_dim"]
    mixed = inner + 2 * group["key_heads"] * group["key_dim"]
    return RecurrentLayers(
        group["count"],
        conv=(group["kernel"] - 1) * mixed,
        state=inner * group["key_dim"],
        inner=inner,
        groups=group["key_heads"],
        heads=group["value_heads"],
    )


def _attention(layers: Layers) -> int:
    return sum(group["count"] * _group(group, layers.embedding) for group in layers.attention)


def _group(group: Group, embedding: int) -> int:
    """Parameters of the attention of one layer."""
    match group["kind"]:
        case "latent":
            heads, rank, latent = group["heads"], group["q_rank"], group["latent"]
            queries = embedding * rank + rank * heads * (group["nope"] + group["rope"])
            keys = embedding * (latent + group["rope"]) + latent * heads * (group["nope"] + group["value"])
            indexer = group.get("indexer_heads", 0) * (rank * group.get("indexer_dim", 0) + embedding)
            indexer += embedding * group.get("indexer_dim", 0)
            return int(queries + keys + heads * group["value"] * embedding + indexer)
        case "linear":
            keys, inner = group["key_heads"] * group["key_dim"], group["value_heads"] * group["value_dim"]
            projections = embedding * (2 * keys + 2 * inner + 2 * group["value_heads"]) + inner * embedding
            return int(projections + group["kernel"] * (2 * keys + inner))
        case _:
            width = group["dim"]
            queries = group["heads"] * width * (2 if group.get("gated") else 1)
            return int(embedding * (queries + 2 * group["kv_heads"] * width + group["heads"] * width))


def _feed_forward(layers: Layers, working: int) -> int:
    """Dense layers, and of the routed ones ``working`` experts, those that always work, and the router."""
    experts = layers.experts
    dense = layers.count - (experts.layers if experts else 0)
    total = dense * 3 * layers.embedding * layers.feed_forward
    if experts:
        inner = working * experts.feed_forward + experts.shared_feed_forward
        total += experts.layers * layers.embedding * (3 * inner + experts.count)
    return total
