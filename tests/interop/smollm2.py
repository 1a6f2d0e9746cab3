"""SmolLM2 from its Q4_1 GGUF into formats that hold the same numbers: GGUF in F16, and a Hugging Face folder.

Test code, written from the formats' definitions without the product's conversions: it is what they are measured by. Each
weight is unpacked once, rounded to F16 once, and written twice.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGMLQuantizationType, GGUFReader, GGUFValueType, GGUFWriter
from gguf.quants import dequantize
from safetensors.numpy import save_file

Numbers = np.ndarray[Any, np.dtype[Any]]

PARTS = {
    "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj", "attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm",
}  # fmt: skip
PLACES = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
REWRITTEN = ("general.file_type", "general.architecture", "general.quantization_version")
F16_FILE = 1  # llama.h: LLAMA_FTYPE_MOSTLY_F16


def unpacked(source: Path) -> dict[str, Numbers]:
    """The tensors by their GGUF names, float16; norms float32, as is the custom."""
    found = {}
    for tensor in GGUFReader(source).tensors:
        numbers = dequantize(tensor.data, GGMLQuantizationType(tensor.tensor_type))
        found[tensor.name] = numbers.astype(np.float32 if numbers.ndim == 1 else np.float16)
    return found


def keys(source: Path) -> dict[str, Any]:
    """What the file says of itself."""
    return {name: field.contents() for name, field in GGUFReader(source).fields.items()}


def write_f16_gguf(source: Path, to: Path) -> Path:
    """The same header, the same numbers in F16."""
    writer = GGUFWriter(to, "llama")
    for name, field in GGUFReader(source).fields.items():
        if name.startswith("GGUF.") or name in REWRITTEN:
            continue
        inner = field.types[1] if field.types[0] == GGUFValueType.ARRAY else None
        writer.add_key_value(name, field.contents(), field.types[0], inner)
    writer.add_file_type(F16_FILE)
    for name, numbers in unpacked(source).items():
        writer.add_tensor(name, numbers)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return to


def write_hf(source: Path, to: Path, *, turned_back: bool = True) -> Path:
    """A Hugging Face folder: the numbers of the F16 file, written in F32, so that engines compute in F32.

    ``turned_back`` False forgets the order of the heads' rows.
    """
    to.mkdir()
    header = keys(source)
    heads = {"attn_q": header["llama.attention.head_count"], "attn_k": header["llama.attention.head_count_kv"]}
    tensors = {}
    for name, numbers in unpacked(source).items():
        place = name.removesuffix(".weight")
        if place in PLACES:
            tensors[f"{PLACES[place]}.weight"] = numbers.astype(np.float32)
            continue
        _blk, layer, part = place.split(".")
        if part in heads and turned_back:
            kept = numbers.reshape(heads[part], -1, 2, numbers.shape[1]).swapaxes(1, 2).reshape(numbers.shape)
        else:
            kept = numbers
        tensors[f"model.layers.{layer}.{PARTS[part]}.weight"] = np.ascontiguousarray(kept).astype(np.float32)
    save_file(tensors, to / "model.safetensors", {"format": "pt"})
    (to / "config.json").write_text(json.dumps(config(header, tied="lm_head.weight" not in tensors)))
    write_tokenizer(header, to)
    return to


def config(header: dict[str, Any], *, tied: bool) -> dict[str, object]:
    """``config.json`` by the header."""
    return {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "torch_dtype": "float32",
        "vocab_size": header["llama.vocab_size"], "hidden_size": header["llama.embedding_length"],
        "num_hidden_layers": header["llama.block_count"], "intermediate_size": header["llama.feed_forward_length"],
        "num_attention_heads": header["llama.attention.head_count"],
        "num_key_value_heads": header["llama.attention.head_count_kv"],
        "head_dim": header["llama.rope.dimension_count"], "max_position_embeddings": header["llama.context_length"],
        "rms_norm_eps": round(header["llama.attention.layer_norm_rms_epsilon"], 9),
        "rope_theta": header["llama.rope.freq_base"], "tie_word_embeddings": tied, "hidden_act": "silu",
        "attention_bias": False, "mlp_bias": False,
        "bos_token_id": header["tokenizer.ggml.bos_token_id"], "eos_token_id": header["tokenizer.ggml.eos_token_id"],
    }  # fmt: skip


def write_tokenizer(header: dict[str, Any], to: Path) -> None:
    """``tokenizer.json``: byte-level BPE; the pre-tokenizer called ``smollm`` cuts digits one by one, then as GPT-2 does."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    assert header["tokenizer.ggml.pre"] == "smollm"
    words = header["tokenizer.ggml.tokens"]
    merges = [tuple(merge.split(" ")) for merge in header["tokenizer.ggml.merges"]]
    tokenizer = Tokenizer(models.BPE({word: number for number, word in enumerate(words)}, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    control = [word for word, kind in zip(words, header["tokenizer.ggml.token_type"], strict=True) if kind == 3]
    tokenizer.add_special_tokens([AddedToken(word, normalized=False, special=True) for word in control])
    tokenizer.save(str(to / "tokenizer.json"))
    begin, end = (words[header[f"tokenizer.ggml.{which}_token_id"]] for which in ("bos", "eos"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast", "bos_token": begin, "eos_token": end, "unk_token": words[0],
        "clean_up_tokenization_spaces": False, "chat_template": header["tokenizer.chat_template"],
    }  # fmt: skip
    (to / "tokenizer_config.json").write_text(json.dumps(settings))
