"""The tensors of models that everybody knows, by their configurations: names and shapes as published, nothing else.

Sources: the config.json of each repository, and the modules of transformers that name their weights
(``modeling_deepseek_v3``, ``modeling_qwen3_moe``, ``modeling_llama``); for GGUF the names of llama.cpp's ``llama-arch``.
Headers alone are made: a file of these has the right length, and no bytes behind its header (sparse).
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.gguf_maker import ARR, STR, U32, Tensor, gguf_bytes, small_keys
from tests.safetensors_maker import Shapes, header_of, size_of, write_json

DEEPSEEK_V3: dict[str, object] = {
    "architectures": ["DeepseekV3ForCausalLM"], "model_type": "deepseek_v3", "hidden_size": 7168, "num_hidden_layers": 61,
    "num_attention_heads": 128, "num_key_value_heads": 128, "intermediate_size": 18432, "moe_intermediate_size": 2048,
    "n_routed_experts": 256, "num_experts_per_tok": 8, "n_shared_experts": 1, "first_k_dense_replace": 3,
    "num_nextn_predict_layers": 1, "q_lora_rank": 1536, "kv_lora_rank": 512, "qk_nope_head_dim": 128,
    "qk_rope_head_dim": 64, "v_head_dim": 128, "vocab_size": 129280, "max_position_embeddings": 163840,
    "torch_dtype": "bfloat16", "tie_word_embeddings": False,
    "rope_scaling": {"type": "yarn", "factor": 40, "original_max_position_embeddings": 4096},
    "quantization_config": {
        "quant_method": "fp8", "fmt": "e4m3", "activation_scheme": "dynamic", "weight_block_size": [128, 128],
    },
}  # fmt: skip
QWEN3_30B: dict[str, object] = {
    "architectures": ["Qwen3MoeForCausalLM"], "model_type": "qwen3_moe", "hidden_size": 2048, "num_hidden_layers": 48,
    "num_attention_heads": 32, "num_key_value_heads": 4, "head_dim": 128, "intermediate_size": 6144,
    "moe_intermediate_size": 768, "num_experts": 128, "num_experts_per_tok": 8, "vocab_size": 151936,
    "max_position_embeddings": 40960, "torch_dtype": "bfloat16", "tie_word_embeddings": False,
}  # fmt: skip


def deepseek_v3(*, predicting: bool = True) -> Shapes:
    """FP8 as published: blocks of 128 × 128 share a scale. ``predicting``: with the layer that predicts a second token."""
    found: dict[str, tuple[str, Sequence[int]]] = {
        "model.embed_tokens.weight": ("BF16", (129280, 7168)),
        "model.norm.weight": ("BF16", (7168,)),
        "lm_head.weight": ("BF16", (129280, 7168)),
    }

    def packed(name: str, outputs: int, inputs: int) -> None:
        found[f"{name}.weight"] = ("F8_E4M3", (outputs, inputs))
        found[f"{name}.weight_scale_inv"] = ("F32", (-(-outputs // 128), -(-inputs // 128)))

    def gated(name: str, inner: int) -> None:
        packed(f"{name}.gate_proj", inner, 7168)
        packed(f"{name}.up_proj", inner, 7168)
        packed(f"{name}.down_proj", 7168, inner)

    for layer in range(62 if predicting else 61):
        at = f"model.layers.{layer}"
        packed(f"{at}.self_attn.q_a_proj", 1536, 7168)
        packed(f"{at}.self_attn.q_b_proj", 128 * 192, 1536)
        packed(f"{at}.self_attn.kv_a_proj_with_mqa", 576, 7168)
        packed(f"{at}.self_attn.kv_b_proj", 128 * 256, 512)
        packed(f"{at}.self_attn.o_proj", 7168, 128 * 128)
        for name, size in (
            ("self_attn.q_a_layernorm", 1536),
            ("self_attn.kv_a_layernorm", 512),
            ("input_layernorm", 7168),
            ("post_attention_layernorm", 7168),
        ):
            found[f"{at}.{name}.weight"] = ("BF16", (size,))
        if layer < 3:
            gated(f"{at}.mlp", 18432)
            continue
        found[f"{at}.mlp.gate.weight"] = ("BF16", (256, 7168))
        found[f"{at}.mlp.gate.e_score_correction_bias"] = ("F32", (256,))
        gated(f"{at}.mlp.shared_experts", 2048)
        for expert in range(256):
            gated(f"{at}.mlp.experts.{expert}", 2048)
        if layer == 61:
            packed(f"{at}.eh_proj", 7168, 14336)
            found[f"{at}.embed_tokens.weight"] = ("BF16", (129280, 7168))
            found[f"{at}.shared_head.head.weight"] = ("BF16", (129280, 7168))
            for name in ("enorm", "hnorm", "shared_head.norm"):
                found[f"{at}.{name}.weight"] = ("BF16", (7168,))
    return found


def qwen3_30b() -> Shapes:
    """BF16, an expert's matrices each by itself."""
    found: dict[str, tuple[str, Sequence[int]]] = {
        "model.embed_tokens.weight": ("BF16", (151936, 2048)),
        "model.norm.weight": ("BF16", (2048,)),
        "lm_head.weight": ("BF16", (151936, 2048)),
    }
    for layer in range(48):
        at = f"model.layers.{layer}"
        shapes = {
            "self_attn.q_proj": (4096, 2048), "self_attn.k_proj": (512, 2048), "self_attn.v_proj": (512, 2048),
            "self_attn.o_proj": (2048, 4096), "self_attn.q_norm": (128,), "self_attn.k_norm": (128,),
            "input_layernorm": (2048,), "post_attention_layernorm": (2048,), "mlp.gate": (128, 2048),
        }  # fmt: skip
        for expert in range(128):
            shapes |= {
                f"mlp.experts.{expert}.gate_proj": (768, 2048),
                f"mlp.experts.{expert}.up_proj": (768, 2048),
                f"mlp.experts.{expert}.down_proj": (2048, 768),
            }
        found |= {f"{at}.{name}.weight": ("BF16", shape) for name, shape in shapes.items()}
    return found


def sparse(folder: Path, tensors: Shapes, config: Mapping[str, object]) -> Path:
    """A folder with one SafeTensors file whose weights take no disk."""
    folder.mkdir(parents=True, exist_ok=True)
    header = json.dumps(header_of(tensors, {"format": "pt"}), separators=(",", ":")).encode()
    with (folder / "model.safetensors").open("wb") as stream:
        stream.write(struct.pack("<Q", len(header)) + header)
        stream.truncate(8 + len(header) + sum(size_of(dtype, shape) for dtype, shape in tensors.values()))
    write_json(folder / "config.json", config)
    return folder


def qwen3_30b_gguf(path: Path) -> Path:
    """The same model in F16 as llama.cpp's converter names it: an expert's matrices stacked."""
    keys = small_keys(
        general__architecture=(STR, "qwen3moe"),
        **{
            f"qwen3moe__{name}": (U32, value)
            for name, value in {
                "block_count": 48, "context_length": 40960, "embedding_length": 2048, "feed_forward_length": 6144,
                "attention__head_count": 32, "attention__head_count_kv": 4, "attention__key_length": 128,
                "attention__value_length": 128, "expert_count": 128, "expert_used_count": 8,
            }.items()
        },
        tokenizer__ggml__tokens=(ARR, (STR, ["a"] * 151936)),
    )  # fmt: skip
    tensors = [
        Tensor("token_embd.weight", (2048, 151936), "F16"),
        Tensor("output.weight", (2048, 151936), "F16"),
        Tensor("output_norm.weight", (2048,)),
    ]
    for layer in range(48):
        tensors += [
            Tensor(f"blk.{layer}.{name}.weight", shape, "F16" if len(shape) > 1 else "F32")
            for name, shape in {
                "attn_q": (2048, 4096), "attn_k": (2048, 512), "attn_v": (2048, 512), "attn_output": (4096, 2048),
                "attn_q_norm": (128,), "attn_k_norm": (128,), "attn_norm": (2048,), "ffn_norm": (2048,),
                "ffn_gate_inp": (2048, 128), "ffn_gate_exps": (2048, 768, 128), "ffn_up_exps": (2048, 768, 128),
                "ffn_down_exps": (768, 2048, 128),
            }.items()
        ]  # fmt: skip
    with path.open("wb") as stream:
        stream.write(gguf_bytes(keys, tensors, with_data=False))
        stream.truncate(stream.tell() + sum(tensor.size for tensor in tensors))
    return path
