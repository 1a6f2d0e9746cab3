"""What mlx-lm cannot load is refused from small files alone, without importing it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.hf_maker import llama_config

from ultralab.engines import engine
from ultralab.engines.base import LoadOptions, ModelFile
from ultralab.engines.mlx import installed
from ultralab.engines.options import Adapter
from ultralab.engines.types import Launch
from ultralab.planner.types import AttentionLayers, ModelShape

pytest.importorskip("mlx_lm")

SHAPE = ModelShape(
    "llama", 2, 64, 128, 4, 2, 64, 64, 512, 256, 100_000, 400_000, 400_000, cache=(AttentionLayers(2, 4, 2, 64, 64),)
)


def model(folder: Path, **said: object) -> ModelFile:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(llama_config(**said)))  # type: ignore[arg-type]
    return ModelFile(folder, "the model", "safetensors", SHAPE)


def reason(found: ModelFile, **options: Any) -> str:
    problem = engine("mlx").refusal(found, LoadOptions(**options))
    return problem.reason if problem else ""


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({}, ""),
        ({"model_type": "mistral"}, ""),  # by MODEL_REMAPPING
        ({"model_type": "lfm2-vl"}, ""),
        ({"model_type": "bert"}, "does not know the architecture bert"),
        ({"model_type": "cache"}, "does not know"),  # a part that models share
        ({"model_type": "../llama"}, "does not know"),
        ({"model_type": 7}, "does not know"),
        ({"model_file": "own.py"}, "names Python code to run (own.py)"),
        ({"quantization": {"bits": 4, "group_size": 64}}, ""),
        ({"quantization_config": {"quant_method": "mxfp4"}}, ""),
        ({"quantization_config": {"quant_method": "bitsandbytes"}}, "packed as bitsandbytes"),
        ({"quantization_config": {"quant_method": "gptq", "bits": 4}}, "packed as gptq"),
        ({"quantization_config": {"quant_method": "awq", "bits": 4, "group_size": 128}}, ""),
        ({"quantization_config": {"quant_method": "awq", "bits": 4, "version": "gemv"}}, "version gemm"),
        ({"quantization_config": {"quant_method": "awq", "bits": 4, "group_size": -1}}, "groups of 32"),
        ({"quantization_config": {"quant_method": "fp8"}}, "packed as fp8"),
        ({"model_type": "deepseek_v3", "quantization_config": {"quant_method": "fp8"}}, ""),
        ({"quantization_config": {"quant_method": "compressed-tensors", "format": "float-quantized"}}, "packed as"),
        ({"quantization_config": {"quant_method": "compressed-tensors", "format": "pack-quantized"}}, ""),
        ({"text_config": {"quantization_config": {"quant_method": "hqq"}}}, "packed as hqq"),
    ],
)
def test_what_the_configuration_says(tmp_path: Path, said: Mapping[str, object], why: str) -> None:
    found = reason(model(tmp_path, **said))
    assert why in found
    assert bool(why) == bool(found)


@pytest.mark.parametrize("content", [None, b"", b"[1]", b'{"a": ', b"[" * 100_000])
def test_a_configuration_that_cannot_be_read(tmp_path: Path, content: bytes | None) -> None:
    found = model(tmp_path)
    if content is None:
        (tmp_path / "config.json").unlink()
    else:
        (tmp_path / "config.json").write_bytes(content)
    assert "no config.json" in reason(found)


def test_a_file_is_loaded_from_its_folder(tmp_path: Path) -> None:
    found = model(tmp_path)
    assert reason(replace(found, path=tmp_path / "model.safetensors")) == ""


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"key_type": "q8_0", "value_type": "q8_0"}, ""),
        ({"key_type": "q8_0"}, "must be the same"),
        ({"key_type": "q4_0", "value_type": "q4_0", "parallel": 2}, "parallel must be 1"),
        ({"parallel": 4}, ""),
    ],
)
def test_options_that_do_not_go_together(tmp_path: Path, options: Mapping[str, Any], why: str) -> None:
    found = reason(model(tmp_path), **options)
    assert why in found
    assert bool(why) == bool(found)


def test_caches_that_cannot_become_one_batch(tmp_path: Path) -> None:
    assert "with the architecture llama4" in reason(model(tmp_path, model_type="llama4"), parallel=2)
    assert reason(model(tmp_path, model_type="llama4")) == ""


def test_a_cache_that_cannot_be_quantized(tmp_path: Path) -> None:
    narrow = replace(SHAPE, cache=(AttentionLayers(2, 4, 2, 16, 16),))
    found = replace(model(tmp_path), shape=narrow)
    assert "no multiple of 64" in reason(found, key_type="q8_0", value_type="q8_0")


def test_drafts(tmp_path: Path) -> None:
    found = model(tmp_path / "model")
    small = model(tmp_path / "small").path
    assert reason(found, draft=small) == ""
    assert "parallel must be 1" in reason(found, draft=small, parallel=2)
    assert "no config.json" in reason(found, draft=tmp_path)
    assert "vocabulary (9 tokens, not 512)" in reason(found, draft=model(tmp_path / "other", vocab_size=9).path)
    assert "architecture bert" in reason(found, draft=model(tmp_path / "bert", model_type="bert").path)


def test_adapters(tmp_path: Path) -> None:
    found = model(tmp_path / "model")
    folder = tmp_path / "adapter"
    folder.mkdir()
    assert "wants a folder" in reason(found, adapters=(Adapter(folder),))
    (folder / "adapters.safetensors").write_bytes(b"")
    said: dict[str, object] = {"r": 8, "lora_alpha": 16}
    (folder / "adapter_config.json").write_text(json.dumps(said))
    assert "not made by mlx-lm" in reason(found, adapters=(Adapter(folder),))
    said = {"num_layers": 2, "lora_parameters": {"rank": 4, "scale": 10.0}}
    (folder / "adapter_config.json").write_text(json.dumps(said))
    assert reason(found, adapters=(Adapter(folder),)) == ""
    assert "takes one adapter" in reason(found, adapters=(Adapter(folder), Adapter(folder)))
    (folder / "adapter_config.json").write_text(json.dumps({"fine_tune_type": "full"}))
    assert "no scale" in reason(found, adapters=(Adapter(folder, 0.5),))


def test_what_is_known_is_what_mlx_lm_takes() -> None:
    import importlib
    import pkgutil

    import mlx_lm.models
    from mlx_lm.utils import MODEL_REMAPPING

    for kind, name in MODEL_REMAPPING.items():
        assert installed.model_source({"model_type": kind}) == installed.model_source({"model_type": name})
    for kind in ("llama", "qwen3", "gemma3", "mamba2", "gpt_oss", *MODEL_REMAPPING):
        module = importlib.import_module(f"mlx_lm.models.{MODEL_REMAPPING.get(kind, kind)}")
        assert bool(installed.model_source({"model_type": kind})) == hasattr(module, "Model")
    names = [one.name for one in pkgutil.iter_modules(mlx_lm.models.__path__)]
    known = [name for name in names if installed.model_source({"model_type": name})]
    assert len(known) > 90
    assert {"base", "cache", "mla", "rope_utils", "switch_layers", "ssm"} & set(known) == set()
    special = {"model_type": "bailing_hybrid", "architectures": ["BailingMoeV3ForCausalLM"]}
    assert installed.model_source(special) == installed.model_source({"model_type": "bailing_moe_v3"})


def test_nothing_of_mlx_is_imported_for_it(tmp_path: Path) -> None:
    found = model(tmp_path)
    asked = (
        "import sys; from pathlib import Path; from ultralab.planner.types import AttentionLayers, ModelShape;"
        "SHAPE = ModelShape('llama', 2, 64, 128, 4, 2, 64, 64, 512, 256, 1, 4, 4, cache=(AttentionLayers(2, 4, 2, 64, 64),));"
        "from ultralab.engines import engine; from ultralab.engines.base import LoadOptions, ModelFile;"
        "e = engine('mlx'); assert e.availability().ready;"
        f"m = ModelFile(Path({str(found.path)!r}), 't', 'safetensors', SHAPE);"
        "assert e.refusal(m, LoadOptions()) is None; e.plan(SHAPE, LoadOptions()); e.start(m, LoadOptions(), 's');"
        "print([one for one in sys.modules if one.split('.')[0] in ('mlx_lm', 'transformers', 'torch') or one == 'mlx.core'])"
    )
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


def test_the_plan_grows_with_what_is_asked() -> None:
    mlx = engine("mlx")
    plain = mlx.plan(SHAPE, LoadOptions(context=4096))
    assert mlx.plan(SHAPE, LoadOptions(context=4096, parallel=3)).kv_cache.bytes == 3 * plain.kv_cache.bytes
    packed = mlx.plan(SHAPE, LoadOptions(context=4096, key_type="q8_0", value_type="q8_0"))
    assert packed.kv_cache.bytes < plain.kv_cache.bytes
    assert mlx.plan(SHAPE, LoadOptions(context=4096, ubatch=64)).compute.bytes < plain.compute.bytes
    start = mlx.start(ModelFile(Path("m"), "t", "mlx", SHAPE), LoadOptions(context=4096), "secret")
    assert isinstance(start, Launch)
    assert start.environment["ULTRALAB_MLX_CACHE_BYTES"] == str(plain.kv_cache.bytes)
