"""MLX, GPTQ and AWQ directories; and that every bundle is recognised by one format at most."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.gguf_maker import small_model
from tests.safetensors_maker import LLAMA, SMALL, directory, write_json

from ultralab.kernel.errors import FileDamaged, Unsupported
from ultralab.models.bundles import from_path
from ultralab.models.formats import awq, gguf, gptq, mlx, safetensors
from ultralab.models.formats.base import ModelHeader

FORMATS = (gguf.FORMAT, safetensors.FORMAT, mlx.FORMAT, gptq.FORMAT, awq.FORMAT)
EMBEDDING = {"model.embed_tokens.weight": ("F16", (100, 64))}
LAYER = "model.layers.0.mlp.up_proj"


def header_of(place: Path, name: str) -> ModelHeader:
    bundle = from_path(place)
    recognised = [form for form in FORMATS if form.recognises(bundle)]
    assert [form.name for form in recognised] == [name]
    return recognised[0].read_header(bundle)


CONVERT = """
import json, sys
from pathlib import Path
import mlx.core as mx
import mlx_lm
from tokenizers import Tokenizer, models
source = Path(sys.argv[1])
source.mkdir()
config = {"model_type": "llama", "num_hidden_layers": 1, "hidden_size": 64, "num_attention_heads": 4,
          "num_key_value_heads": 2, "intermediate_size": 128, "vocab_size": 256, "max_position_embeddings": 512,
          "rms_norm_eps": 1e-5, "torch_dtype": "float16", "tie_word_embeddings": False}
(source / "config.json").write_text(json.dumps(config))
layer = {"self_attn.q_proj": (64, 64), "self_attn.k_proj": (32, 64), "self_attn.v_proj": (32, 64),
         "self_attn.o_proj": (64, 64), "mlp.gate_proj": (128, 64), "mlp.up_proj": (128, 64), "mlp.down_proj": (64, 128),
         "input_layernorm": (64,), "post_attention_layernorm": (64,)}
shapes = {"model.embed_tokens": (256, 64), "lm_head": (256, 64), "model.norm": (64,)}
shapes |= {"model.layers.0." + name: shape for name, shape in layer.items()}
weights = {name + ".weight": mx.zeros(shape, mx.float16) for name, shape in shapes.items()}
mx.save_safetensors(str(source / "model.safetensors"), weights, metadata={"format": "pt"})
Tokenizer(models.BPE({chr(at + 33): at for at in range(90)}, [])).save(str(source / "tokenizer.json"))
(source / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast"}))
mlx_lm.convert(str(source), sys.argv[2], quantize=True, q_bits=4, q_group_size=32)
mlx_lm.convert(str(source), sys.argv[3], quantize=False)
"""


def test_what_mlx_lm_converts(tmp_path: Path) -> None:
    source, packed, plain = tmp_path / "hf", tmp_path / "packed", tmp_path / "plain"
    done = subprocess.run(
        [sys.executable, "-c", CONVERT, source, packed, plain], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    original = header_of(source, "safetensors")
    header = header_of(packed, "mlx")
    said = json.loads((packed / "model.safetensors.index.json").read_text())["metadata"]
    assert header.shape.parameters == original.shape.parameters == said["total_parameters"]
    assert header.shape.weight_bytes == said["total_size"]
    assert header.quantization == "MLX 4-bit g32"
    assert f"{header.bits_per_weight:.3f} bits per weight" in done.stdout + done.stderr
    assert (header.tokenizer, header.dtype, header.shape.cache is not None) == ("BPE", "F16", True)
    unpacked = header_of(plain, "mlx")
    assert (unpacked.quantization, unpacked.shape.parameters) == ("F16", original.shape.parameters)


def mlx_layer(name: str, rows: int, columns: int, bits: int, group: int) -> dict[str, tuple[str, tuple[int, ...]]]:
    return {
        f"{name}.weight": ("U32", (rows, columns * bits // 32)),
        f"{name}.scales": ("F16", (rows, columns // group)),
        f"{name}.biases": ("F16", (rows, columns // group)),
    }


def mlx_config(**more: object) -> dict[str, object]:
    return {**LLAMA, "quantization": {"group_size": 64, "bits": 4, **more}}


def test_mlx_with_layers_of_their_own(tmp_path: Path) -> None:
    tensors = {
        **mlx_layer(LAYER, 96, 64, 4, 64),
        **mlx_layer("lm_head", 100, 64, 6, 32),
        "model.norm.weight": ("F16", (64,)),
        "model.layers.0.self_attn.q_proj.bias": ("F16", (64,)),
    }
    folder = directory(tmp_path, tensors, mlx_config(lm_head={"group_size": 32, "bits": 6}), format="mlx")
    header = header_of(folder, "mlx")
    assert header.shape.parameters == 96 * 64 + 100 * 64 + 128
    assert header.tensor_types == {"6-bit g32": 100 * 64 * 6 // 8 + 800, "4-bit g64": 96 * 64 // 2 + 384, "F16": 256}
    assert header.quantization == "MLX 4-bit g64"


def test_mlx_experts_are_stacked(tmp_path: Path) -> None:
    name = "model.layers.0.mlp.switch_mlp.up_proj"
    tensors: dict[str, tuple[str, tuple[int, ...]]] = {
        f"{name}.weight": ("U32", (8, 16, 8)), f"{name}.scales": ("F16", (8, 16, 1)), f"{name}.biases": ("F16", (8, 16, 1)),
        "model.norm.weight": ("F16", (64,)),
    }  # fmt: skip
    header = header_of(
        directory(tmp_path, tensors, {**mlx_config(), "num_experts": 8, "num_experts_per_tok": 2}), "mlx"
    )
    assert (header.shape.parameters, header.active_parameters) == (8 * 16 * 64 + 64, 2 * 16 * 64 + 64)


@pytest.mark.parametrize(
    "change",
    [
        {"bits": 8},
        {"group_size": 32},
        {"bits": 7},
        {"bits": "4"},
        {"group_size": 0},
        {LAYER: {"bits": 2, "group_size": 64}},
    ],
)
def test_mlx_tensors_that_do_not_fit_the_configuration(tmp_path: Path, change: dict[str, object]) -> None:
    folder = directory(tmp_path, mlx_layer(LAYER, 96, 64, 4, 64), mlx_config(**change))
    with pytest.raises(FileDamaged):
        header_of(folder, "mlx")


def gptq_layer(inputs: int, outputs: int, bits: int, group: int) -> dict[str, tuple[str, tuple[int, ...]]]:
    return {
        f"{LAYER}.qweight": ("I32", (inputs * bits // 32, outputs)),
        f"{LAYER}.qzeros": ("I32", (inputs // group, outputs * bits // 32)),
        f"{LAYER}.scales": ("F16", (inputs // group, outputs)),
        f"{LAYER}.g_idx": ("I32", (inputs,)),
    }


def quantized(method: str, bits: object = 4, group: object = 128, **more: object) -> dict[str, object]:
    return {**LLAMA, "quantization_config": {"quant_method": method, "bits": bits, "group_size": group, **more}}


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_gptq(tmp_path: Path, bits: int) -> None:
    folder = directory(
        tmp_path, {**EMBEDDING, **gptq_layer(256, 96, bits, 128)}, quantized("gptq", bits, desc_act=True)
    )
    header = header_of(folder, "gptq")
    assert header.quantization == f"GPTQ {bits}-bit g128"
    assert header.shape.parameters == 6400 + 256 * 96
    packed = 256 * 96 * bits // 8 + 2 * 96 * bits // 8 + 2 * 96 * 2 + 256 * 4
    assert header.tensor_types == {"F16": 12_800, f"{bits}-bit g128": packed}
    assert header.bits_per_weight == 8 * (12_800 + packed) / header.shape.parameters


def test_gptq_by_autogptqs_own_file(tmp_path: Path) -> None:
    folder = directory(tmp_path, {**EMBEDDING, **gptq_layer(128, 64, 4, 32)})
    write_json(folder / "quantize_config.json", {"bits": 4, "group_size": 32, "desc_act": False})
    header = header_of(folder, "gptq")
    assert (header.quantization, header.shape.parameters) == ("GPTQ 4-bit g32", 6400 + 128 * 64)
    assert "quantize_config.json" in header.files


def awq_layer(inputs: int, outputs: int, group: int) -> dict[str, tuple[str, tuple[int, ...]]]:
    return {
        f"{LAYER}.qweight": ("I32", (inputs, outputs // 8)),
        f"{LAYER}.qzeros": ("I32", (inputs // group, outputs // 8)),
        f"{LAYER}.scales": ("F16", (inputs // group, outputs)),
    }


def test_awq(tmp_path: Path) -> None:
    tensors = {**EMBEDDING, **awq_layer(256, 96, 128)}
    header = header_of(directory(tmp_path / "a", tensors, quantized("awq", version="gemm", zero_point=True)), "awq")
    assert (header.quantization, header.shape.parameters) == ("AWQ 4-bit g128", 6400 + 256 * 96)
    own = directory(tmp_path / "b", tensors)
    write_json(own / "quant_config.json", {"zero_point": True, "q_group_size": 128, "w_bit": 4, "version": "GEMM"})
    assert header_of(own, "awq").quantization == "AWQ 4-bit g128"


@pytest.mark.parametrize(
    ("form", "part", "shape"),
    [
        ("gptq", "qweight", ("I32", (32, 97))), ("gptq", "qzeros", ("I32", (1, 12))), ("gptq", "scales", ("F16", (2, 95))),
        ("gptq", "g_idx", ("I32", (255,))), ("gptq", "qweight", ("F16", (32, 96))), ("gptq", "qzeros", ("I32", (2, 0))),
        ("awq", "qweight", ("I32", (255, 13))), ("awq", "scales", ("F16", (0, 96))), ("awq", "qzeros", ("I32", (24,))),
    ],
)  # fmt: skip
def test_packed_tensors_that_do_not_fit_together(tmp_path: Path, form: str, part: str, shape: Any) -> None:
    layer = gptq_layer(256, 96, 4, 128) if form == "gptq" else awq_layer(256, 96, 128)
    folder = directory(tmp_path, {**layer, f"{LAYER}.{part}": shape}, quantized(form))
    with pytest.raises(FileDamaged, match="up_proj are not"):
        header_of(folder, form)


@pytest.mark.parametrize(("bits", "group"), [(16, 128), ("4", 128), (None, 128), (4, 0), (4, "x"), (True, 128)])
def test_absurd_settings_are_damage(tmp_path: Path, bits: object, group: object) -> None:
    with pytest.raises(FileDamaged, match="its quantization says"):
        header_of(directory(tmp_path, gptq_layer(256, 96, 4, 128), quantized("gptq", bits, group)), "gptq")


def test_another_layout_of_awq_is_not_called_damaged(tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match="gemv"):
        header_of(directory(tmp_path, awq_layer(256, 96, 128), quantized("awq", version="gemv")), "awq")


def test_another_method_is_plain_safetensors(tmp_path: Path) -> None:
    header = header_of(
        directory(
            tmp_path, {"a.weight": ("F8_E4M3", (8, 8))}, {**LLAMA, "quantization_config": {"quant_method": "fp8"}}
        ),
        "safetensors",
    )
    assert header.quantization == "F8_E4M3"


def test_gguf_beside_safetensors_and_what_is_no_model(tmp_path: Path) -> None:
    both = directory(tmp_path / "both")
    (both / "m.gguf").write_bytes(small_model())
    assert header_of(both, "safetensors").files[0] == "model.safetensors"
    (tmp_path / "gguf").mkdir()
    (tmp_path / "gguf" / "m.gguf").write_bytes(small_model())
    assert header_of(tmp_path / "gguf", "gguf").entry == "m.gguf"
    for name, content in {"a.safetensors": b"PK\x03\x04" * 9, "b.safetensors": b"", "c.txt": b"hello"}.items():
        (tmp_path / name).write_bytes(content)
        assert not any(form.recognises(from_path(tmp_path / name)) for form in FORMATS)


def test_a_bad_config_does_not_hide_what_it_is(tmp_path: Path) -> None:
    directory(tmp_path, SMALL)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(FileDamaged, match=r"config\.json"):
        header_of(tmp_path, "safetensors")
