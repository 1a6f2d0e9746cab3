"""Models in which some layers look back at a window only."""

from __future__ import annotations

from tests.architectures.base import Known  # noqa: TC002 - as in its neighbours
from tests.architectures.dense import attention, ends, gated, model, numbers


def gemma(
    name: str, architecture: str, source: str, *, layers: int, embedding: int, feed_forward: int, heads: int,
    kv_heads: int, head: int, window: int, vocabulary: int, context: int, norms: bool,
) -> Known:  # fmt: skip
    """Gemma 2 and 3: norms on both sides of attention and feed-forward, the embedding is the output matrix."""
    parts = {
        **attention(embedding, heads, kv_heads, head, norms=norms), "post_attention_norm": (embedding,),
        **gated(embedding, feed_forward), "post_ffw_norm": (embedding,),
    }  # fmt: skip
    said = numbers(
        embedding=embedding, feed_forward=feed_forward, heads=heads, kv_heads=kv_heads, vocabulary=vocabulary,
        context=context, head=head,
    )  # fmt: skip
    return model(
        name, architecture, source, keys={**said, "attention.sliding_window": window},
        top=ends(embedding, vocabulary, tied=True), layers=[parts] * layers, type="Q8_0",
    )  # fmt: skip


def gemma3n(name: str, source: str, *, layers: int, feed_forward: int, shared: int, pattern: int = 5) -> Known:
    """Gemma 3n: the last ``shared`` layers use what earlier ones keep; a small embedding per layer and token.

    Shapes: llama.cpp's loader of ``LLM_ARCH_GEMMA3N`` (four streams ``altup``, a low rank of 64 ``laurel``).
    """
    embedding, heads, kv_heads, head, vocabulary, per_layer, streams = 2048, 8, 2, 256, 262144, 256, 4
    parts = {
        **attention(embedding, heads, kv_heads, head, norms=True), "post_attention_norm": (embedding,),
        **gated(embedding, feed_forward), "post_ffw_norm": (embedding,),
        "inp_gate": (embedding, per_layer), "proj": (per_layer, embedding), "post_norm": (embedding,),
        "altup_correct_coef": (streams, streams), "altup_correct_scale": (embedding,),
        "altup_predict_coef": (streams, streams * streams), "altup_router": (embedding, streams),
        "altup_router_norm": (embedding,), "laurel_l": (embedding, 64), "laurel_r": (64, embedding),
        "laurel_post_norm": (embedding,),
    }  # fmt: skip
    top = {
        **ends(embedding, vocabulary, tied=True), "per_layer_token_embd": (per_layer * layers, vocabulary),
        "per_layer_model_proj": (embedding, per_layer * layers), "per_layer_proj_norm": (per_layer,),
        "altup_proj": (embedding, embedding, streams - 1), "altup_unembd_proj": (embedding, embedding, streams - 1),
    }  # fmt: skip
    said = numbers(
        embedding=embedding, feed_forward=feed_forward, heads=heads, kv_heads=kv_heads, vocabulary=vocabulary,
        context=32768, head=head,
    )  # fmt: skip
    keys = {
        **said, "attention.sliding_window": 512, "attention.shared_kv_layers": shared,
        "attention.sliding_window_pattern": [(layer + 1) % pattern != 0 for layer in range(layers)],
        "embedding_length_per_layer_input": per_layer, "altup.num_inputs": streams, "altup.active_idx": 0,
    }  # fmt: skip
    return model(name, "gemma3n", source, keys=keys, top=top, layers=[parts] * layers, type="Q8_0")


def gemma4(
    name: str, source: str, *, layers: int, embedding: int, feed_forward: int, heads: int, kv_heads: int,
    whole_kv_heads: int, window: int, context: int, shared: int = 0, per_layer: int = 0,
) -> Known:  # fmt: skip
    """Gemma 4: every sixth layer looks at everything, with twice as wide heads, and has its keys as its values.

    Shapes: llama.cpp's loader of ``LLM_ARCH_GEMMA4``; as in its files, the layers that share have projections too.
    """
    vocabulary, head, whole_head = 262144, 256, 512
    narrow = [(layer + 1) % 6 != 0 for layer in range(layers)]
    each = []
    for looks_back in narrow:
        width, kept = (head, kv_heads) if looks_back else (whole_head, whole_kv_heads)
        parts = {
            **attention(embedding, heads, kept, width, norms=True), "post_attention_norm": (embedding,),
            **gated(embedding, feed_forward), "post_ffw_norm": (embedding,), "layer_output_scale": (1,),
        }  # fmt: skip
        if per_layer:
            parts |= {"inp_gate": (embedding, per_layer), "proj": (per_layer, embedding), "post_norm": (embedding,)}
        elif not looks_back:
            del parts["attn_v"]
        each.append(parts)
    top = {**ends(embedding, vocabulary, tied=True), "rope_freqs": (whole_head // 2,)}
    if per_layer:
        top |= {
            "per_layer_token_embd": (per_layer * layers, vocabulary),
            "per_layer_model_proj": (embedding, per_layer * layers), "per_layer_proj_norm": (per_layer,),
        }  # fmt: skip
    said = numbers(
        embedding=embedding, feed_forward=feed_forward, heads=heads, kv_heads=kv_heads, vocabulary=vocabulary,
        context=context, head=whole_head,
    )  # fmt: skip
    keys = {
        **said, "attention.head_count_kv": [kv_heads if one else whole_kv_heads for one in narrow],
        "attention.key_length_swa": head, "attention.value_length_swa": head, "rope.dimension_count_swa": head,
        "attention.sliding_window": window, "attention.sliding_window_pattern": narrow,
        "attention.shared_kv_layers": shared, "embedding_length_per_layer_input": per_layer,
    }  # fmt: skip
    return model(name, "gemma4", source, keys=keys, top=top, layers=each, type="Q8_0")


def gpt_oss(name: str, source: str, *, layers: int, experts: int) -> Known:
    """gpt-oss: experts in MXFP4, biases everywhere, sinks of attention (``LLM_ARCH_OPENAI_MOE``)."""
    embedding, heads, kv_heads, head, inner = 2880, 64, 8, 64, 2880
    parts = {
        **attention(embedding, heads, kv_heads, head, biases=True), "attn_output.bias": (embedding,),
        "post_attention_norm": (embedding,), "attn_sinks": (heads,), "ffn_gate_inp": (embedding, experts),
        "ffn_gate_inp.bias": (experts,), "ffn_gate_exps": (embedding, inner, experts),
        "ffn_gate_exps.bias": (inner, experts), "ffn_up_exps": (embedding, inner, experts),
        "ffn_up_exps.bias": (inner, experts), "ffn_down_exps": (inner, embedding, experts),
        "ffn_down_exps.bias": (embedding, experts),
    }  # fmt: skip
    said = numbers(
        embedding=embedding, feed_forward=inner, heads=heads, kv_heads=kv_heads, vocabulary=201088, context=131072,
        head=head,
    )  # fmt: skip
    keys = {
        **said, "attention.sliding_window": 128, "expert_count": experts, "expert_used_count": 4,
        "expert_feed_forward_length": inner,
    }  # fmt: skip
    return model(
        name, "gpt-oss", source, keys=keys, top=ends(embedding, 201088), layers=[parts] * layers, type="Q8_0",
        routed="MXFP4",
    )  # fmt: skip


def cohere2(
    name: str, source: str, *, layers: int, embedding: int, feed_forward: int, heads: int, kv_heads: int, context: int
) -> Known:
    """Command R7B and Command A: attention and feed-forward side by side behind one norm."""
    parts = {**attention(embedding, heads, kv_heads, 128), **gated(embedding, feed_forward)}
    del parts["ffn_norm"]
    said = numbers(
        embedding=embedding, feed_forward=feed_forward, heads=heads, kv_heads=kv_heads, vocabulary=256000,
        context=context, head=128, epsilon="attention.layer_norm_epsilon",
    )  # fmt: skip
    return model(
        name, "cohere2", source, keys={**said, "attention.sliding_window": 4096, "logit_scale": 0.25},
        top=ends(embedding, 256000, tied=True), layers=[parts] * layers, type="Q4_0",
    )  # fmt: skip


def llama4(name: str, source: str, *, experts: int, step: int) -> Known:
    """Llama 4: chunks of 8,192 tokens in three of four layers; every ``step``-th layer is a mixture."""
    embedding, heads, kv_heads, head, inner, dense = 5120, 40, 8, 128, 8192, 16384
    routed = {
        **attention(embedding, heads, kv_heads, head), "ffn_norm": (embedding,), "ffn_gate_inp": (embedding, experts),
        "ffn_gate_exps": (embedding, inner, experts), "ffn_down_exps": (inner, embedding, experts),
        "ffn_up_exps": (embedding, inner, experts), "ffn_gate_shexp": (embedding, inner),
        "ffn_down_shexp": (inner, embedding), "ffn_up_shexp": (embedding, inner),
    }  # fmt: skip
    whole = {**attention(embedding, heads, kv_heads, head), **gated(embedding, dense)}
    said = numbers(
        embedding=embedding, feed_forward=dense, heads=heads, kv_heads=kv_heads, vocabulary=202048, context=1048576,
        head=head,
    )  # fmt: skip
    keys = {
        **said, "expert_count": experts, "expert_used_count": 1, "expert_feed_forward_length": inner,
        "interleave_moe_layer_step": step,
    }  # fmt: skip
    layers = [routed if (layer + 1) % step == 0 else whole for layer in range(48)]
    return model(name, "llama4", source, keys=keys, top=ends(embedding, 202048), layers=layers, type="Q4_K")


def normed_behind(
    name: str, architecture: str, source: str, *, layers: int, embedding: int, feed_forward: int, heads: int,
    kv_heads: int, head: int, vocabulary: int, context: int, window: int, whole_norms: bool,
) -> Known:  # fmt: skip
    """OLMo 2 and 3, EXAONE 4: norms behind attention and feed-forward, none before; of all heads together or of each."""
    parts = {**attention(embedding, heads, kv_heads, head), **gated(embedding, feed_forward)}
    del parts["attn_norm"], parts["ffn_norm"]
    width = (heads * head, kv_heads * head) if whole_norms else (head, head)
    parts |= {
        "attn_q_norm": width[:1], "attn_k_norm": width[1:], "post_attention_norm": (embedding,),
        "post_ffw_norm": (embedding,),
    }  # fmt: skip
    said = numbers(
        embedding=embedding, feed_forward=feed_forward, heads=heads, kv_heads=kv_heads, vocabulary=vocabulary,
        context=context, head=head,
    )  # fmt: skip
    keys = {**said, "attention.sliding_window": window} if window else said
    return model(
        name, architecture, source, keys=keys, top=ends(embedding, vocabulary), layers=[parts] * layers, type="Q8_0"
    )


def phi3(
    name: str, source: str, *, layers: int, embedding: int, feed_forward: int, heads: int, kv_heads: int,
    vocabulary: int, context: int, window: int = 0,
) -> Known:  # fmt: skip
    """Phi 3 and 4: queries, keys and values in one matrix, gate and up in another."""
    head = embedding // heads
    parts = {
        "attn_norm": (embedding,), "attn_qkv": (embedding, (heads + 2 * kv_heads) * head),
        "attn_output": (embedding, embedding), "ffn_norm": (embedding,), "ffn_up": (embedding, 2 * feed_forward),
        "ffn_down": (feed_forward, embedding),
    }  # fmt: skip
    said = numbers(
        embedding=embedding, feed_forward=feed_forward, heads=heads, kv_heads=kv_heads, vocabulary=vocabulary,
        context=context,
    )  # fmt: skip
    keys = {**said, "attention.sliding_window": window} if window else said
    return model(name, "phi3", source, keys=keys, top=ends(embedding, vocabulary), layers=[parts] * layers, type="Q8_0")


GEMMA2_9B = gemma(
    "gemma-2-9b-Q8_0", "gemma2", "huggingface.co/google/gemma-2-9b config.json", layers=42, embedding=3584,
    feed_forward=14336, heads=16, kv_heads=8, head=256, window=4096, vocabulary=256000, context=8192, norms=False,
)  # fmt: skip
GEMMA3_1B = gemma(
    "gemma-3-1b-Q8_0", "gemma3", "huggingface.co/google/gemma-3-1b-it config.json", layers=26, embedding=1152,
    feed_forward=6912, heads=4, kv_heads=1, head=256, window=512, vocabulary=262144, context=32768, norms=True,
)  # fmt: skip
GEMMA3_4B = gemma(
    "gemma-3-4b-Q8_0", "gemma3", "huggingface.co/google/gemma-3-4b-it config.json", layers=34, embedding=2560,
    feed_forward=10240, heads=8, kv_heads=4, head=256, window=1024, vocabulary=262208, context=131072, norms=True,
)  # fmt: skip
GEMMA3_27B = gemma(
    "gemma-3-27b-Q8_0", "gemma3", "huggingface.co/google/gemma-3-27b-it config.json", layers=62, embedding=5376,
    feed_forward=21504, heads=32, kv_heads=16, head=128, window=1024, vocabulary=262208, context=131072, norms=True,
)  # fmt: skip
GEMMA3N_E2B = gemma3n(
    "gemma-3n-E2B-Q8_0", "huggingface.co/google/gemma-3n-E2B-it config.json", layers=30, feed_forward=8192, shared=10
)
GEMMA3N_E4B = gemma3n(
    "gemma-3n-E4B-Q8_0", "huggingface.co/google/gemma-3n-E4B-it config.json", layers=35, feed_forward=16384, shared=15
)
GEMMA4_E4B = gemma4(
    "gemma-4-E4B-Q8_0", "huggingface.co/google/gemma-4-E4B-it config.json", layers=42, embedding=2560,
    feed_forward=10240, heads=8, kv_heads=2, whole_kv_heads=2, window=512, context=131072, shared=18, per_layer=256,
)  # fmt: skip
GEMMA4_12B = gemma4(
    "gemma-4-12B-Q8_0", "keys that llama.cpp logged (github.com/zackshen/gguf issue 21)", layers=48, embedding=3840,
    feed_forward=15360, heads=16, kv_heads=8, whole_kv_heads=1, window=1024, context=262144,
)  # fmt: skip
GEMMA4_31B = gemma4(
    "gemma-4-31B-Q8_0", "keys that llama.cpp logged (github.com/kyuz0/amd-strix-halo-toolboxes issue 89)", layers=60,
    embedding=5376, feed_forward=21504, heads=32, kv_heads=16, whole_kv_heads=4, window=1024, context=262144,
)  # fmt: skip
GPT_OSS_20B = gpt_oss(
    "gpt-oss-20b-MXFP4", "huggingface.co/openai/gpt-oss-20b config.json", layers=24, experts=32
)  # fmt: skip
GPT_OSS_120B = gpt_oss(
    "gpt-oss-120b-MXFP4", "huggingface.co/openai/gpt-oss-120b config.json", layers=36, experts=128
)  # fmt: skip
COMMAND_R7B = cohere2(
    "command-r7b-Q4_0", "huggingface.co/CohereLabs/c4ai-command-r7b-12-2024 config.json", layers=32, embedding=4096,
    feed_forward=14336, heads=32, kv_heads=8, context=132096,
)  # fmt: skip
COMMAND_A = cohere2(
    "command-a-Q4_0", "huggingface.co/CohereLabs/c4ai-command-a-03-2025 config.json", layers=64, embedding=12288,
    feed_forward=36864, heads=96, kv_heads=8, context=131072,
)  # fmt: skip
LLAMA4_SCOUT = llama4(
    "Llama-4-Scout-Q4_K", "huggingface.co/meta-llama/Llama-4-Scout-17B-16E config.json", experts=16, step=1
)
LLAMA4_MAVERICK = llama4(
    "Llama-4-Maverick-Q4_K", "huggingface.co/meta-llama/Llama-4-Maverick-17B-128E config.json", experts=128, step=2
)
EXAONE4_32B = normed_behind(
    "EXAONE-4.0-32B-Q8_0", "exaone4", "huggingface.co/LGAI-EXAONE/EXAONE-4.0-32B config.json", layers=64,
    embedding=5120, feed_forward=27392, heads=40, kv_heads=8, head=128, vocabulary=102400, context=131072, window=4096,
    whole_norms=False,
)  # fmt: skip
EXAONE4_1B = normed_behind(
    "EXAONE-4.0-1.2B-Q8_0", "exaone4", "huggingface.co/LGAI-EXAONE/EXAONE-4.0-1.2B config.json", layers=30,
    embedding=2048, feed_forward=4096, heads=32, kv_heads=8, head=64, vocabulary=102400, context=65536, window=0,
    whole_norms=False,
)  # fmt: skip
OLMO2_13B = normed_behind(
    "OLMo-2-13B-Q8_0", "olmo2", "huggingface.co/allenai/OLMo-2-1124-13B config.json", layers=40, embedding=5120,
    feed_forward=13824, heads=40, kv_heads=40, head=128, vocabulary=100352, context=4096, window=0, whole_norms=True,
)  # fmt: skip
OLMO3_32B = normed_behind(
    "Olmo-3-32B-Q8_0", "olmo2", "huggingface.co/allenai/Olmo-3-1125-32B config.json", layers=64, embedding=5120,
    feed_forward=27648, heads=40, kv_heads=8, head=128, vocabulary=100278, context=65536, window=4096, whole_norms=True,
)  # fmt: skip
PHI3_MINI_4K = phi3(
    "Phi-3-mini-4k-Q8_0", "huggingface.co/microsoft/Phi-3-mini-4k-instruct config.json", layers=32, embedding=3072,
    feed_forward=8192, heads=32, kv_heads=32, vocabulary=32064, context=4096, window=2047,
)  # fmt: skip
PHI4 = phi3(
    "phi-4-Q8_0", "huggingface.co/microsoft/phi-4 config.json", layers=40, embedding=5120, feed_forward=17920, heads=40,
    kv_heads=10, vocabulary=100352, context=16384,
)  # fmt: skip

MODELS: tuple[Known, ...] = (
    GEMMA2_9B, GEMMA3_1B, GEMMA3_4B, GEMMA3_27B, GEMMA3N_E2B, GEMMA3N_E4B, GEMMA4_E4B, GEMMA4_12B, GEMMA4_31B, GPT_OSS_20B, GPT_OSS_120B, COMMAND_R7B,
    COMMAND_A, LLAMA4_SCOUT, LLAMA4_MAVERICK, EXAONE4_32B, EXAONE4_1B, OLMO2_13B, OLMO3_32B, PHI3_MINI_4K, PHI4,
)  # fmt: skip
