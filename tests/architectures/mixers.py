"""The layers that models with a recurrent state are made of: names and shapes as llama.cpp's loaders want them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.architectures.base import Known, Value, tensor
from tests.gguf_maker import Tensor

Shapes = Mapping[str, tuple[int, ...]]

_SMALL = ("ssm_conv1d", "ssm_norm", "shortconv.conv", "conv1d_q", "conv1d_k", "conv1d_v", "lerp", "time_mix_first")
"""Parts that converters keep as F32 whatever the file's type."""


@dataclass(frozen=True)
class Base:
    """What all of these models have. ``tied``: the embedding is the output matrix too."""

    layers: int
    embedding: int
    vocabulary: int
    context: int
    feed_forward: int = 0
    heads: int = 0
    kv_heads: int = 0
    head: int = 0
    tied: bool = False


@dataclass(frozen=True)
class Ssm:
    """A state-space mixer: width of its convolution, inner width, state, ``rank`` of its steps or count of its heads."""

    conv: int
    inner: int
    state: int
    rank: int
    groups: int = 0

    @property
    def keys(self) -> dict[str, Value]:
        found: dict[str, Value] = {
            "ssm.conv_kernel": self.conv, "ssm.inner_size": self.inner, "ssm.state_size": self.state,
            "ssm.time_step_rank": self.rank,
        }  # fmt: skip
        return {**found, "ssm.group_count": self.groups} if self.groups else found


@dataclass(frozen=True)
class Moe:
    """Routed experts: count, how many a token uses, their width, and that of the shared one."""

    count: int
    used: int
    inner: int
    shared: int = 0
    gated: bool = True

    def shapes(self, embedding: int, *, gated_shared: bool = False) -> Shapes:
        """Of one layer."""
        found: dict[str, tuple[int, ...]] = {
            "ffn_gate_inp": (embedding, self.count), "ffn_up_exps": (embedding, self.inner, self.count),
            "ffn_down_exps": (self.inner, embedding, self.count),
        }  # fmt: skip
        if self.gated:
            found["ffn_gate_exps"] = (embedding, self.inner, self.count)
        if self.shared:
            found |= {"ffn_up_shexp": (embedding, self.shared), "ffn_down_shexp": (self.shared, embedding)}
            if self.gated:
                found["ffn_gate_shexp"] = (embedding, self.shared)
        if gated_shared:
            found["ffn_gate_inp_shexp"] = (embedding,)
        return found


def model(
    name: str, architecture: str, source: str, one: Base, each: Sequence[Shapes], more: Mapping[str, Value], *,
    type: str, norm: str = "output_norm",  # noqa: A002
) -> Known:  # fmt: skip
    """A model of the layers ``each``. Names and shapes: llama.cpp's loader of the architecture."""
    tensors = [tensor("token_embd", one.embedding, one.vocabulary, type=type), tensor(norm, one.embedding, type=type)]
    if not one.tied:
        tensors.append(tensor("output", one.embedding, one.vocabulary, type=type))
    for layer, shapes in enumerate(each):
        tensors += [_tensor(f"blk.{layer}.{part}", sides, type) for part, sides in shapes.items()]
    keys: dict[str, Value] = {
        "block_count": len(each), "context_length": one.context, "embedding_length": one.embedding,
        "feed_forward_length": one.feed_forward, "attention.head_count": one.heads,
        "attention.head_count_kv": one.kv_heads, "attention.layer_norm_rms_epsilon": 1e-6, "vocab_size": one.vocabulary,
    }  # fmt: skip
    if one.head:
        keys |= {"attention.key_length": one.head, "attention.value_length": one.head, "rope.dimension_count": one.head}
    return Known(name, architecture, {**keys, **more}, tensors, source)


def _tensor(name: str, sides: tuple[int, ...], type: str) -> Tensor:  # noqa: A002
    if name.endswith((".bias", ".ssm_a", ".ssm_d")):
        return Tensor(name, sides)
    if any(part in name for part in _SMALL):
        return Tensor(f"{name}.weight", sides)
    return tensor(name, *sides, type=type)


def attention(one: Base, *, query: int = 1, normed: bool = False) -> Shapes:
    """``query`` 2: the query matrix holds a gate too."""
    wide, narrow = one.heads * one.head, one.kv_heads * one.head
    norms: Shapes = {"attn_q_norm": (one.head,), "attn_k_norm": (one.head,)} if normed else {}
    return {
        "attn_q": (one.embedding, wide * query), "attn_k": (one.embedding, narrow), "attn_v": (one.embedding, narrow),
        "attn_output": (wide, one.embedding), **norms,
    }  # fmt: skip


def mamba1(one: Base, ssm: Ssm) -> Shapes:
    return {
        "ssm_in": (one.embedding, 2 * ssm.inner), "ssm_conv1d": (ssm.conv, ssm.inner), "ssm_conv1d.bias": (ssm.inner,),
        "ssm_x": (ssm.inner, ssm.rank + 2 * ssm.state), "ssm_dt": (ssm.rank, ssm.inner), "ssm_dt.bias": (ssm.inner,),
        "ssm_a": (ssm.state, ssm.inner), "ssm_d": (ssm.inner,), "ssm_out": (ssm.inner, one.embedding),
    }  # fmt: skip


def mamba2(one: Base, ssm: Ssm) -> Shapes:
    wide = ssm.inner + 2 * ssm.groups * ssm.state
    return {
        "ssm_in": (one.embedding, ssm.inner + wide + ssm.rank), "ssm_conv1d": (ssm.conv, wide),
        "ssm_conv1d.bias": (wide,), "ssm_dt.bias": (ssm.rank,), "ssm_a": (1, ssm.rank), "ssm_d": (1, ssm.rank),
        "ssm_norm": (ssm.inner // ssm.groups, ssm.groups), "ssm_out": (ssm.inner, one.embedding),
    }  # fmt: skip


def delta(one: Base, ssm: Ssm, *, fused: bool) -> Shapes:
    """A gated delta net: ``groups`` key heads and ``rank`` value heads of ``state``."""
    wide = ssm.inner + 2 * ssm.groups * ssm.state
    gates: Shapes = {"ssm_beta": (one.embedding, ssm.rank), "ssm_alpha": (one.embedding, ssm.rank)}
    return {
        "attn_qkv": (one.embedding, wide), "attn_gate": (one.embedding, ssm.inner), "ssm_conv1d": (ssm.conv, wide),
        "ssm_dt.bias": (ssm.rank,), "ssm_a": (ssm.rank,), "ssm_norm": (ssm.state,), "ssm_out": (ssm.inner, one.embedding),
        **({"ssm_ba": (one.embedding, 2 * ssm.rank)} if fused else gates),
    }  # fmt: skip


def dense(embedding: int, inner: int, *, gated: bool = True) -> Shapes:
    found: Shapes = {"ffn_up": (embedding, inner), "ffn_down": (inner, embedding)}
    return {**found, "ffn_gate": (embedding, inner)} if gated else found
