"""What each layer keeps, from the configurations that models are released with, compared with transformers' own reading."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from tests.safetensors_maker import LLAMA

from ultralab.kernel.errors import FileDamaged
from ultralab.models.formats.config import config_of
from ultralab.models.formats.config_layers.defaults import DEFAULTS
from ultralab.planner.types import AttentionLayers, CacheLayers, Experts, RecurrentLayers

A = AttentionLayers
R = RecurrentLayers

# Each model's public config.json, the keys that matter.
RELEASED: Mapping[str, tuple[dict[str, Any], tuple[CacheLayers, ...]]] = {
    "meta-llama/Llama-3.1-8B": (
        {"model_type": "llama", "num_hidden_layers": 32, "hidden_size": 4096, "num_attention_heads": 32, "num_key_value_heads": 8},
        (A(32, 32, 8, 128, 128),),
    ),
    "mistralai/Mistral-7B-v0.1": (
        {"model_type": "mistral", "num_hidden_layers": 32, "hidden_size": 4096, "num_attention_heads": 32, "num_key_value_heads": 8, "sliding_window": 4096},
        (A(32, 32, 8, 128, 128, 4096),),
    ),
    "mistralai/Mistral-7B-Instruct-v0.2": (
        {"model_type": "mistral", "num_hidden_layers": 32, "hidden_size": 4096, "num_attention_heads": 32, "num_key_value_heads": 8, "sliding_window": None},
        (A(32, 32, 8, 128, 128),),
    ),
    "Qwen/Qwen2.5-7B-Instruct": (
        {"model_type": "qwen2", "num_hidden_layers": 28, "hidden_size": 3584, "num_attention_heads": 28, "num_key_value_heads": 4,
         "sliding_window": 131072, "use_sliding_window": False, "max_window_layers": 28},
        (A(28, 28, 4, 128, 128),),
    ),
    "google/gemma-2-9b": (
        {"model_type": "gemma2", "num_hidden_layers": 42, "hidden_size": 3584, "num_attention_heads": 16, "num_key_value_heads": 8,
         "head_dim": 256, "sliding_window": 4096},
        (A(21, 16, 8, 256, 256, 4096), A(21, 16, 8, 256, 256)),
    ),
    "google/gemma-3-4b-it": (
        {"model_type": "gemma3", "text_config": {"hidden_size": 2560, "intermediate_size": 10240, "model_type": "gemma3_text",
         "num_hidden_layers": 34, "sliding_window": 1024}, "vision_config": {"num_attention_heads": 16}},
        (A(29, 8, 4, 256, 256, 1024), A(5, 8, 4, 256, 256)),
    ),
    "openai/gpt-oss-20b": (
        {"model_type": "gpt_oss", "num_hidden_layers": 24, "hidden_size": 2880, "num_attention_heads": 64, "num_key_value_heads": 8,
         "head_dim": 64, "sliding_window": 128, "layer_types": ["sliding_attention", "full_attention"] * 12},
        (A(12, 64, 8, 64, 64, 128), A(12, 64, 8, 64, 64)),
    ),
    "CohereForAI/c4ai-command-r7b": (
        {"model_type": "cohere2", "num_hidden_layers": 32, "hidden_size": 4096, "num_attention_heads": 32, "num_key_value_heads": 8,
         "sliding_window": 4096, "sliding_window_pattern": 4},
        (A(24, 32, 8, 128, 128, 4096), A(8, 32, 8, 128, 128)),
    ),
    "LGAI-EXAONE/EXAONE-4.0-32B": (
        {"model_type": "exaone4", "num_hidden_layers": 64, "hidden_size": 5120, "num_attention_heads": 40, "num_key_value_heads": 8,
         "head_dim": 128, "sliding_window": 4096, "sliding_window_pattern": "LLLG"},
        (A(48, 40, 8, 128, 128, 4096), A(16, 40, 8, 128, 128)),
    ),
    "LGAI-EXAONE/EXAONE-4.0-1.2B": (
        {"model_type": "exaone4", "num_hidden_layers": 30, "hidden_size": 2048, "num_attention_heads": 32, "num_key_value_heads": 8,
         "head_dim": 64, "sliding_window": None, "sliding_window_pattern": None},
        (A(30, 32, 8, 64, 64),),
    ),
    "google/gemma-3n-E4B-it": (
        {"model_type": "gemma3n", "text_config": {"model_type": "gemma3n_text", "num_hidden_layers": 35, "hidden_size": 2048,
         "num_attention_heads": 8, "num_key_value_heads": 2, "head_dim": 256, "sliding_window": 512, "num_kv_shared_layers": 15}},
        (A(16, 8, 2, 256, 256, 512), A(4, 8, 2, 256, 256)),
    ),
    "meta-llama/Llama-4-Scout": (
        {"model_type": "llama4", "text_config": {"model_type": "llama4_text", "num_hidden_layers": 48, "hidden_size": 5120,
         "num_attention_heads": 40, "num_key_value_heads": 8, "head_dim": 128, "attention_chunk_size": 8192, "no_rope_layers": []}},
        (A(36, 40, 8, 128, 128, 8192), A(12, 40, 8, 128, 128)),
    ),
    "deepseek-ai/DeepSeek-V3": (
        {"model_type": "deepseek_v3", "num_hidden_layers": 61, "hidden_size": 7168, "num_attention_heads": 128, "num_key_value_heads": 128,
         "kv_lora_rank": 512, "qk_rope_head_dim": 64, "qk_nope_head_dim": 128, "v_head_dim": 128},
        (A(61, 128, 1, 576, 0, latent=512),),
    ),
    "deepseek-ai/DeepSeek-V3.2": (
        {"model_type": "deepseek_v32", "num_hidden_layers": 61, "hidden_size": 7168, "num_attention_heads": 128, "num_key_value_heads": 128,
         "kv_lora_rank": 512, "qk_rope_head_dim": 64, "qk_nope_head_dim": 128, "v_head_dim": 128, "index_head_dim": 128,
         "index_n_heads": 64, "index_topk": 2048},
        (A(61, 128, 1, 576, 0, latent=512), A(61, 64, 1, 128, 0)),
    ),
    "zai-org/GLM-5": (
        {"model_type": "glm_moe_dsa", "num_hidden_layers": 78, "hidden_size": 6144, "num_attention_heads": 64,
         "num_key_value_heads": 64, "kv_lora_rank": 512, "qk_rope_head_dim": 64, "qk_nope_head_dim": 192, "v_head_dim": 256,
         "index_head_dim": 128, "index_n_heads": 32, "index_topk": 2048},
        (A(78, 64, 1, 576, 0, latent=512), A(78, 32, 1, 128, 0)),
    ),
    "zai-org/GLM-5.2, a small one": (
        {"model_type": "glm_moe_dsa", "num_hidden_layers": 8, "hidden_size": 6144, "num_attention_heads": 64,
         "num_key_value_heads": 64, "kv_lora_rank": 512, "qk_rope_head_dim": 64, "qk_nope_head_dim": 192, "v_head_dim": 256,
         "indexer_types": ["full", "full", "full", "shared", "shared", "shared", "full", "shared"]},
        (A(8, 64, 1, 576, 0, latent=512), A(4, 32, 1, 128, 0)),
    ),
    "zai-org/GLM-4.6": (
        {"model_type": "glm4_moe", "num_hidden_layers": 92, "hidden_size": 5120, "num_attention_heads": 96, "num_key_value_heads": 8,
         "head_dim": 128, "num_nextn_predict_layers": 1},
        (A(92, 96, 8, 128, 128),),
    ),
    "state-spaces/mamba-2.8b-hf": (
        {"model_type": "mamba", "num_hidden_layers": 64, "hidden_size": 2560, "intermediate_size": 5120, "state_size": 16, "conv_kernel": 4},
        (R(64, 3 * 5120, 5120 * 16, 5120),),
    ),
    "mistralai/Mamba-Codestral-7B-v0.1": (
        {"model_type": "mamba2", "num_hidden_layers": 64, "hidden_size": 4096, "num_heads": 128, "head_dim": 64, "state_size": 128,
         "conv_kernel": 4, "n_groups": 8, "expand": 2},
        (R(64, 3 * (8192 + 2 * 8 * 128), 8192 * 128, 8192, 8, 128),),
    ),
    "ai21labs/AI21-Jamba-1.5-Mini": (
        {"model_type": "jamba", "num_hidden_layers": 32, "hidden_size": 4096, "num_attention_heads": 32, "num_key_value_heads": 8,
         "attn_layer_period": 8, "attn_layer_offset": 4, "mamba_d_conv": 4, "mamba_d_state": 16, "mamba_expand": 2},
        (A(4, 32, 8, 128, 128), R(28, 3 * 8192, 8192 * 16, 8192)),
    ),
    "Qwen/Qwen3-Next-80B-A3B": (
        {"model_type": "qwen3_next", "num_hidden_layers": 48, "hidden_size": 2048, "num_attention_heads": 16, "num_key_value_heads": 2,
         "head_dim": 256, "full_attention_interval": 4, "linear_conv_kernel_dim": 4, "linear_key_head_dim": 128,
         "linear_value_head_dim": 128, "linear_num_key_heads": 16, "linear_num_value_heads": 32},
        (A(12, 16, 2, 256, 256), R(36, 3 * 8192, 4096 * 128, 4096, 16, 32)),
    ),
    "tiiuae/Falcon-H1-34B": (
        {"model_type": "falcon_h1", "num_hidden_layers": 72, "hidden_size": 5120, "num_attention_heads": 20, "num_key_value_heads": 4,
         "head_dim": 128, "mamba_d_ssm": 4096, "mamba_n_heads": 32, "mamba_d_head": 128, "mamba_d_state": 256, "mamba_d_conv": 4,
         "mamba_n_groups": 2},
        (A(72, 20, 4, 128, 128), R(72, 3 * (4096 + 1024), 4096 * 256, 4096, 2, 32)),
    ),
    "ibm-granite/granite-4.0-h-small": (
        {"model_type": "granitemoehybrid", "num_hidden_layers": 40, "hidden_size": 4096, "num_attention_heads": 32,
         "num_key_value_heads": 8, "layer_types": (["mamba"] * 9 + ["attention"]) * 4, "mamba_d_conv": 4, "mamba_d_head": 64,
         "mamba_d_state": 128, "mamba_expand": 2, "mamba_n_groups": 1, "mamba_n_heads": 128},
        (A(4, 32, 8, 128, 128), R(36, 3 * (8192 + 256), 8192 * 128, 8192, 1, 128)),
    ),
    "nvidia/Nemotron-H, a small one": (
        {"model_type": "nemotron_h", "num_hidden_layers": 4, "hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2,
         "head_dim": 16, "hybrid_override_pattern": "M-*M", "mamba_num_heads": 8, "mamba_head_dim": 16, "ssm_state_size": 16,
         "conv_kernel": 4, "n_groups": 2},
        (A(1, 4, 2, 16, 16), R(2, 3 * (128 + 64), 128 * 16, 128, 2, 8)),
    ),
    "LiquidAI/LFM2-1.2B": (
        {"model_type": "lfm2", "num_hidden_layers": 16, "hidden_size": 2048, "num_attention_heads": 32, "num_key_value_heads": 8,
         "conv_L_cache": 3, "full_attn_idxs": [2, 5, 8, 10, 12, 14]},
        (A(6, 32, 8, 64, 64), R(10, 2 * 2048, 0, 2048)),
    ),
    "moonshotai/Kimi-Linear-48B-A3B": (
        {"model_type": "kimi_linear", "num_hidden_layers": 27, "hidden_size": 2304, "num_attention_heads": 32, "num_key_value_heads": 32,
         "kv_lora_rank": 512, "qk_rope_head_dim": 64, "qk_nope_head_dim": 128, "v_head_dim": 128,
         "linear_attn_config": {"full_attn_layers": [4, 8, 12, 16, 20, 24, 27], "head_dim": 128, "num_heads": 32, "short_conv_kernel_size": 4}},
        (A(7, 32, 1, 576, 0, latent=512), R(20, 9 * 4096, 4096 * 128, 4096, 32, 32)),
    ),
    "apple/OpenELM, its heads differ": (
        {"model_type": "openelm", "num_transformer_layers": 3, "model_dim": 1280, "head_dim": 64, "num_query_heads": [12, 12, 16],
         "num_kv_heads": [3, 3, 4]},
        (A(2, 12, 3, 64, 64), A(1, 16, 4, 64, 64)),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", RELEASED)
def test_what_released_models_keep(name: str) -> None:
    said, groups = RELEASED[name]
    assert config_of(said, "x").cache == groups


WINDOWS = ("gemma2", "gemma3_text", "gpt_oss", "cohere2", "olmo3", "exaone4", "ministral", "gemma4_text", "qwen2", "qwen3",
           "smollm3", "llama4_text", "qwen3_next", "qwen3_5_text")  # fmt: skip


@pytest.mark.parametrize("kind", WINDOWS)
def test_layers_are_told_apart_as_transformers_does(kind: str) -> None:
    pytest.importorskip("transformers")
    from transformers import AutoConfig

    changes: dict[str, Any] = {"num_hidden_layers": 13, "sliding_window": 64}
    if kind in {"qwen2", "qwen3"}:
        changes |= {"use_sliding_window": True, "max_window_layers": 5}
    if kind == "llama4_text":
        changes = {"num_hidden_layers": 12, "attention_chunk_size": 64}
    theirs = AutoConfig.for_model(kind, **changes)
    said: dict[str, Any] = {**json.loads(theirs.to_json_string(use_diff=False)), **changes}
    kinds = list(theirs.layer_types)
    for listed in ({}, {"layer_types": kinds}):
        ours = {key: value for key, value in said.items() if key not in {"layer_types", "no_rope_layers"}}
        found = config_of({**ours, **listed}, "x").cache
        if kind == "gemma4_text" and not listed:
            continue  # transformers looks at everything in its last layer whatever the pattern says
        assert found is not None
        attention = {group.window: group.count for group in found if isinstance(group, AttentionLayers)}
        assert attention.get(0, 0) == kinds.count("full_attention")
        assert attention.get(64, 0) == kinds.count("sliding_attention") + kinds.count("chunked_attention")
        states = sum(group.count for group in found if isinstance(group, RecurrentLayers))
        assert states == kinds.count("linear_attention")


@pytest.mark.parametrize("kind", sorted(set(DEFAULTS) - {"gemma3", "gemma4_text"}))  # these it keeps elsewhere
def test_defaults_are_those_of_transformers(kind: str) -> None:
    pytest.importorskip("transformers")
    from transformers import AutoConfig

    theirs = AutoConfig.for_model(kind)
    different = {
        name: (value, getattr(theirs, name))
        for name, value in DEFAULTS[kind].items()
        if hasattr(theirs, name) and getattr(theirs, name) not in (value, None)
    }
    assert not different


@pytest.mark.parametrize(
    "changes",
    [
        {"model_type": "nobody"},
        {"kv_lora_rank": 512},
        {"sliding_window": 64, "model_type": "olmo"},
        {"model_type": "qwen2", "layer_types": ["full_attention", "sliding_attention"]},
        {"model_type": "gemma2", "sliding_window": 0},
        {"model_type": "qwen2", "layer_types": ["full_attention", "something_new"]},
        {"model_type": "deepseek_v3", "index_topk": 2048},
        {"model_type": "llama", "linear_attn_config": {"a": 1}},
        {"model_type": "nemotron_h", "hybrid_override_pattern": "M?"},
        {"model_type": "kimi_linear", "linear_attn_config": 7},
        {"model_type": "mamba2", "num_heads": 0},
        {"num_hidden_layers": 0},
    ],
)
def test_what_is_not_known_is_unknown(changes: dict[str, object]) -> None:
    assert config_of({**LLAMA, **changes}, "x").cache is None


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"num_key_value_heads": 8}, "8 heads with keys and values for 4 that ask"),
        ({"num_key_value_heads": [2, 8]}, "8 heads with keys and values for 4 that ask"),
        ({"num_key_value_heads": [2]}, "num_key_value_heads has 1 entries for 2 layers"),
        ({"layer_types": ["full_attention"]}, "layer_types has 1 entries for 2 layers"),
        ({"model_type": "nemotron_h", "hybrid_override_pattern": "M*-"}, "hybrid_override_pattern has 3 entries for 2 layers"),
        ({"num_experts": 4, "num_experts_per_tok": 8}, "it uses 8 of 4 experts"),
        ({"num_hidden_layers": 5000}, "num_hidden_layers is 5000"),
        ({"head_dim": -1}, "head_dim is '-1'"),
        ({"sliding_window": 2**31, "model_type": "gemma2"}, "sliding_window is '2147483648'"),
    ],
)  # fmt: skip
def test_contradictions_name_both_numbers(changes: dict[str, object], said: str) -> None:
    with pytest.raises(FileDamaged) as caught:
        config_of({**LLAMA, **changes}, "x")
    assert said in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize(
    ("said", "experts"),
    [
        ({"model_type": "deepseek_v3", "num_hidden_layers": 61, "n_routed_experts": 256, "num_experts_per_tok": 8, "moe_intermediate_size": 2048,
          "n_shared_experts": 1, "first_k_dense_replace": 3}, Experts(256, 8, 2048, 2048, 58)),
        ({"model_type": "qwen3_moe", "num_hidden_layers": 48, "num_experts": 128, "num_experts_per_tok": 8, "moe_intermediate_size": 768,
          "intermediate_size": 6144, "decoder_sparse_step": 1, "mlp_only_layers": []}, Experts(128, 8, 768, 0, 48)),
        ({"model_type": "gpt_oss", "num_hidden_layers": 24, "num_local_experts": 32, "num_experts_per_tok": 4, "intermediate_size": 2880},
         Experts(32, 4, 2880, 0, 24)),
        ({"model_type": "qwen3_next", "num_hidden_layers": 48, "num_experts": 512, "num_experts_per_tok": 10, "moe_intermediate_size": 512,
          "shared_expert_intermediate_size": 512}, Experts(512, 10, 512, 512, 48)),
        ({"model_type": "jamba", "num_hidden_layers": 32, "num_experts": 16, "num_experts_per_tok": 2, "intermediate_size": 14336,
          "expert_layer_period": 2, "expert_layer_offset": 1}, Experts(16, 2, 14336, 0, 16)),
        ({"model_type": "llama", "num_hidden_layers": 2}, None),
        ({"model_type": "granitemoehybrid", "num_hidden_layers": 2, "num_local_experts": 0, "num_experts_per_tok": 0}, None),
    ],
)  # fmt: skip
def test_experts(said: dict[str, object], experts: Experts | None) -> None:
    assert config_of(said, "x").routing == experts


def test_heads_before_they_are_compressed() -> None:
    found = config_of(RELEASED["deepseek-ai/DeepSeek-V3"][0], "x")
    assert (found.head_dim, found.value_dim, found.kv_heads) == (192, 128, 128)
