"""Builders of models from before all looked like Llama, and of variants: tied, fused, mixed in their types."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from tests.architectures.base import Known, Value  # noqa: TC002 - as in its neighbours
from tests.architectures.dense import Shapes, attention, ends, gated, model, numbers
from tests.gguf_maker import Tensor

LAYER_NORM = "attention.layer_norm_epsilon"


@dataclass(frozen=True)
class Old:
    """Models from before all looked like Llama. ``fused``: one matrix for queries, keys and values; ``gate``: of the
    feed-forward part; ``behind``: its norm, "" where it works beside attention; ``biased``: norms and matrices have biases.
    """

    layers: int
    embedding: int
    feed_forward: int
    heads: int
    kv_heads: int
    vocabulary: int
    context: int
    head: int = 0
    fused: bool = True
    gate: bool = False
    behind: str = "ffn_norm"
    biased: bool = True
    norm_biased: bool = True
    tied: bool = False
    type: str = "Q8_0"
    top: Shapes = field(default_factory=dict)
    more: Shapes = field(default_factory=dict)
    keys: Mapping[str, Value] = field(default_factory=dict)
    dense: bool = True
    epsilon: str = LAYER_NORM


def old(name: str, architecture: str, source: str, one: Old) -> Known:
    """Names and shapes: llama.cpp's loader of the architecture."""
    head = one.head or one.embedding // one.heads
    queries, kept, wide = one.heads * head, one.kv_heads * head, one.embedding
    parts: dict[str, tuple[int, ...]] = {"attn_norm": (wide,), "attn_output": (queries, wide)}
    rows = {"attn_qkv": queries + 2 * kept} if one.fused else {"attn_q": queries, "attn_k": kept, "attn_v": kept}
    parts |= {part: (wide, count) for part, count in rows.items()}
    if one.dense:
        parts |= {"ffn_up": (wide, one.feed_forward), "ffn_down": (one.feed_forward, wide)}
    if one.gate:
        parts["ffn_gate"] = (wide, one.feed_forward)
    if one.behind:
        parts[one.behind] = (wide,)
    if one.biased:
        parts |= {f"{part}.bias": (count,) for part, count in rows.items()}
        parts |= {"attn_output.bias": (wide,), "ffn_up.bias": (one.feed_forward,), "ffn_down.bias": (wide,)}
    top = {**ends(wide, one.vocabulary, tied=one.tied), **one.top}
    if one.norm_biased:
        parts |= {f"{part}.bias": (wide,) for part in ("attn_norm", one.behind) if part}
        top["output_norm.bias"] = (wide,)
    said = numbers(
        embedding=wide, feed_forward=one.feed_forward, heads=one.heads, kv_heads=one.kv_heads, vocabulary=one.vocabulary,
        context=one.context, head=one.head, epsilon=one.epsilon,
    )  # fmt: skip
    return model(
        name, architecture, source, keys={**said, **one.keys}, top=top, layers=[{**parts, **one.more}] * one.layers,
        type=one.type,
    )  # fmt: skip


def without(known: Known, part: str) -> Known:
    """The same without the tensors that have this in their names."""
    return replace(known, tensors=[one for one in known.tensors if part not in one.name])


def fused(known: Known) -> Known:
    """The same with one matrix for queries, keys and values."""
    rest = [one for one in known.tensors if not one.name.endswith(("attn_k.weight", "attn_v.weight"))]
    rows = {
        one.name.split(".")[1]: 2 * one.shape[1] for one in known.tensors if one.name.endswith("attn_k.weight")
    }  # fmt: skip
    return replace(known, tensors=[
        replace(one, name=one.name.replace("attn_q.", "attn_qkv."), shape=(one.shape[0], one.shape[1] + rows[one.name.split(".")[1]]))
        if one.name.endswith("attn_q.weight") else one
        for one in rest
    ])  # fmt: skip


def tied(known: Known) -> Known:
    """The same with the embedding as its output matrix; with the factors by which Llama 3.2 turns."""
    factors = Tensor("rope_freqs.weight", (int(str(known.keys["rope.dimension_count"])) // 2,))
    return replace(known, tensors=[factors, *(one for one in known.tensors if one.name != "output.weight")])


def mixed(known: Known, name: str, *, more: str = "Q6_K", less: str = "Q4_K") -> Known:
    """As llama-quantize mixes ``Q4_K_M``: values and down projections of some layers, and the output, in a larger type;
    rows that such blocks do not divide in Q8_0.
    """
    count = int(str(known.keys["block_count"]))

    def kind(one: Tensor) -> str:
        if one.type == "F32" or one.name == "output.weight":
            return one.type if one.type == "F32" else more
        if one.shape[0] % 256:
            return "Q8_0"
        layer = int(one.name.split(".")[1]) if one.name.startswith("blk.") else -1
        outer = layer < count // 8 or layer >= 7 * count // 8 or (layer - count // 8) % 3 == 2
        return more if outer and ("attn_v." in one.name or "ffn_down" in one.name) else less

    return replace(known, name=name, tensors=[replace(one, type=kind(one)) for one in known.tensors])


def deci(name: str, source: str, attends: str, widths: tuple[int, ...], *, embedding: int, vocabulary: int) -> Known:
    """Layers found by search: ``attends`` has an ``a`` for attention, ``l`` for one matrix instead, ``-`` for neither;
    ``widths`` of the feed-forward parts, 0 for none (llama.cpp ``deci.cpp``).
    """
    each: list[Shapes] = []
    for kind, width in zip(attends, widths, strict=True):
        parts: dict[str, tuple[int, ...]] = {}
        if kind == "a":
            parts |= attention(embedding, 64, 8, 128)
        elif kind == "l":
            parts |= {"attn_norm": (embedding,), "attn_output": (embedding, embedding)}
        if width:
            parts |= gated(embedding, width)
        each.append(parts)
    said = numbers(
        embedding=embedding, feed_forward=0, heads=64, kv_heads=8, vocabulary=vocabulary, context=131072, head=128
    )  # fmt: skip
    keys = {
        **said, "attention.head_count": [0 if kind == "-" else 64 for kind in attends],
        "attention.head_count_kv": [8 if kind == "a" else 0 for kind in attends], "feed_forward_length": widths,
    }  # fmt: skip
    return model(name, "deci", source, keys=keys, top=ends(embedding, vocabulary), layers=each, type="Q8_0")
