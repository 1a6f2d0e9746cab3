"""Models with multi-head latent attention (MLA), some with a sparse index over it (DSA)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from tests.architectures.base import Known, Value, tensor
from tests.gguf_maker import Tensor

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Latent:
    """A public configuration in the words of DeepSeek's: ``q_lora`` 0 has one query matrix, ``experts`` 0 is dense.

    ``mla`` false is a file from before May 2025, whose ``attn_kv_b`` is whole. ``nextn``: layers behind the others that
    predict a second token. ``index``: heads and width of the sparse attention's index.
    """

    layers: int
    embedding: int
    feed_forward: int
    heads: int
    vocabulary: int
    context: int
    q_lora: int
    kv_lora: int = 512
    nope: int = 128
    rope: int = 64
    value: int = 128
    dense: int = 0
    experts: int = 0
    used: int = 0
    shared: int = 0
    expert_feed_forward: int = 0
    mla: bool = True
    nextn: int = 0
    index: tuple[int, int] | None = None
    more: Mapping[str, Value] = field(default_factory=dict)


def latent(name: str, architecture: str, source: str, model: Latent, *, type: str) -> Known:  # noqa: A002
    """Names and shapes: llama.cpp's loaders ``deepseek2.cpp``, ``deepseek32.cpp``, ``glm-dsa.cpp``."""
    one = model
    tensors: list[Tensor] = [
        tensor("token_embd", one.embedding, one.vocabulary, type=type),
        tensor("output_norm", one.embedding, type=type),
        tensor("output", one.embedding, one.vocabulary, type=type),
    ]
    for layer in range(one.layers + one.nextn):
        feed = _dense(one) if layer < one.dense or not one.experts else _mixture(one)
        shapes = {**_attention(one), **feed, **(_predicting(one) if layer >= one.layers else {})}
        tensors += [tensor(f"blk.{layer}.{part}", *sides, type=type) for part, sides in shapes.items()]
        if one.experts and layer >= one.dense:
            tensors.append(Tensor(f"blk.{layer}.exp_probs_b.bias", (one.experts,)))
        if one.index:
            tensors.append(Tensor(f"blk.{layer}.indexer.k_norm.bias", (one.index[1],)))
    return Known(name, architecture, {**_keys(one), **one.more}, tensors, source)


def _keys(one: Latent) -> dict[str, Value]:
    keys: dict[str, Value] = {
        "block_count": one.layers + one.nextn, "context_length": one.context, "embedding_length": one.embedding,
        "feed_forward_length": one.feed_forward, "attention.head_count": one.heads,
        "attention.head_count_kv": 1 if one.mla else one.heads, "attention.layer_norm_rms_epsilon": 1e-6,
        "attention.kv_lora_rank": one.kv_lora, "rope.dimension_count": one.rope, "vocab_size": one.vocabulary,
        "attention.key_length": one.kv_lora + one.rope if one.mla else one.nope + one.rope,
        "attention.value_length": one.kv_lora if one.mla else one.value,
    }  # fmt: skip
    if one.q_lora:
        keys["attention.q_lora_rank"] = one.q_lora
    if one.mla:
        keys |= {"attention.key_length_mla": one.nope + one.rope, "attention.value_length_mla": one.value}
    if one.experts:
        keys |= {
            "leading_dense_block_count": one.dense, "expert_count": one.experts, "expert_used_count": one.used,
            "expert_shared_count": one.shared, "expert_feed_forward_length": one.expert_feed_forward,
            "expert_weights_scale": 2.5, "expert_weights_norm": True, "expert_gating_func": 2,
        }  # fmt: skip
    if one.nextn:
        keys["nextn_predict_layers"] = one.nextn
    if one.index:
        keys |= {
            "attention.indexer.head_count": one.index[0], "attention.indexer.key_length": one.index[1],
            "attention.indexer.top_k": 2048,
        }  # fmt: skip
    return keys


def _attention(one: Latent) -> Shapes:
    width = one.nope + one.rope
    query: Shapes = {"attn_q": (one.embedding, one.heads * width)}
    if one.q_lora:
        query = {
            "attn_q_a": (one.embedding, one.q_lora), "attn_q_a_norm": (one.q_lora,),
            "attn_q_b": (one.q_lora, one.heads * width),
        }  # fmt: skip
    expanding: Shapes = {"attn_kv_b": (one.kv_lora, one.heads * (one.nope + one.value))}
    if one.mla:
        expanding = {
            "attn_k_b": (one.nope, one.kv_lora, one.heads), "attn_v_b": (one.kv_lora, one.value, one.heads)
        }  # fmt: skip
    return {
        "attn_norm": (one.embedding,), **query, "attn_kv_a_mqa": (one.embedding, one.kv_lora + one.rope),
        "attn_kv_a_norm": (one.kv_lora,), **expanding, "attn_output": (one.heads * one.value, one.embedding),
        "ffn_norm": (one.embedding,), **(_index(one, *one.index) if one.index else {}),
    }  # fmt: skip


def _index(one: Latent, heads: int, width: int) -> Shapes:
    return {
        "indexer.k_norm": (width,), "indexer.proj": (one.embedding, heads), "indexer.attn_k": (one.embedding, width),
        "indexer.attn_q_b": (one.q_lora, heads * width),
    }  # fmt: skip


def _dense(one: Latent) -> Shapes:
    return {
        "ffn_gate": (one.embedding, one.feed_forward), "ffn_up": (one.embedding, one.feed_forward),
        "ffn_down": (one.feed_forward, one.embedding),
    }  # fmt: skip


def _mixture(one: Latent) -> Shapes:
    inner, shared = one.expert_feed_forward, one.expert_feed_forward * one.shared
    return {
        "ffn_gate_inp": (one.embedding, one.experts), "ffn_gate_exps": (one.embedding, inner, one.experts),
        "ffn_up_exps": (one.embedding, inner, one.experts), "ffn_down_exps": (inner, one.embedding, one.experts),
        "ffn_gate_shexp": (one.embedding, shared), "ffn_up_shexp": (one.embedding, shared),
        "ffn_down_shexp": (shared, one.embedding),
    }  # fmt: skip


def _predicting(one: Latent) -> Shapes:
    return {
        "nextn.eh_proj": (2 * one.embedding, one.embedding), "nextn.enorm": (one.embedding,),
        "nextn.hnorm": (one.embedding,), "nextn.shared_head_norm": (one.embedding,),
        "nextn.embed_tokens": (one.embedding, one.vocabulary),
        "nextn.shared_head_head": (one.embedding, one.vocabulary),
    }  # fmt: skip


def minicpm3(name: str, source: str, *, layers: int, embedding: int, feed_forward: int, heads: int, vocabulary: int,
             context: int, q_lora: int, kv_lora: int, nope: int, rope: int, type: str) -> Known:  # noqa: A002  # fmt: skip
    """MiniCPM3: latent projections, but the cache holds each head's keys and values (llama.cpp ``minicpm3.cpp``)."""
    width = nope + rope
    shapes = {
        "attn_norm": (embedding,), "attn_q_a": (embedding, q_lora), "attn_q_a_norm": (q_lora,),
        "attn_q_b": (q_lora, heads * width), "attn_kv_a_mqa": (embedding, kv_lora + rope), "attn_kv_a_norm": (kv_lora,),
        "attn_kv_b": (kv_lora, heads * 2 * nope), "attn_output": (heads * nope, embedding), "ffn_norm": (embedding,),
        "ffn_gate": (embedding, feed_forward), "ffn_up": (embedding, feed_forward), "ffn_down": (feed_forward, embedding),
    }  # fmt: skip
    keys = {
        "block_count": layers, "context_length": context, "embedding_length": embedding,
        "feed_forward_length": feed_forward, "attention.head_count": heads, "attention.head_count_kv": heads,
        "attention.layer_norm_rms_epsilon": 1e-5, "attention.q_lora_rank": q_lora, "attention.kv_lora_rank": kv_lora,
        "attention.key_length": width, "attention.value_length": nope, "rope.dimension_count": rope,
        "vocab_size": vocabulary,
    }  # fmt: skip
    tensors = [
        tensor("token_embd", embedding, vocabulary, type=type),
        tensor("output_norm", embedding, type=type),
        Tensor("rope_factors_long.weight", (rope // 2,)),
        Tensor("rope_factors_short.weight", (rope // 2,)),
    ]
    for layer in range(layers):
        tensors += [tensor(f"blk.{layer}.{part}", *sides, type=type) for part, sides in shapes.items()]
    return Known(name, "minicpm3", keys, tensors, source)


_YARN: Mapping[str, Value] = {
    "rope.scaling.type": "yarn", "rope.scaling.factor": 40.0, "rope.scaling.original_context_length": 4096,
    "rope.scaling.yarn_log_multiplier": 0.1,
}  # fmt: skip
_V3 = Latent(
    layers=61, embedding=7168, feed_forward=18432, heads=128, vocabulary=129280, context=163840, q_lora=1536, dense=3,
    experts=256, used=8, shared=1, expert_feed_forward=2048, more=_YARN,
)  # fmt: skip
_LITE = Latent(
    layers=27, embedding=2048, feed_forward=10944, heads=16, vocabulary=102400, context=163840, q_lora=0, dense=1,
    experts=64, used=6, shared=2, expert_feed_forward=1408,
    more={**_YARN, "expert_gating_func": 1, "expert_weights_norm": False, "expert_weights_scale": 1.0},
)  # fmt: skip
_K2 = replace(_V3, heads=64, vocabulary=163840, context=131072, dense=1, experts=384, more=_YARN)
_GLM_FLASH = Latent(
    layers=47, embedding=2048, feed_forward=10240, heads=20, vocabulary=154880, context=202752, q_lora=768, nope=192,
    value=256, dense=1, experts=64, used=4, shared=1, expert_feed_forward=1536, nextn=1,
)  # fmt: skip
_GLM_5 = Latent(
    layers=78, embedding=6144, feed_forward=12288, heads=64, vocabulary=154880, context=202752, q_lora=2048, nope=192,
    value=256, dense=3, experts=256, used=8, shared=1, expert_feed_forward=2048, nextn=1, index=(32, 128),
)  # fmt: skip

MODELS: tuple[Known, ...] = (
    latent(
        "DeepSeek-V2-Lite-Q8_0", "deepseek2", "huggingface.co/deepseek-ai/DeepSeek-V2-Lite config.json", _LITE, type="Q8_0"
    ),
    latent("DeepSeek-V3-Q4_0", "deepseek2", "huggingface.co/deepseek-ai/DeepSeek-V3 config.json", _V3, type="Q4_0"),
    latent(
        "DeepSeek-V3-Q4_0-legacy", "deepseek2", "huggingface.co/deepseek-ai/DeepSeek-V3 config.json",
        replace(_V3, mla=False), type="Q4_0",
    ),
    latent(
        "DeepSeek-V3-Q4_0-nextn", "deepseek2", "huggingface.co/deepseek-ai/DeepSeek-V3 config.json",
        replace(_V3, nextn=1), type="Q4_0",
    ),
    latent(
        "Kimi-K2-Q4_0", "deepseek2", "huggingface.co/moonshotai/Kimi-K2-Instruct config.json", _K2, type="Q4_0"
    ),
    latent(
        "GLM-4.7-Flash-Q8_0", "deepseek2", "huggingface.co/zai-org/GLM-4.7-Flash config.json", _GLM_FLASH, type="Q8_0"
    ),
    latent(
        "DeepSeek-V3.2-Q4_0", "deepseek32", "huggingface.co/deepseek-ai/DeepSeek-V3.2 config.json",
        replace(_V3, nextn=1, index=(64, 128)), type="Q4_0",
    ),
    latent("GLM-5-Q4_0", "glm-dsa", "huggingface.co/zai-org/GLM-5 config.json", _GLM_5, type="Q4_0"),
    minicpm3(
        "MiniCPM3-4B-Q8_0", "huggingface.co/openbmb/MiniCPM3-4B config.json", layers=62, embedding=2560,
        feed_forward=6400, heads=40, vocabulary=73448, context=32768, q_lora=768, kv_lora=256, nope=64, rope=32, type="Q8_0",
    ),
)  # fmt: skip
