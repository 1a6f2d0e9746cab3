"""Models that everybody knows, and every way in which SafeTensors hold less than they mean: parameters come out as published."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.known_models import DEEPSEEK_V3, QWEN3_30B, deepseek_v3, qwen3_30b, qwen3_30b_gguf, sparse
from tests.safetensors_maker import LLAMA, SMALL, Shapes, directory

from ultralab.models.bundles import from_path
from ultralab.models.formats import gguf, safetensors
from ultralab.models.formats.base import ModelHeader
from ultralab.planner.types import AttentionLayers

MLA = (AttentionLayers(61, 128, 1, 576, 0, latent=512),)


def read(folder: Path) -> ModelHeader:
    return safetensors.FORMAT.read_header(from_path(folder))


@pytest.mark.parametrize("predicting", [True, False])
def test_deepseek_v3_in_fp8(tmp_path: Path, *, predicting: bool) -> None:
    header = read(sparse(tmp_path, deepseek_v3(predicting=predicting), DEEPSEEK_V3))
    assert header.shape.parameters == 671_026_419_200  # "671B total parameters", the layer that predicts left out
    assert header.active_parameters == pytest.approx(37e9, rel=0.02)  # "37B activated"; with both embeddings 37.55
    assert (header.experts, header.experts_used, header.shape.trained_context) == (256, 8, 163_840)
    assert (header.quantization, header.dtype, header.shape.cache) == ("F8_E4M3", "BF16", MLA)
    assert header.bits_per_weight == pytest.approx(8.03, abs=0.02)
    assert header.shape.weight_bytes == sum(header.tensor_types.values())
    assert header.shape.weight_bytes == pytest.approx(688.6e9 if predicting else 673.2e9, rel=0.001)
    assert header.shape.bytes_per_token == pytest.approx(37.55e9, rel=0.01)  # 8 bits each, but a row of the embedding


def test_qwen3_30b_a3b_is_the_same_in_both_formats(tmp_path: Path) -> None:
    one = read(sparse(tmp_path / "hf", qwen3_30b(), QWEN3_30B))
    other = gguf.FORMAT.read_header(from_path(qwen3_30b_gguf(tmp_path / "q.gguf")))
    for header in (one, other):
        assert header.shape.parameters == 30_532_122_624  # "30.5B"
        assert header.active_parameters == 3_353_032_704  # "3.3B"
        assert (header.experts, header.experts_used, header.shape.layers) == (128, 8, 48)
        assert (header.shape.heads, header.shape.kv_heads, header.shape.key_dim) == (32, 4, 128)
        assert header.shape.trained_context == 40_960


EMBEDDING: Shapes = {"model.embed_tokens.weight": ("BF16", (100, 64))}
UP = "model.layers.0.mlp.up_proj"
MEANT = 100 * 64 + 96 * 64
STORED: dict[str, tuple[Shapes, dict[str, object], str]] = {
    "NF4": (
        {
            f"{UP}.weight": ("U8", (96 * 64 // 2, 1)),
            f"{UP}.weight.absmax": ("U8", (96,)),
            f"{UP}.weight.quant_map": ("F32", (16,)),
            f"{UP}.weight.nested_absmax": ("F32", (1,)),
            f"{UP}.weight.nested_quant_map": ("F32", (256,)),
            f"{UP}.weight.quant_state.bitsandbytes__nf4": ("U8", (82,)),
        },
        {"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "nf4"},
        "NF4",
    ),
    "LLM.int8": (
        {f"{UP}.weight": ("I8", (96, 64)), f"{UP}.SCB": ("F32", (96,)), f"{UP}.weight_format": ("U8", ())},
        {"quant_method": "bitsandbytes", "load_in_8bit": True},
        "I8",
    ),
    "pack-quantized": (
        {
            f"{UP}.weight_packed": ("I32", (96, 8)),
            f"{UP}.weight_scale": ("BF16", (96, 2)),
            f"{UP}.weight_shape": ("I64", (2,)),
        },
        {
            "quant_method": "compressed-tensors",
            "format": "pack-quantized",
            "config_groups": {"group_0": {"weights": {"num_bits": 4, "group_size": 32}}},
        },
        "INT4",
    ),
    "nvfp4-pack-quantized": (
        {
            f"{UP}.weight_packed": ("U8", (96, 32)),
            f"{UP}.weight_scale": ("F8_E4M3", (96, 4)),
            f"{UP}.weight_global_scale": ("F32", (1,)),
        },
        {"quant_method": "compressed-tensors", "format": "nvfp4-pack-quantized"},
        "NVFP4",
    ),
    "float-quantized": (
        {f"{UP}.weight": ("F8_E4M3", (96, 64)), f"{UP}.weight_scale": ("BF16", (96, 1))},
        {"quant_method": "compressed-tensors", "format": "float-quantized"},
        "F8_E4M3",
    ),
    "mxfp4": (
        {f"{UP}_blocks": ("U8", (96, 2, 16)), f"{UP}_scales": ("U8", (96, 2))},
        {"quant_method": "mxfp4"},
        "MXFP4",
    ),
}


@pytest.mark.parametrize("name", STORED)
def test_weights_that_are_stored_smaller_than_they_are(tmp_path: Path, name: str) -> None:
    packed, said, label = STORED[name]
    header = read(directory(tmp_path, {**EMBEDDING, **packed}, {**LLAMA, "quantization_config": said}))
    assert header.shape.parameters == MEANT
    assert header.quantization == label
    assert header.bits_per_weight == 8 * header.shape.weight_bytes / MEANT
    assert header.tensor_types["BF16"] == 12_800  # the embedding, and no scale
    assert set(header.tensor_types) == {"BF16", label}


@pytest.mark.parametrize(
    "said",
    [{"quant_method": ["mxfp4"]}, {"quant_method": "compressed-tensors", "config_groups": [7]}, {"format": 3}, {}],
)
def test_a_way_of_storing_that_is_not_known_counts_what_is_there(tmp_path: Path, said: dict[str, object]) -> None:
    assert read(directory(tmp_path, SMALL, {**LLAMA, "quantization_config": said})).shape.parameters == 19_008


def test_tied_embeddings_are_counted_once_and_read_for_every_token(tmp_path: Path) -> None:
    tied = {name: one for name, one in SMALL.items() if name != "lm_head.weight"}
    header = read(directory(tmp_path, tied, {**LLAMA, "tie_word_embeddings": True}))
    assert header.shape.parameters == 100 * 64 + 96 * 64 + 64
    assert header.shape.bytes_per_token == header.shape.weight_bytes


@pytest.mark.parametrize(
    ("config", "context"),
    [
        ({"max_position_embeddings": 32_768, "rope_scaling": {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32_768}}, 131_072),
        ({"max_position_embeddings": 163_840, "rope_scaling": {"type": "yarn", "factor": 40, "original_max_position_embeddings": 4_096}}, 163_840),
        ({"max_position_embeddings": 131_072, "rope_scaling": {"rope_type": "llama3", "factor": 8.0, "original_max_position_embeddings": 8_192}}, 131_072),
        ({"max_position_embeddings": 16_384, "rope_scaling": {"type": "linear", "factor": 4.0}}, 16_384),
        ({"rope_scaling": {"type": "yarn", "factor": 1e300, "original_max_position_embeddings": 9}}, 512),
        ({"rope_scaling": {"type": "yarn", "factor": True, "original_max_position_embeddings": "9"}}, 512),
        ({"max_position_embeddings": None, "text_config": {"max_position_embeddings": 8_192}, "vision_config": {"max_position_embeddings": 77}}, 8_192),
    ],
)  # fmt: skip
def test_the_context(tmp_path: Path, config: dict[str, object], context: int) -> None:
    assert read(directory(tmp_path, SMALL, {**LLAMA, **config})).shape.trained_context == context
