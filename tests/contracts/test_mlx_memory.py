"""The planner's MLX caches against mlx-lm's own, on MLX's CPU build: tiny random models made from configurations."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from ultralab.kernel.errors import Unsupported
from ultralab.models.formats.config import config_of
from ultralab.models.formats.shaped import model_shape
from ultralab.planner.mlx import mlx_cache, mlx_memory
from ultralab.planner.types import Demand, ModelShape

mx = pytest.importorskip("mlx.core")
pytestmark = pytest.mark.slow  # a framework test: half a minute of random models

BASE: Mapping[str, object] = {
    "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 64,
    "intermediate_size": 96, "vocab_size": 128, "rms_norm_eps": 1e-5, "rope_theta": 1e4,
    "max_position_embeddings": 4096, "tie_word_embeddings": False,
}  # fmt: skip
ROUTED: Mapping[str, object] = {"num_experts_per_tok": 1, "moe_intermediate_size": 32}
LATENT: Mapping[str, object] = {
    **ROUTED, "kv_lora_rank": 32, "q_lora_rank": 32, "qk_rope_head_dim": 16, "v_head_dim": 16, "qk_nope_head_dim": 16,
    "n_routed_experts": 2, "n_shared_experts": 1, "n_group": 1, "topk_group": 1, "first_k_dense_replace": 1,
}  # fmt: skip
MAMBA2: Mapping[str, object] = {
    "mamba_n_heads": 8, "mamba_d_head": 16, "mamba_d_state": 16, "mamba_d_conv": 4, "mamba_n_groups": 1,
    "mamba_expand": 2, "mamba_proj_bias": False, "mamba_conv_bias": True,
}  # fmt: skip
CONFIGS: Mapping[str, Mapping[str, object]] = {
    "llama": {},
    "mistral": {"sliding_window": 512},
    "gemma2": {"sliding_window": 512, "query_pre_attn_scalar": 16},
    "gemma3": {
        "text_config": {
            **BASE, "model_type": "gemma3_text", "num_hidden_layers": 3, "sliding_window": 300,
            "sliding_window_pattern": 3, "query_pre_attn_scalar": 16,
        },
    },
    "cohere2": {"sliding_window": 300, "sliding_window_pattern": 2, "logit_scale": 1.0, "hidden_size": 256},
    "gpt_oss": {
        **ROUTED, "sliding_window": 128, "num_local_experts": 2, "rope_scaling": None,
        "layer_types": ["sliding_attention", "full_attention"],
    },
    "deepseek_v3": LATENT,
    "deepseek_v2": {
        **LATENT, "rope_scaling": {"type": "yarn", "factor": 1, "original_max_position_embeddings": 4096, "mscale_all_dim": 0},
    },
    "mamba": {"state_size": 8, "conv_kernel": 4, "intermediate_size": 128, "time_step_rank": 4, "use_bias": False, "use_conv_bias": True},
    "mamba2": {
        "num_heads": 8, "head_dim": 16, "state_size": 16, "conv_kernel": 4, "n_groups": 2, "use_bias": False, "chunk_size": 64,
        "use_conv_bias": True, "layer_norm_epsilon": 1e-5, "time_step_limit": [0.0, 100.0], "time_step_rank": "auto",
    },
    "jamba": {
        **ROUTED, "attn_layer_offset": 1, "attn_layer_period": 2, "expert_layer_offset": 1, "expert_layer_period": 2,
        "mamba_d_conv": 4, "mamba_d_state": 8, "mamba_dt_rank": 4, "mamba_expand": 2, "num_experts": 2,
        "mamba_proj_bias": False, "mamba_conv_bias": True, "head_dim": None,
    },
    "qwen3_next": {
        **ROUTED, "linear_num_value_heads": 4, "linear_num_key_heads": 2, "linear_key_head_dim": 32, "num_experts": 2,
        "linear_value_head_dim": 32, "linear_conv_kernel_dim": 4, "decoder_sparse_step": 1, "mlp_only_layers": [],
        "shared_expert_intermediate_size": 32, "full_attention_interval": 2, "partial_rotary_factor": 0.5,
        "norm_topk_prob": True,
    },
    "falcon_h1": {**MAMBA2, "mamba_d_ssm": 128, "attention_in_multiplier": 1.0, "ssm_in_multiplier": 1.0, "key_multiplier": 1.0},
    "granitemoehybrid": {
        **MAMBA2, "layer_types": ["mamba", "attention"], "embedding_multiplier": 1.0, "attention_multiplier": 1.0,
        "logits_scaling": 1.0, "residual_multiplier": 1.0, "attention_bias": False, "num_local_experts": 2,
        "num_experts_per_tok": 1, "shared_intermediate_size": 32, "position_embedding_type": "nope", "head_dim": None,
    },
    "nemotron_h": {
        "mamba_num_heads": 8, "mamba_head_dim": 16, "ssm_state_size": 16, "conv_kernel": 4, "n_groups": 2,
        "hybrid_override_pattern": "M*-M", "num_hidden_layers": 4, "time_step_limit": [0.0, 100.0], "mlp_bias": False,
        "mamba_proj_bias": False, "attention_bias": False, "use_bias": False, "use_conv_bias": True,
        "layer_norm_epsilon": 1e-5, "mamba_hidden_act": "silu",
    },
    "lfm2": {
        "conv_L_cache": 3, "conv_bias": False, "norm_eps": 1e-5, "block_dim": 64, "block_ff_dim": 96, "head_dim": None,
        "block_multiple_of": 16, "block_ffn_dim_multiplier": 1.0, "block_auto_adjust_ff_dim": True,
        "layer_types": ["conv", "full_attention"],
    },
}  # fmt: skip
LENGTHS = (2, 256, 257, 300, 513, 700)
SOME = (2, 257, 450)


def config(name: str) -> dict[str, object]:
    return {key: value for key, value in {**BASE, **CONFIGS[name], "model_type": name}.items() if value is not None}


def shape_of(said: dict[str, object]) -> ModelShape:
    return model_shape(config_of(said, "x"), 0, 0, 0)


def random_model(said: dict[str, object], dtype: Any) -> Any:
    from mlx.utils import tree_map
    from mlx_lm.utils import MODEL_REMAPPING

    kind = str(said["model_type"])
    module = importlib.import_module(f"mlx_lm.models.{MODEL_REMAPPING.get(kind, kind)}")
    model = module.Model(module.ModelArgs.from_dict(said))
    model.update(tree_map(lambda one: one.astype(dtype), model.parameters()))
    mx.eval(model.parameters())
    return model


def generated(model: Any, prompt: int, more: int = 0, chunk: int = 256, **options: Any) -> tuple[Any, Iterator[Any]]:
    """A cache that is filled by a prompt of that many tokens, and the generator that goes on."""
    from mlx_lm.generate import generate_step
    from mlx_lm.models.cache import make_prompt_cache

    cache = make_prompt_cache(model)
    steps = generate_step(
        mx.zeros((prompt,), mx.int32), model, max_tokens=more, prompt_cache=cache, prefill_step_size=chunk, **options
    )
    return cache, steps


@pytest.mark.parametrize("name", CONFIGS)
def test_a_full_cache_takes_what_the_planner_says(name: str) -> None:
    said = config(name)
    half = name in {
        "llama",
        "gemma3",
        "mamba",
        "mamba2",
        "falcon_h1",
        "nemotron_h",
        "lfm2",
    }  # mixtures need float32 here
    model = random_model(said, mx.bfloat16 if half else mx.float32)
    shape = shape_of(said)
    for length in LENGTHS if name in {"llama", "gemma3"} else SOME:
        cache, steps = generated(model, length)
        list(steps)
        took = sum(each.nbytes for each in cache)
        assert mlx_cache(shape, Demand(length), element=2 if half else 4).bytes == took, length


def test_it_grows_by_256_while_it_generates() -> None:
    model = random_model(config("llama"), mx.bfloat16)
    cache, steps = generated(model, 250, more=12)
    sizes = [sum(each.nbytes for each in cache) for _step in steps]
    at = [mlx_cache(shape_of(config("llama")), Demand(length)).bytes for length in (256, 257)]
    assert sorted(set(sizes)) == at


@pytest.mark.parametrize(("kind", "bits"), [("q8_0", 8), ("q4_0", 4)])
def test_a_quantized_cache(kind: str, bits: int) -> None:
    said = config("llama")
    model, shape = random_model(said, mx.bfloat16), shape_of(said)
    for length in (300, 513):
        cache, steps = generated(model, length, kv_bits=bits, quantized_kv_start=0)
        list(steps)
        took = sum(each.nbytes for each in cache)
        assert mlx_cache(shape, Demand(length, key_type=kind, value_type=kind)).bytes == took


@pytest.mark.parametrize("name", ["gemma3", "deepseek_v3", "gpt_oss"])
def test_what_mlx_lm_cannot_quantize_is_refused(name: str) -> None:
    said = config(name)
    with pytest.raises(Unsupported, match="cannot quantize"):
        mlx_cache(shape_of(said), Demand(600, key_type="q8_0", value_type="q8_0"))
    _cache, steps = generated(random_model(said, mx.float32), 600, kv_bits=8, quantized_kv_start=0)
    with pytest.raises((NotImplementedError, ValueError, AttributeError, TypeError)):
        list(steps)


@pytest.mark.parametrize("name", ["llama", "gemma3", "deepseek_v3", "qwen3_next", "mamba2"])
def test_the_peak_lies_in_the_band(name: str) -> None:
    said = {**config(name), "num_hidden_layers": 4}
    said["intermediate_size"], said["hidden_size"] = 1024, 256
    if isinstance(text := said.get("text_config"), dict):
        said["text_config"] = {**text, "hidden_size": 256, "intermediate_size": 1024}
    model = random_model(said, mx.float32)
    mx.clear_cache()
    before = mx.get_active_memory()
    mx.reset_peak_memory()
    _cache, steps = generated(model, 641, chunk=320)
    list(steps)
    peak = mx.get_peak_memory() - before
    plan = mlx_memory(shape_of(said), Demand(641), element=4, chunk=320, fused=False)
    low, high = (plan.kv_cache.bytes + plan.compute.bytes * (1 + sign * plan.compute.error_band) for sign in (-1, 1))
    assert low <= peak <= high, (peak, plan.kv_cache.bytes, plan.compute.bytes)


def test_a_batch_takes_as_much_for_each_sequence() -> None:
    from mlx_lm.models.cache import BatchKVCache

    shape = replace(shape_of(config("llama")), layers=1)
    assert shape.cache is not None
    cache: Any = BatchKVCache([0, 0, 0])
    cache.update_and_fetch(*(mx.zeros((3, 2, 300, 64), mx.bfloat16) for _each in range(2)))
    assert mlx_cache(shape, Demand(300, sequences=3)).bytes == 2 * cache.nbytes
