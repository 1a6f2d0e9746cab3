"""Mixtures of experts with attention over the whole context."""

from __future__ import annotations

from collections.abc import Mapping

from tests.architectures.base import Known, Value  # noqa: TC002 - as in its neighbours
from tests.architectures.dense import Shapes, attention, ends, gated, model, numbers


def experts(
    embedding: int, inner: int, count: int, *, shared: int = 0, biased: bool = False, gated_experts: bool = True
) -> dict[str, tuple[int, ...]]:
    """A router and its experts; ``shared``: the width of those that always work; ``biased``: the choice has a bias."""
    shapes: dict[str, tuple[int, ...]] = {
        "ffn_norm": (embedding,), "ffn_gate_inp": (embedding, count), "ffn_down_exps": (inner, embedding, count),
        "ffn_up_exps": (embedding, inner, count),
    }  # fmt: skip
    if gated_experts:
        shapes["ffn_gate_exps"] = (embedding, inner, count)
    if shared:
        shapes |= {
            "ffn_gate_shexp": (embedding, shared), "ffn_up_shexp": (embedding, shared), "ffn_down_shexp": (shared, embedding),
        }  # fmt: skip
    if biased:
        shapes["exp_probs_b.bias"] = (count,)
    return shapes


def mixture(
    name: str, architecture: str, source: str, *, layers: int, embedding: int, feed_forward: int, heads: int,
    kv_heads: int, head: int, vocabulary: int, context: int, inner: int, count: int, used: int, shared: int = 0,
    dense: int = 0, norms: bool = False, biases: bool = False, biased: bool = False, tied: bool = False,
    type: str = "Q4_K", more: Shapes | None = None, keys: Mapping[str, Value] | None = None,  # noqa: A002 - the field's word
    top: Shapes | None = None,
) -> Known:  # fmt: skip
    """``dense`` layers with a plain feed-forward network come first; ``more``: further tensors of every layer."""
    asks = {**attention(embedding, heads, kv_heads, head, norms=norms, biases=biases), **(more or {})}
    said = numbers(
        embedding=embedding, feed_forward=feed_forward, heads=heads, kv_heads=kv_heads, vocabulary=vocabulary,
        context=context, head=head,
    )  # fmt: skip
    said |= {"expert_count": count, "expert_used_count": used, "expert_feed_forward_length": inner}
    if dense:
        said["leading_dense_block_count"] = dense
    routed = experts(embedding, inner, count, shared=shared, biased=biased)
    return model(
        name, architecture, source, keys={**said, **(keys or {})}, type=type,
        top={**ends(embedding, vocabulary, tied=tied), **(top or {})},
        layers=[{**asks, **(gated(embedding, feed_forward) if number < dense else routed)} for number in range(layers)],
    )  # fmt: skip


def glm4moe(
    name: str, source: str, *, layers: int, embedding: int, feed_forward: int, inner: int, count: int, dense: int,
    context: int, norms: bool, type: str = "Q4_K",  # noqa: A002 - the field's word
) -> Known:  # fmt: skip
    """GLM 4.5 and 4.6: the last block predicts several tokens at once; its norm stands behind attention."""
    heads, kv_heads, head, vocabulary = 96, 8, 128, 151552
    asks = {
        **attention(embedding, heads, kv_heads, head, norms=norms, biases=True), "post_attention_norm": (embedding,)
    }  # fmt: skip
    whole, routed = gated(embedding, feed_forward), experts(embedding, inner, count, shared=inner, biased=True)
    parts = [
        {side: sides for side, sides in {**asks, **(whole if number < dense else routed)}.items() if side != "ffn_norm"}
        for number in range(layers + 1)
    ]
    parts[-1] |= {
        "nextn.eh_proj": (2 * embedding, embedding), "nextn.embed_tokens": (embedding, vocabulary),
        "nextn.enorm": (embedding,), "nextn.hnorm": (embedding,), "nextn.shared_head_head": (embedding, vocabulary),
        "nextn.shared_head_norm": (embedding,),
    }  # fmt: skip
    said = numbers(
        embedding=embedding, feed_forward=feed_forward, heads=heads, kv_heads=kv_heads, vocabulary=vocabulary,
        context=context, head=head,
    )  # fmt: skip
    keys = {
        **said, "expert_count": count, "expert_used_count": 8, "expert_feed_forward_length": inner,
        "expert_shared_count": 1, "leading_dense_block_count": dense, "expert_gating_func": 2,
        "expert_weights_scale": 2.5, "expert_weights_norm": True, "nextn_predict_layers": 1, "rope.dimension_count": 64,
    }  # fmt: skip
    return model(
        name, "glm4moe", source, keys=keys, top=ends(embedding, vocabulary), layers=parts, type=type
    )  # fmt: skip


MIXTRAL_8X7B = mixture(
    "Mixtral-8x7B-Q4_K", "llama", "huggingface.co/mistralai/Mixtral-8x7B-v0.1 config.json", layers=32, embedding=4096,
    feed_forward=14336, heads=32, kv_heads=8, head=128, vocabulary=32000, context=32768, inner=14336, count=8, used=2,
)  # fmt: skip
QWEN3_30B_A3B = mixture(
    "Qwen3-30B-A3B-Q4_K", "qwen3moe", "huggingface.co/Qwen/Qwen3-30B-A3B config.json", layers=48, embedding=2048,
    feed_forward=6144, heads=32, kv_heads=4, head=128, vocabulary=151936, context=40960, inner=768, count=128, used=8,
    norms=True,
)  # fmt: skip
QWEN3_235B_A22B = mixture(
    "Qwen3-235B-A22B-Q4_K", "qwen3moe", "huggingface.co/Qwen/Qwen3-235B-A22B config.json", layers=94, embedding=4096,
    feed_forward=12288, heads=64, kv_heads=4, head=128, vocabulary=151936, context=40960, inner=1536, count=128, used=8,
    norms=True,
)  # fmt: skip
QWEN3_CODER_480B = mixture(
    "Qwen3-Coder-480B-A35B-Q4_K", "qwen3moe", "huggingface.co/Qwen/Qwen3-Coder-480B-A35B-Instruct config.json",
    layers=62, embedding=6144, feed_forward=8192, heads=96, kv_heads=8, head=128, vocabulary=151936, context=262144,
    inner=2560, count=160, used=8, norms=True,
)  # fmt: skip
GLM_45_AIR = glm4moe(
    "GLM-4.5-Air-Q8_0", "huggingface.co/zai-org/GLM-4.5-Air config.json", layers=46, embedding=4096, feed_forward=10944,
    inner=1408, count=128, dense=1, context=131072, norms=False, type="Q8_0",
)  # fmt: skip
GLM_46 = glm4moe(
    "GLM-4.6-Q4_K", "huggingface.co/zai-org/GLM-4.6 config.json", layers=92, embedding=5120, feed_forward=12288,
    inner=1536, count=160, dense=3, context=202752, norms=True,
)  # fmt: skip
MINIMAX_M2 = mixture(
    "MiniMax-M2-Q4_K", "minimax-m2", "huggingface.co/MiniMaxAI/MiniMax-M2 config.json", layers=62, embedding=3072,
    feed_forward=1536, heads=48, kv_heads=8, head=128, vocabulary=200064, context=196608, inner=1536, count=256, used=8,
    biased=True, more={"attn_q_norm": (6144,), "attn_k_norm": (1024,)},
    keys={"rope.dimension_count": 64, "expert_gating_func": 2},
)  # fmt: skip
ERNIE_45_21B = mixture(
    "ERNIE-4.5-21B-A3B-Q4_0", "ernie4_5-moe", "huggingface.co/baidu/ERNIE-4.5-21B-A3B-PT config.json", layers=28,
    embedding=2560, feed_forward=12288, heads=20, kv_heads=4, head=128, vocabulary=103424, context=131072, inner=1536,
    count=64, used=6, shared=3072, dense=1, biased=True, tied=True, type="Q4_0",
    keys={"expert_shared_count": 2, "expert_shared_feed_forward_length": 3072, "interleave_moe_layer_step": 1},
)  # fmt: skip
HUNYUAN_A13B = mixture(
    "Hunyuan-A13B-Q4_K", "hunyuan-moe", "huggingface.co/tencent/Hunyuan-A13B-Instruct config.json", layers=32,
    embedding=4096, feed_forward=3072, heads=32, kv_heads=8, head=128, vocabulary=128167, context=262144, inner=3072,
    count=64, used=8, shared=3072, norms=True, tied=True, keys={"expert_shared_feed_forward_length": 3072},
)  # fmt: skip
DOTS1 = mixture(
    "dots.llm1-Q4_0", "dots1", "huggingface.co/rednote-hilab/dots.llm1.inst config.json", layers=62, embedding=4096,
    feed_forward=10944, heads=32, kv_heads=32, head=128, vocabulary=152064, context=32768, inner=1408, count=128, used=6,
    shared=2816, dense=1, norms=True, biased=True, type="Q4_0",
    keys={"expert_shared_count": 2, "expert_weights_scale": 2.5, "expert_weights_norm": True, "expert_gating_func": 2},
)  # fmt: skip
GRANITE_MOE_3B = mixture(
    "granite-3.1-3b-a800m-Q8_0", "granitemoe", "huggingface.co/ibm-granite/granite-3.1-3b-a800m-instruct config.json",
    layers=32, embedding=1536, feed_forward=512, heads=24, kv_heads=8, head=64, vocabulary=49155, context=131072,
    inner=512, count=40, used=8, tied=True, type="Q8_0",
    keys={"attention.scale": 0.015625, "embedding_scale": 12.0, "residual_scale": 0.22, "logit_scale": 6.0},
)  # fmt: skip
OLMOE_7B = mixture(
    "OLMoE-1B-7B-Q8_0", "olmoe", "huggingface.co/allenai/OLMoE-1B-7B-0924 config.json", layers=16, embedding=2048,
    feed_forward=1024, heads=16, kv_heads=16, head=128, vocabulary=50304, context=4096, inner=1024, count=64, used=8,
    type="Q8_0", more={"attn_q_norm": (2048,), "attn_k_norm": (2048,)},
)  # fmt: skip
QWEN2_57B_A14B = mixture(
    "Qwen2-57B-A14B-Q8_0", "qwen2moe", "huggingface.co/Qwen/Qwen2-57B-A14B config.json", layers=28, embedding=3584,
    feed_forward=18944, heads=28, kv_heads=4, head=128, vocabulary=151936, context=131072, inner=2560, count=64, used=8,
    shared=20480, biases=True, type="Q8_0", more={"ffn_gate_inp_shexp": (3584,)},
    keys={"expert_shared_feed_forward_length": 20480},
)  # fmt: skip

MODELS: tuple[Known, ...] = (
    MIXTRAL_8X7B, QWEN3_30B_A3B, QWEN3_235B_A22B, QWEN3_CODER_480B, GLM_45_AIR, GLM_46, MINIMAX_M2, ERNIE_45_21B,
    HUNYUAN_A13B, DOTS1, GRANITE_MOE_3B, OLMOE_7B, QWEN2_57B_A14B,
)  # fmt: skip
