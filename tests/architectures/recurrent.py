"""Models whose layers keep a state of fixed size, alone or between attention layers."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tests.architectures.mixers import Base, Moe, Shapes, Ssm, attention, delta, dense, mamba1, mamba2, model
from tests.gguf_maker import Tensor

if TYPE_CHECKING:
    from tests.architectures.base import Known, Value


def qwen_next(
    name: str, architecture: str, source: str, one: Base, ssm: Ssm, moe: Moe | None, *, type: str  # noqa: A002
) -> Known:  # fmt: skip
    """Every fourth layer attends; llama.cpp ``qwen3next.cpp``, ``qwen35.cpp``, ``qwen35moe.cpp``."""
    fused = architecture == "qwen3next"
    feed = moe.shapes(one.embedding, gated_shared=True) if moe else dense(one.embedding, one.feed_forward)
    norms: Shapes = {"attn_norm": (one.embedding,), "post_attention_norm": (one.embedding,)}
    each = [
        {**norms, **(delta(one, ssm, fused=fused) if (at + 1) % 4 else attention(one, query=2, normed=True)), **feed}
        for at in range(one.layers)
    ]
    more: dict[str, Value] = {**ssm.keys, "rope.dimension_count": one.head // 4, "full_attention_interval": 4}
    if not fused:
        more["rope.dimension_sections"] = [11, 11, 10, 0]
    if moe:
        more |= {
            "expert_count": moe.count, "expert_used_count": moe.used, "expert_feed_forward_length": moe.inner,
            "expert_shared_feed_forward_length": moe.shared,
        }  # fmt: skip
    return model(name, architecture, source, one, each, more, type=type)


def granite_hybrid(
    name: str, source: str, one: Base, ssm: Ssm, moe: Moe | None, attending: tuple[int, ...], *, type: str  # noqa: A002
) -> Known:  # fmt: skip
    """Granite 4.0 H: Mamba-2, attention in the layers ``attending``; llama.cpp ``granite-hybrid.cpp``."""
    feed = moe.shapes(one.embedding) if moe else dense(one.embedding, one.feed_forward)
    norms: Shapes = {"attn_norm": (one.embedding,), "ffn_norm": (one.embedding,)}
    each = [{**norms, **(attention(one) if at in attending else mamba2(one, ssm)), **feed} for at in range(one.layers)]
    more: dict[str, Value] = {
        **ssm.keys, "attention.head_count_kv": [one.kv_heads if at in attending else 0 for at in range(one.layers)],
        "rope.scaling.finetuned": False,
    }  # fmt: skip
    if moe:
        more |= {
            "expert_count": moe.count, "expert_used_count": moe.used, "feed_forward_length": moe.inner,
            "expert_shared_feed_forward_length": moe.shared,
        }  # fmt: skip
    return model(name, "granitehybrid", source, one, each, more, type=type)


def mamba(name: str, source: str, one: Base, ssm: Ssm, *, type: str) -> Known:  # noqa: A002
    """Mamba, and Mamba-2 where there are groups; llama.cpp ``mamba.cpp``, ``mamba2.cpp``."""
    mixer = mamba2(one, ssm) if ssm.groups else mamba1(one, ssm)
    each = [{"attn_norm": (one.embedding,), **mixer}] * one.layers
    return model(name, "mamba2" if ssm.groups else "mamba", source, one, each, ssm.keys, type=type)


def jamba(name: str, source: str, one: Base, ssm: Ssm, moe: Moe, *, type: str) -> Known:  # noqa: A002
    """Of eight layers the fifth attends, each second has experts; llama.cpp ``jamba.cpp``."""
    inner: Shapes = {"ssm_dt_norm": (ssm.rank,), "ssm_b_norm": (ssm.state,), "ssm_c_norm": (ssm.state,)}
    each = [
        {
            "attn_norm": (one.embedding,), "ffn_norm": (one.embedding,),
            **(attention(one) if at % 8 == 4 else {**mamba1(one, ssm), **inner}),
            **(moe.shapes(one.embedding) if at % 2 else dense(one.embedding, one.feed_forward)),
        }
        for at in range(one.layers)
    ]  # fmt: skip
    kv_heads = [one.kv_heads if at % 8 == 4 else 0 for at in range(one.layers)]
    more: dict[str, Value] = {
        **ssm.keys, "attention.head_count_kv": kv_heads, "expert_count": moe.count, "expert_used_count": moe.used,
    }  # fmt: skip
    return model(name, "jamba", source, one, each, more, type=type)


def falcon_h1(name: str, source: str, one: Base, ssm: Ssm, *, type: str) -> Known:  # noqa: A002
    """Attention and Mamba-2 side by side in every layer; llama.cpp ``falcon-h1.cpp``."""
    layer = {
        "attn_norm": (one.embedding,), "ffn_norm": (one.embedding,), **attention(one), **mamba2(one, ssm),
        **dense(one.embedding, one.feed_forward),
    }  # fmt: skip
    found = model(name, "falcon-h1", source, one, [layer] * one.layers, ssm.keys, type=type)
    bare = [replace(part, name=part.name.replace("ffn_norm.weight", "ffn_norm")) for part in found.tensors]
    return replace(found, tensors=bare)


def nemotron_h(
    name: str, source: str, one: Base, ssm: Ssm, pattern: str, moe: Moe | None = None, *, type: str  # noqa: A002
) -> Known:  # fmt: skip
    """``pattern``: M Mamba-2, * attention, - feed forward, E experts; llama.cpp ``nemotron-h.cpp``."""
    parts: dict[str, Shapes] = {
        "M": mamba2(one, ssm), "*": attention(one), "-": dense(one.embedding, one.feed_forward, gated=False),
        "E": {**moe.shapes(one.embedding), "exp_probs_b.bias": (moe.count,)} if moe else {},
    }  # fmt: skip
    each = [{"attn_norm": (one.embedding,), **parts[kind]} for kind in pattern]
    inner = {"-": one.feed_forward, "E": moe.inner if moe else 0}
    more: dict[str, Value] = {
        **ssm.keys, "attention.head_count_kv": [one.kv_heads if kind == "*" else 0 for kind in pattern],
        "feed_forward_length": [inner.get(kind, 0) for kind in pattern], "attention.layer_norm_epsilon": 1e-5,
    }  # fmt: skip
    if moe:
        more |= {
            "expert_count": moe.count, "expert_used_count": moe.used, "expert_feed_forward_length": moe.inner,
            "expert_shared_feed_forward_length": moe.shared, "expert_shared_count": 1, "expert_weights_norm": True,
            "expert_weights_scale": 2.5,
        }  # fmt: skip
    return model(name, "nemotron_h_moe" if moe else "nemotron_h", source, one, each, more, type=type)


def lfm2(
    name: str, source: str, one: Base, attending: tuple[int, ...], moe: Moe | None = None, *, type: str  # noqa: A002
) -> Known:  # fmt: skip
    """Short convolutions, attention in the layers ``attending``; llama.cpp ``lfm2.cpp``, ``lfm2moe.cpp``."""
    conv: Shapes = {
        "shortconv.conv": (3, one.embedding), "shortconv.in_proj": (one.embedding, 3 * one.embedding),
        "shortconv.out_proj": (one.embedding, one.embedding),
    }  # fmt: skip
    experts: Shapes = {**moe.shapes(one.embedding), "exp_probs_b.bias": (moe.count,)} if moe else {}
    each = [
        {
            "attn_norm": (one.embedding,), "ffn_norm": (one.embedding,),
            **(attention(one, normed=True) if at in attending else conv),
            **(experts if moe and at >= 2 else dense(one.embedding, one.feed_forward)),
        }
        for at in range(one.layers)
    ]  # fmt: skip
    more: dict[str, Value] = {
        "attention.head_count_kv": [one.kv_heads if at in attending else 0 for at in range(one.layers)],
        "shortconv.l_cache": 3,
    }  # fmt: skip
    if moe:
        more |= {
            "expert_count": moe.count, "expert_used_count": moe.used, "expert_feed_forward_length": moe.inner,
            "leading_dense_block_count": 2, "expert_gating_func": 2,
        }  # fmt: skip
    return model(
        name, "lfm2moe" if moe else "lfm2", source, one, each, more, type=type, norm="token_embd_norm"
    )  # fmt: skip


def kimi_linear(name: str, source: str, one: Base, moe: Moe, attending: tuple[int, ...], *, type: str) -> Known:  # noqa: A002
    """Kimi Delta Attention, latent attention in the layers ``attending``; llama.cpp ``kimi-linear.cpp``."""
    wide, kda, rank, nope, rope, value = one.heads * one.head, one.head, 512, 128, 64, 128
    mixer: Shapes = {
        "ssm_conv1d_q": (4, 1, wide), "ssm_conv1d_k": (4, 1, wide), "ssm_conv1d_v": (4, 1, wide),
        "attn_q": (one.embedding, wide), "attn_k": (one.embedding, wide), "attn_v": (one.embedding, wide),
        "ssm_f_a": (one.embedding, kda), "ssm_f_b": (kda, wide), "ssm_beta": (one.embedding, one.heads),
        "ssm_a": (1, one.heads), "ssm_dt.bias": (wide,), "ssm_g_a": (one.embedding, kda), "ssm_g_b": (kda, wide),
        "ssm_norm": (kda,), "attn_output": (wide, one.embedding),
    }  # fmt: skip
    latent: Shapes = {
        "attn_q": (one.embedding, one.heads * (nope + rope)), "attn_kv_a_mqa": (one.embedding, rank + rope),
        "attn_kv_a_norm": (rank,), "attn_k_b": (nope, rank, one.heads), "attn_v_b": (rank, value, one.heads),
        "attn_output": (one.heads * value, one.embedding),
    }  # fmt: skip
    experts: Shapes = {**moe.shapes(one.embedding), "exp_probs_b.bias": (moe.count,)}
    each = [
        {
            "attn_norm": (one.embedding,), "ffn_norm": (one.embedding,), **(latent if at in attending else mixer),
            **(experts if at else dense(one.embedding, one.feed_forward)),
        }
        for at in range(one.layers)
    ]  # fmt: skip
    more: dict[str, Value] = {
        "attention.head_count_kv": [1 if at in attending else 0 for at in range(one.layers)],
        "attention.key_length": rank + rope, "attention.value_length": rank, "attention.key_length_mla": nope + rope,
        "attention.value_length_mla": value, "attention.kv_lora_rank": rank, "rope.dimension_count": rope,
        "kda.head_dim": kda, "ssm.conv_kernel": 4, "expert_count": moe.count, "expert_used_count": moe.used,
        "expert_feed_forward_length": moe.inner, "expert_shared_count": 1, "leading_dense_block_count": 1,
        "expert_gating_func": 2, "expert_weights_scale": 2.446,
    }  # fmt: skip
    return model(name, "kimi-linear", source, one, each, more, type=type)


def rwkv7(name: str, source: str, one: Base, ranks: tuple[int, int, int, int], *, type: str) -> Known:  # noqa: A002
    """``ranks``: of decay, learning rate, value residual and gate; llama.cpp ``rwkv7.cpp``."""
    decay, rate, value, gate = ranks
    wide = one.embedding
    layer = {
        **dict.fromkeys((
            "attn_norm", "attn_norm.bias", "attn_norm_2", "attn_norm_2.bias", "time_mix_w0", "time_mix_a0",
            "time_mix_v0", "time_mix_k_k", "time_mix_k_a", "time_mix_r_k", "time_mix_ln", "time_mix_ln.bias",
        ), (wide,)),
        **dict.fromkeys((
            "time_mix_key", "time_mix_value", "time_mix_receptance", "time_mix_output"), (wide, wide)),
        "time_mix_w1": (wide, decay), "time_mix_w2": (decay, wide), "time_mix_a1": (wide, rate),
        "time_mix_a2": (rate, wide), "time_mix_v1": (wide, value), "time_mix_v2": (value, wide),
        "time_mix_g1": (wide, gate), "time_mix_g2": (gate, wide), "time_mix_lerp_fused": (wide, 1, 1, 6),
        "channel_mix_lerp_k": (wide, 1, 1), "channel_mix_key": (wide, one.feed_forward),
        "channel_mix_value": (one.feed_forward, wide),
    }  # fmt: skip
    first = {**layer, "time_mix_v1": (wide, rate), "time_mix_v2": (rate, wide)}
    more: dict[str, Value] = {
        "wkv.head_size": one.head, "attention.decay_lora_rank": decay, "attention.iclr_lora_rank": rate,
        "attention.value_residual_mix_lora_rank": value, "attention.gate_lora_rank": gate, "token_shift_count": 2,
        "attention.layer_norm_epsilon": 1e-5,
    }  # fmt: skip
    plain = replace(one, head=0)
    found = model(name, "rwkv7", source, plain, [first, *[layer] * (one.layers - 1)], more, type=type)
    norms = [Tensor(f"{part}.bias", (wide,)) for part in ("token_embd_norm", "output_norm")]
    return replace(found, tensors=[*found.tensors, Tensor("token_embd_norm.weight", (wide,)), *norms])


MODELS: tuple[Known, ...] = (
    qwen_next(
        "Qwen3-Next-80B-A3B-Q8_0", "qwen3next", "huggingface.co/Qwen/Qwen3-Next-80B-A3B-Instruct config.json",
        Base(48, 2048, 151936, 262144, 5120, 16, 2, 256), Ssm(4, 4096, 128, 32, 16), Moe(512, 10, 512, 512), type="Q8_0",
    ),
    granite_hybrid(
        "Granite-4.0-H-Small-Q8_0", "huggingface.co/ibm-granite/granite-4.0-h-small config.json",
        Base(40, 4096, 100352, 131072, 768, 32, 8, 128, tied=True), Ssm(4, 8192, 128, 128, 1), Moe(72, 10, 768, 1536),
        (5, 15, 25, 35), type="Q8_0",
    ),
    granite_hybrid(
        "Granite-4.0-H-Tiny-Q8_0", "huggingface.co/ibm-granite/granite-4.0-h-tiny config.json",
        Base(40, 1536, 100352, 131072, 512, 12, 4, 128, tied=True), Ssm(4, 3072, 128, 48, 1), Moe(64, 6, 512, 1024),
        (5, 15, 25, 35), type="Q8_0",
    ),
    granite_hybrid(
        "Granite-4.0-H-Micro-Q8_0", "huggingface.co/ibm-granite/granite-4.0-h-micro config.json",
        Base(40, 2048, 100352, 131072, 8192, 32, 8, 64, tied=True), Ssm(4, 4096, 128, 64, 1), None,
        (5, 15, 25, 35), type="Q8_0",
    ),
    qwen_next(
        "Qwen3.6-27B-Q8_0", "qwen35", "huggingface.co/Qwen/Qwen3.6-27B config.json",
        Base(64, 5120, 248320, 262144, 17408, 24, 4, 256), Ssm(4, 6144, 128, 48, 16), None, type="Q8_0",
    ),
    qwen_next(
        "Qwen3.5-35B-A3B-Q8_0", "qwen35moe", "huggingface.co/Qwen/Qwen3.5-35B-A3B config.json",
        Base(40, 2048, 248320, 262144, 0, 16, 2, 256), Ssm(4, 4096, 128, 32, 16), Moe(256, 8, 512, 512), type="Q8_0",
    ),
    mamba(
        "Mamba-2.8B-F16", "huggingface.co/state-spaces/mamba-2.8b config.json", Base(64, 2560, 50280, 1048576, tied=True),
        Ssm(4, 5120, 16, 160), type="F16",
    ),
    mamba(
        "Mamba-Codestral-7B-Q8_0", "huggingface.co/mistralai/Mamba-Codestral-7B-v0.1 config.json",
        Base(64, 4096, 32768, 262144), Ssm(4, 8192, 128, 128, 8), type="Q8_0",
    ),
    jamba(
        "Jamba-1.5-Mini-Q8_0", "huggingface.co/ai21labs/AI21-Jamba-1.5-Mini config.json",
        Base(32, 4096, 65536, 262144, 14336, 32, 8, 128), Ssm(4, 8192, 16, 256), Moe(16, 2, 14336), type="Q8_0",
    ),
    falcon_h1(
        "Falcon-H1-34B-Q8_0", "huggingface.co/tiiuae/Falcon-H1-34B-Instruct config.json",
        Base(72, 5120, 261120, 262144, 21504, 20, 4, 128), Ssm(4, 4096, 256, 32, 2), type="Q8_0",
    ),
    nemotron_h(
        "Nemotron-Nano-9B-v2-Q8_0", "huggingface.co/nvidia/NVIDIA-Nemotron-Nano-9B-v2 config.json",
        Base(56, 4480, 131072, 131072, 15680, 40, 8, 128), Ssm(4, 10240, 128, 128, 8),
        "M-M-M-MM-M-M-M*-M-M-M*-M-M-M-M*-M-M-M-M*-M-MM-M-M-M-M-M-", type="Q8_0",
    ),
    nemotron_h(
        "Nemotron-3-Nano-30B-A3B-Q8_0", "huggingface.co/nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16 config.json",
        Base(52, 2688, 131072, 262144, 0, 32, 2, 128), Ssm(4, 4096, 128, 64, 8),
        "MEMEM*EMEMEM*EMEMEM*EMEMEM*EMEMEM*EMEMEMEM*EMEMEMEME", Moe(128, 6, 1856, 3712, gated=False), type="Q8_0",
    ),
    lfm2(
        "LFM2-1.2B-Q8_0", "huggingface.co/LiquidAI/LFM2-1.2B config.json",
        Base(16, 2048, 65536, 128000, 8192, 32, 8, 64, tied=True), (2, 5, 8, 10, 12, 14), type="Q8_0",
    ),
    lfm2(
        "LFM2-8B-A1B-Q8_0", "huggingface.co/LiquidAI/LFM2-8B-A1B config.json",
        Base(24, 2048, 65536, 128000, 7168, 32, 8, 64, tied=True), (2, 6, 10, 14, 18, 21), Moe(32, 4, 1792), type="Q8_0",
    ),
    kimi_linear(
        "Kimi-Linear-48B-A3B-Q8_0", "huggingface.co/moonshotai/Kimi-Linear-48B-A3B-Instruct config.json",
        Base(27, 2304, 163840, 1048576, 9216, 32, 0, 128), Moe(256, 8, 1024, 1024), (3, 7, 11, 15, 19, 23, 26), type="Q8_0",
    ),
    rwkv7(
        "RWKV7-2.9B-F16", "huggingface.co/RWKV/RWKV7-Goose-World3-2.9B-HF config.json",
        Base(32, 2560, 65536, 1048576, 10240, 0, 0, 64), (96, 96, 64, 320), type="F16",
    ),
)  # fmt: skip
