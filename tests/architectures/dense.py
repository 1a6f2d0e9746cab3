"""Dense models with grouped-query attention over the whole context, and the builder that windows and mixtures use too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from tests.architectures.base import Known, Value
from tests.gguf_maker import Tensor

Shapes = Mapping[str, tuple[int, ...]]
"""Names without ``.weight``; what ends in ``.bias`` or ``.scale`` is a name already."""


def model(
    name: str, architecture: str, source: str, *, keys: Mapping[str, Value], top: Shapes, layers: Sequence[Shapes],
    type: str, routed: str = "",  # noqa: A002 - the field's word
) -> Known:  # fmt: skip
    """A header of these tensors: matrices in ``type``, stacked experts in ``routed``, what has one row in F32."""
    tensors = [_tensor(part, sides, type, routed) for part, sides in top.items()]
    for number, parts in enumerate(layers):
        tensors += [_tensor(f"blk.{number}.{part}", sides, type, routed) for part, sides in parts.items()]
    return Known(name, architecture, {"block_count": len(layers), **keys}, tensors, source)


def _tensor(name: str, sides: tuple[int, ...], type: str, routed: str) -> Tensor:  # noqa: A002 - the field's word
    """Converters keep routers, biases and whatever has one row in F32."""
    plain = len(sides) == 1 or name.endswith((".bias", ".scale", "ffn_gate_inp")) or "altup" in name
    kind = "F32" if plain else routed if routed and name.endswith("_exps") else type
    return Tensor(name if name.endswith((".bias", ".scale")) else f"{name}.weight", sides, kind)


def attention(
    embedding: int, heads: int, kv_heads: int, head: int, *, norms: bool = False, biases: bool = False
) -> Shapes:
    """Projections; ``norms`` of each head's queries and keys; ``biases`` of queries, keys and values."""
    shapes = {
        "attn_norm": (embedding,), "attn_q": (embedding, heads * head), "attn_k": (embedding, kv_heads * head),
        "attn_v": (embedding, kv_heads * head), "attn_output": (heads * head, embedding),
    }  # fmt: skip
    if norms:
        shapes |= {"attn_q_norm": (head,), "attn_k_norm": (head,)}
    if biases:
        shapes |= {"attn_q.bias": (heads * head,), "attn_k.bias": (kv_heads * head,), "attn_v.bias": (kv_heads * head,)}
    return shapes


def gated(embedding: int, feed_forward: int) -> Shapes:
    """A feed-forward network with a gate, and its norm."""
    return {
        "ffn_norm": (embedding,), "ffn_gate": (embedding, feed_forward), "ffn_up": (embedding, feed_forward),
        "ffn_down": (feed_forward, embedding),
    }  # fmt: skip


def ends(embedding: int, vocabulary: int, *, tied: bool = False) -> Shapes:
    """The embedding, the last norm and, unless ``tied``, the output matrix."""
    shapes: dict[str, tuple[int, ...]] = {"token_embd": (embedding, vocabulary), "output_norm": (embedding,)}
    return shapes if tied else {**shapes, "output": (embedding, vocabulary)}


def numbers(
    *, embedding: int, feed_forward: int, heads: int, kv_heads: int, vocabulary: int, context: int, head: int = 0,
    epsilon: str = "attention.layer_norm_rms_epsilon",
) -> dict[str, Value]:  # fmt: skip
    """The keys that every model has; ``head`` where it is not the embedding's share."""
    keys: dict[str, Value] = {
        "context_length": context, "embedding_length": embedding, "feed_forward_length": feed_forward,
        "attention.head_count": heads, "attention.head_count_kv": kv_heads, epsilon: 1e-5,
        "rope.dimension_count": head or embedding // heads, "vocab_size": vocabulary,
    }  # fmt: skip
    if head:
        keys |= {"attention.key_length": head, "attention.value_length": head}
    return keys


def plain(
    name: str, architecture: str, source: str, *, layers: int, embedding: int, feed_forward: int, heads: int,
    kv_heads: int, vocabulary: int, context: int, type: str, head: int = 0, tied: bool = False, norms: bool = False,  # noqa: A002 - the field's word
    biases: bool = False, keys: Mapping[str, Value] | None = None, more: Shapes | None = None,
) -> Known:  # fmt: skip
    """A model of like layers: attention, gated feed-forward. Names and shapes: llama.cpp's loader of the architecture."""
    parts = {
        **attention(embedding, heads, kv_heads, head or embedding // heads, norms=norms, biases=biases),
        **gated(embedding, feed_forward),
        **(more or {}),
    }
    said = numbers(
        embedding=embedding, feed_forward=feed_forward, heads=heads, kv_heads=kv_heads, vocabulary=vocabulary,
        context=context, head=head,
    )  # fmt: skip
    return model(
        name, architecture, source, keys={**said, **(keys or {})}, top=ends(embedding, vocabulary, tied=tied),
        layers=[parts] * layers, type=type,
    )  # fmt: skip


def llama(
    name: str, source: str, *, layers: int, embedding: int, feed_forward: int, heads: int, kv_heads: int,
    vocabulary: int, context: int, type: str, head: int = 0,  # noqa: A002 - the field's word
) -> Known:  # fmt: skip
    """Llama 2, 3, Mistral and the like (``LLM_ARCH_LLAMA``)."""
    return plain(
        name, "llama", source, layers=layers, embedding=embedding, feed_forward=feed_forward, heads=heads,
        kv_heads=kv_heads, vocabulary=vocabulary, context=context, type=type, head=head,
    )  # fmt: skip


def renamed(known: Known, old: str, new: str) -> Known:
    """The same model where an architecture calls a layer's part by another name."""
    return replace(
        known, tensors=[replace(one, name=one.name.replace(f".{old}.", f".{new}.")) for one in known.tensors]
    )


LLAMA_31_8B = llama(
    "Llama-3.1-8B-Q8_0", "huggingface.co/meta-llama/Llama-3.1-8B config.json", layers=32, embedding=4096,
    feed_forward=14336, heads=32, kv_heads=8, vocabulary=128256, context=131072, type="Q8_0",
)  # fmt: skip
LLAMA_31_70B = llama(
    "Llama-3.1-70B-Q4_K", "huggingface.co/meta-llama/Llama-3.1-70B config.json", layers=80, embedding=8192,
    feed_forward=28672, heads=64, kv_heads=8, vocabulary=128256, context=131072, type="Q4_K",
)  # fmt: skip
LLAMA_31_405B = llama(
    "Llama-3.1-405B-Q4_K", "huggingface.co/meta-llama/Llama-3.1-405B config.json", layers=126, embedding=16384,
    feed_forward=53248, heads=128, kv_heads=8, vocabulary=128256, context=131072, type="Q4_K",
)  # fmt: skip
MISTRAL_7B = llama(
    "Mistral-7B-v0.3-Q4_0", "huggingface.co/mistralai/Mistral-7B-v0.3 config.json", layers=32, embedding=4096,
    feed_forward=14336, heads=32, kv_heads=8, vocabulary=32768, context=32768, type="Q4_0",
)  # fmt: skip
MISTRAL_LARGE = llama(
    "Mistral-Large-2407-Q4_K", "huggingface.co/mistralai/Mistral-Large-Instruct-2407 config.json", layers=88,
    embedding=12288, feed_forward=28672, heads=96, kv_heads=8, vocabulary=32768, context=131072, type="Q4_K", head=128,
)  # fmt: skip
QWEN25_7B = plain(
    "Qwen2.5-7B-Q8_0", "qwen2", "huggingface.co/Qwen/Qwen2.5-7B config.json", layers=28, embedding=3584,
    feed_forward=18944, heads=28, kv_heads=4, vocabulary=152064, context=131072, type="Q8_0", biases=True,
)  # fmt: skip
QWEN25_72B = plain(
    "Qwen2.5-72B-Q4_0", "qwen2", "huggingface.co/Qwen/Qwen2.5-72B config.json", layers=80, embedding=8192,
    feed_forward=29568, heads=64, kv_heads=8, vocabulary=152064, context=131072, type="Q4_0", biases=True,
)  # fmt: skip
QWEN3_06B = plain(
    "Qwen3-0.6B-Q8_0", "qwen3", "huggingface.co/Qwen/Qwen3-0.6B config.json", layers=28, embedding=1024,
    feed_forward=3072, heads=16, kv_heads=8, vocabulary=151936, context=40960, type="Q8_0", head=128, tied=True,
    norms=True,
)  # fmt: skip
QWEN3_32B = plain(
    "Qwen3-32B-Q4_K", "qwen3", "huggingface.co/Qwen/Qwen3-32B config.json", layers=64, embedding=5120,
    feed_forward=25600, heads=64, kv_heads=8, vocabulary=151936, context=40960, type="Q4_K", head=128, norms=True,
)  # fmt: skip
SMOLLM3_3B = plain(
    "SmolLM3-3B-Q8_0", "smollm3", "huggingface.co/HuggingFaceTB/SmolLM3-3B config.json", layers=36, embedding=2048,
    feed_forward=11008, heads=16, kv_heads=4, vocabulary=128256, context=65536, type="Q8_0", tied=True,
)  # fmt: skip
GRANITE_33_8B = plain(
    "granite-3.3-8b-Q8_0", "granite", "huggingface.co/ibm-granite/granite-3.3-8b-instruct config.json", layers=40,
    embedding=4096, feed_forward=12800, heads=32, kv_heads=8, vocabulary=49159, context=131072, type="Q8_0", tied=True,
    keys={"attention.scale": 0.0078125, "embedding_scale": 12.0, "residual_scale": 0.22, "logit_scale": 16.0},
)  # fmt: skip
GEMMA_7B = plain(
    "gemma-7b-Q8_0", "gemma", "huggingface.co/google/gemma-7b config.json", layers=28, embedding=3072,
    feed_forward=24576, heads=16, kv_heads=16, vocabulary=256000, context=8192, type="Q8_0", head=256, tied=True,
)  # fmt: skip
SEED_OSS_36B = renamed(plain(
    "Seed-OSS-36B-Q4_K", "seed_oss", "huggingface.co/ByteDance-Seed/Seed-OSS-36B-Instruct config.json", layers=64,
    embedding=5120, feed_forward=27648, heads=80, kv_heads=8, vocabulary=155136, context=524288, type="Q4_K", head=128,
    biases=True,
), "ffn_norm", "post_attention_norm")  # fmt: skip

MODELS: tuple[Known, ...] = (
    LLAMA_31_8B, LLAMA_31_70B, LLAMA_31_405B, MISTRAL_7B, MISTRAL_LARGE, QWEN25_7B, QWEN25_72B, QWEN3_06B, QWEN3_32B,
    SMOLLM3_3B, GRANITE_33_8B, GEMMA_7B, SEED_OSS_36B,
)  # fmt: skip
