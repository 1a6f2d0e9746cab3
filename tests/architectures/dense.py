"""Dense models with grouped-query attention over the whole context."""

from __future__ import annotations

from tests.architectures.base import Known, tensor
from tests.gguf_maker import Tensor


def llama(
    name: str, source: str, *, layers: int, embedding: int, feed_forward: int, heads: int, kv_heads: int,
    vocabulary: int, context: int, type: str, head: int = 0,
) -> Known:  # fmt: skip
    """Llama 2, 3, Mistral 7B and the like. Names and shapes: llama.cpp's loader of ``LLM_ARCH_LLAMA``."""
    width = head or embedding // heads
    tensors: list[Tensor] = [
        tensor("token_embd", embedding, vocabulary, type=type),
        tensor("output_norm", embedding, type=type),
        tensor("output", embedding, vocabulary, type=type),
    ]
    for layer in range(layers):
        shapes = {
            "attn_norm": (embedding,), "attn_q": (embedding, heads * width), "attn_k": (embedding, kv_heads * width),
            "attn_v": (embedding, kv_heads * width), "attn_output": (heads * width, embedding),
            "ffn_norm": (embedding,), "ffn_gate": (embedding, feed_forward), "ffn_up": (embedding, feed_forward),
            "ffn_down": (feed_forward, embedding),
        }  # fmt: skip
        tensors += [tensor(f"blk.{layer}.{part}", *sides, type=type) for part, sides in shapes.items()]
    keys = {
        "block_count": layers, "context_length": context, "embedding_length": embedding,
        "feed_forward_length": feed_forward, "attention.head_count": heads, "attention.head_count_kv": kv_heads,
        "attention.layer_norm_rms_epsilon": 1e-5, "rope.dimension_count": width, "vocab_size": vocabulary,
    }  # fmt: skip
    return Known(name, "llama", keys, tensors, source)


LLAMA_31_8B = llama(
    "Llama-3.1-8B-Q8_0", "huggingface.co/meta-llama/Llama-3.1-8B config.json", layers=32, embedding=4096,
    feed_forward=14336, heads=32, kv_heads=8, vocabulary=128256, context=131072, type="Q8_0",
)  # fmt: skip
