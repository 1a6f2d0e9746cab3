"""The tiny model as a GGUF file. Source of the keys: ggml-org/ggml ``docs/gguf.md``; of the rows' order:
``LlamaModel.permute`` of llama.cpp's converter.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from gguf import GGUFWriter, LlamaFileType, TokenType

from ultralab.engines.tiny.shape import SHAPE, Shape
from ultralab.engines.tiny.vocabulary import BEGIN, END_OF_TURN, SPECIAL, TEMPLATE, merges, tokens
from ultralab.engines.tiny.weights import SEED, weights
from ultralab.system import files

if TYPE_CHECKING:
    from numpy.typing import NDArray

_PLACES: Final = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
}
_PARTS: Final = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}


def write_gguf(path: Path, shape: Shape = SHAPE, seed: int = SEED) -> Path:
    """Write the model in F16 (norms, as is the custom, in F32). Raises FileAccess, DiskFull."""
    with files.explained(path):
        writer = GGUFWriter(path, "llama")
        _describe(writer, shape)
        _tokenizer(writer)
        for name, array in weights(shape, seed).items():
            kept = array.astype(np.float32) if array.ndim == 1 else turned(name, array, shape)
            writer.add_tensor(gguf_name(name), np.ascontiguousarray(kept))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
    return path


def gguf_name(name: str) -> str:
    """What GGUF calls a tensor of a Hugging Face checkpoint."""
    name = name.removesuffix(".weight")
    if name in _PLACES:
        return f"{_PLACES[name]}.weight"
    layer, part = name.removeprefix("model.layers.").split(".", 1)
    return f"blk.{layer}.{_PARTS[part]}.weight"


def turned(name: str, array: NDArray[np.float16], shape: Shape) -> NDArray[np.float16]:
    """Rows of queries and keys as llama.cpp rotates them: pairs (2i, 2i + 1) instead of (i, i + half)."""
    heads = {"q_proj": shape.heads, "k_proj": shape.kv_heads}.get(name.removesuffix(".weight").rpartition(".")[2], 0)
    if not heads:
        return array
    return array.reshape(heads, 2, -1, array.shape[1]).swapaxes(1, 2).reshape(array.shape)


def _describe(writer: GGUFWriter, shape: Shape) -> None:
    writer.add_name("ultralab tiny")
    writer.add_file_type(LlamaFileType.MOSTLY_F16)
    writer.add_vocab_size(len(tokens()))
    writer.add_block_count(shape.layers)
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.hidden)
    writer.add_feed_forward_length(shape.inner)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_layer_norm_rms_eps(shape.eps)
    writer.add_rope_freq_base(shape.theta)
    writer.add_rope_dimension_count(shape.head)


def _tokenizer(writer: GGUFWriter) -> None:
    words = tokens()
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(list(words))
    normal = [TokenType.NORMAL] * (len(words) - len(SPECIAL))
    writer.add_token_types([*[TokenType.CONTROL] * len(SPECIAL), *normal])
    writer.add_token_merges([f"{left} {right}" for left, right in merges()])
    writer.add_bos_token_id(BEGIN)
    writer.add_eos_token_id(END_OF_TURN)
    writer.add_add_bos_token(True)
    writer.add_chat_template(TEMPLATE)
