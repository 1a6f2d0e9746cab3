"""What each layer of a GGUF model computes, read off its tensors: the same for every architecture that names them alike.

Names: llama.cpp's ``llama-arch.cpp``. Where two architectures give the same tensors but compute differently, the
architecture decides; those are named below.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import groupby
from typing import Final

from ultralab.models.formats.gguf_layers.facts import Facts
from ultralab.planner.blocks import Attention, Block, FeedForward, Latent, Mixer, Routed, StateSpace
from ultralab.planner.types import AttentionLayers, CacheLayers

_PART: Final = re.compile(r"blk\.(\d{1,6})\.(.+)\Z")
_PARALLEL: Final = frozenset({"gptj", "plamo"})
_UNROTATED: Final = frozenset({
    "bloom", "gpt2", "jais", "jamba", "mpt", "nemotron_h", "nemotron_h_moe", "refact", "starcoder",
})  # fmt: skip
"""Architectures without rotary positions."""
_BAICHUAN_BIASED: Final = 40
"""Baichuan with so many layers (13B) weighs distances instead (ALiBi; llama.cpp ``baichuan.cpp``)."""
_WHOLE_UNROTATED: Final = frozenset({"cohere2", "cohere2moe", "exaone4", "exaone-moe"})
"""Architectures whose layers turn keys and queries where they have a window only."""
_ONTO: Final = frozenset({"lfm2", "lfm2moe"})
"""Architectures that add a layer's output to what came in, in this order."""
_WEIGHTED_EARLY: Final = frozenset({"llama4"})
"""Architectures that weight experts before they work (``build_moe_ffn``: ``weight_before_ffn``)."""

Parts = Mapping[str, tuple[int, ...]]


def blocks_of(facts: Facts, cache: tuple[CacheLayers, ...] | None) -> tuple[Block, ...]:
    """The layers in their order, like neighbours together. ``cache``: what they keep, which says whose window is how
    long. Empty where no tensor is named as llama.cpp names them.
    """
    layers: dict[int, dict[str, tuple[int, ...]]] = {}
    for tensor in facts.raw.tensors:
        if match := _PART.match(tensor.name):
            layers.setdefault(int(match[1]), {})[match[2].removesuffix(".weight")] = tensor.shape
    heads = _Heads(facts, cache)
    each = [_block(facts, layers[at], at, heads) for at in sorted(layers) if at < facts.layers]
    return tuple(replace(block, count=len(tuple(alike))) for block, alike in groupby(each))


class _Heads:
    """Which attention stands in which layer: groups of like layers are dealt out, as evenly as their counts allow."""

    def __init__(self, facts: Facts, cache: tuple[CacheLayers, ...] | None) -> None:
        self._facts = facts
        self._heads = facts.per_layer("attention.head_count")
        self._kv_heads = facts.per_layer("attention.head_count_kv", facts.number("attention.head_count"))
        self._groups = [
            group for group in cache or () if isinstance(group, AttentionLayers) and group.value_dim and group.kv_heads
        ]
        self._left = [group.count for group in self._groups]
        whole = sum(group.count for group in self._groups if not group.window)
        self._period = sum(self._left) // whole if whole else 0
        self._dealt = 0

    def attention(self, parts: Parts, at: int) -> Attention:
        """Of layer ``at``: from the cache's groups, else from its own numbers."""
        kept, heads = self._kept(parts) or self._stated(parts, at), self._heads[at]
        return Attention(
            heads=heads,
            kv_heads=kept.kv_heads,
            key_dim=kept.key_dim,
            value_dim=kept.value_dim,
            window=kept.window,
            fused="attn_qkv" in parts and "attn_q" not in parts,
            gated=_rows(parts, "attn_q") == 2 * heads * kept.key_dim,
            reuses=bool(self._groups) and not {"attn_k", "attn_qkv"} & set(parts),
            rotated=self._rotated(kept),
        )

    def _rotated(self, kept: AttentionLayers) -> bool:
        name = self._facts.architecture
        if name == "granitehybrid":
            return bool(self._facts.raw.values.get("granitehybrid.rope.scaling.finetuned"))
        windows = any(group.window for group in self._groups)
        if name in _UNROTATED or (name == "baichuan" and self._facts.layers == _BAICHUAN_BIASED):
            return False
        return not (name in _WHOLE_UNROTATED and windows and not kept.window)

    def _kept(self, parts: Parts) -> AttentionLayers | None:
        keys = _rows(parts, "attn_k")
        self._dealt += 1
        wide = bool(self._period) and not self._dealt % self._period
        fitting = [
            at
            for at, (group, left) in enumerate(zip(self._groups, self._left, strict=True))
            if left and (not keys or group.kv_heads * group.key_dim == keys)
        ]
        if not fitting:
            return None
        chosen = min(fitting, key=lambda at: bool(self._groups[at].window) == wide)
        self._left[chosen] -= 1
        return self._groups[chosen]

    def _stated(self, parts: Parts, at: int) -> AttentionLayers:
        facts = self._facts
        heads, kv_heads = self._heads[at], max(1, self._kv_heads[at])
        width = facts.need("embedding_length") // max(1, heads)
        key_dim = _rows(parts, "attn_k") // kv_heads or facts.number("attention.key_length", width)
        value_dim = _rows(parts, "attn_v") // kv_heads or facts.number("attention.value_length", width)
        return AttentionLayers(1, heads, kv_heads, key_dim, value_dim)


def _block(facts: Facts, parts: Parts, at: int, heads: _Heads) -> Block:
    mixers: list[Mixer] = []
    state = _state_space(facts, parts)
    keyed = state is not None and state.kind in ("keyed", "delta")
    if "attn_kv_a_mqa" in parts:
        mixers.append(_latent(facts, parts))
    elif {"attn_q", "attn_qkv"} & set(parts) and not keyed:
        mixers.append(heads.attention(parts, at))
    if state is not None:
        mixers.append(state)
    fed = tuple(_feed_forward(facts, parts))
    normed = {"ffn_norm", "post_attention_norm", "attn_post_norm", "attn_output_norm"} & set(parts)
    beside = bool(facts.raw.values.get(f"{facts.architecture}.use_parallel_residual"))
    beside = beside or facts.architecture in _PARALLEL or (not normed and "attn_norm" in parts)
    parallel = bool(mixers and fed) and beside
    bare = "attn_norm" not in parts and "post_attention_norm" in parts
    centred = facts.has("attention.layer_norm_epsilon") and not facts.has("attention.layer_norm_rms_epsilon")
    return Block(
        tuple(mixers), fed, parallel=parallel, bare=bare, onto=facts.architecture in _ONTO, centred=centred,
        stacked=at < facts.number("n_deepstack_layers"),
    )  # fmt: skip


def _latent(facts: Facts, parts: Parts) -> Latent:
    rotary = facts.number("rope.dimension_count")
    absorbed = "attn_k_b" in parts
    suffix = "_mla" if facts.has("attention.key_length_mla") else ""
    return Latent(
        heads=facts.number("attention.head_count"),
        rank=facts.number("attention.kv_lora_rank"),
        rotary=rotary,
        key_dim=facts.number(f"attention.key_length{suffix}"),
        value_dim=facts.number(f"attention.value_length{suffix}"),
        query_rank=_rows(parts, "attn_q_a"),
        absorbed=absorbed,
        index_heads=facts.number("attention.indexer.head_count") if "indexer.attn_k" in parts else 0,
        index_dim=facts.number("attention.indexer.key_length"),
        index_top=facts.number("attention.indexer.top_k"),
    )


def _state_space(facts: Facts, parts: Parts) -> StateSpace | None:
    """Told apart by the parts that only one kind has."""
    names = set(parts)
    inner, state, width = facts.number("ssm.inner_size"), facts.number("ssm.state_size"), facts.need("embedding_length")
    groups, rank = facts.number("ssm.group_count", 1), facts.number("ssm.time_step_rank")
    kernel = facts.number("ssm.conv_kernel", 4)
    found: StateSpace | None = None
    if "ssm_x" in names:
        found = StateSpace("mamba", inner, state, kernel=kernel, rank=rank)
    elif {"ssm_beta_alpha", "ssm_ba", "ssm_alpha"} & names:
        found = StateSpace("delta", inner, state, max(1, rank), max(1, groups), kernel, int("ssm_alpha" in names))
    elif "ssm_f_a" in names:
        heads, size = facts.number("attention.head_count"), facts.number("kda.head_dim")
        found = StateSpace("keyed", heads * size, size, heads, kernel=kernel)
    elif "ssm_in" in names:
        found = StateSpace("mamba2", inner, state, heads=max(1, rank), groups=max(1, groups), kernel=kernel)
    elif "shortconv.conv" in names:
        found = StateSpace("conv", width, 0, kernel=parts["shortconv.conv"][0])
    elif {"time_mix_w0", "time_mix_w1"} & names:
        size = facts.number("wkv.head_size", 64)
        found = StateSpace("rwkv7" if "time_mix_w0" in names else "rwkv6", width, size, heads=width // max(1, size))
    return found


def _feed_forward(facts: Facts, parts: Parts) -> Iterable[FeedForward | Routed]:
    if "ffn_down_exps" in parts or "ffn_down.0" in parts:
        yield _routed(facts, parts)
    if "ffn_down" in parts:
        yield _dense(parts, "")


def _dense(parts: Parts, suffix: str) -> FeedForward:
    width = parts[f"ffn_down{suffix}"][0]
    gated = f"ffn_gate{suffix}" in parts
    fused = not gated and _rows(parts, f"ffn_up{suffix}") == 2 * width
    return FeedForward(width, gated or fused, fused)


def _routed(facts: Facts, parts: Parts) -> Routed:
    down = parts.get("ffn_down_exps") or parts["ffn_down.0"]
    latent = down[1] if len(down) > 1 and down[1] != facts.need("embedding_length") else 0
    return Routed(
        count=facts.number("expert_count"),
        used=facts.number("expert_used_count"),
        width=down[0],
        gated=bool({"ffn_gate_exps", "ffn_gate_up_exps", "ffn_gate.0"} & set(parts)),
        fused="ffn_gate_up_exps" in parts,
        early=facts.architecture in _WEIGHTED_EARLY,
        biased=any(part.startswith("exp_probs_b") for part in parts),
        groups=facts.number("expert_group_count", 1) or 1,
        shared=_dense(parts, "_shexp") if "ffn_down_shexp" in parts else None,
        latent=latent,
    )


def _rows(parts: Parts, name: str) -> int:
    """How many rows a matrix has, 0 where there is none."""
    sides = parts.get(name, ())
    return sides[1] if len(sides) > 1 else 0
