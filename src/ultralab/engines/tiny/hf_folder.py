"""The tiny model as a Hugging Face folder, which ``transformers`` and MLX load alike.

Source of the fields: ``LlamaConfig`` of transformers and ``ModelArgs`` of ``mlx_lm.models.llama``; Hugging Face
``tokenizers`` for ``tokenizer.json``.
"""

from __future__ import annotations

import json
from pathlib import Path

from safetensors.numpy import save

from ultralab.engines.tiny.shape import SHAPE, Shape
from ultralab.engines.tiny.vocabulary import BEGIN, END_OF_TEXT, END_OF_TURN, SPECIAL, TEMPLATE, merges, tokens
from ultralab.engines.tiny.weights import SEED, weights
from ultralab.system import files


def write_hf(folder: Path, shape: Shape = SHAPE, seed: int = SEED) -> Path:
    """Write the model in F16 into a folder, which is made. Raises FileAccess, DiskFull."""
    with files.explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
    described = {
        "config.json": _config(shape),
        "generation_config.json": {"bos_token_id": BEGIN, "eos_token_id": [END_OF_TURN, END_OF_TEXT]},
        "tokenizer.json": _tokenizer(),
        "tokenizer_config.json": _tokenizer_config(shape),
    }
    for name, content in described.items():
        files.write(folder / name, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    files.write(folder / "model.safetensors", save(weights(shape, seed), {"format": "pt"}))
    return folder


def _config(shape: Shape) -> dict[str, object]:
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": len(tokens()),
        "num_hidden_layers": shape.layers,
        "hidden_size": shape.hidden,
        "intermediate_size": shape.inner,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "head_dim": shape.head,
        "max_position_embeddings": shape.context,
        "rms_norm_eps": shape.eps,
        "rope_theta": shape.theta,
        "hidden_act": "silu",
        "tie_word_embeddings": False,
        "attention_bias": False,
        "mlp_bias": False,
        "bos_token_id": BEGIN,
        "eos_token_id": END_OF_TURN,
        "torch_dtype": "float16",
    }


def _tokenizer_config(shape: Shape) -> dict[str, object]:
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": SPECIAL[BEGIN],
        "eos_token": SPECIAL[END_OF_TURN],
        "pad_token": SPECIAL[END_OF_TEXT],
        "model_max_length": shape.context,
        "clean_up_tokenization_spaces": False,
        "chat_template": TEMPLATE,
    }


def _tokenizer() -> dict[str, object]:
    begin = {"SpecialToken": {"id": SPECIAL[BEGIN], "type_id": 0}}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": number, "content": token, **plain} for number, token in enumerate(SPECIAL)],
        "normalizer": None,
        "pre_tokenizer": byte_level,
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [begin, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [begin, {"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
            "special_tokens": {
                SPECIAL[BEGIN]: {"id": SPECIAL[BEGIN], "ids": [BEGIN], "tokens": [SPECIAL[BEGIN]]},
            },
        },
        "decoder": byte_level,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": {token: number for number, token in enumerate(tokens())},
            "merges": [list(pair) for pair in merges()],
        },
    }
