"""What is refused before PyTorch is started; none of it needs PyTorch."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.hf_maker import hf_llama, llama_config, packed_llama

from ultralab.engines.options import Adapter, LoadOptions
from ultralab.engines.torch.architectures import causal_models
from ultralab.engines.torch.interpreter import Found, look
from ultralab.engines.torch.refusals import refusal

PLAIN = LoadOptions()


@pytest.fixture(scope="module")
def found() -> Found:
    """Our own interpreter, which has transformers, with PyTorch and nothing else beside it."""
    here = look("")
    packages = {"torch": "2.13.0", "transformers": here.packages["transformers"]}
    return Found(packages, here.transformers)


def having(found: Found, **versions: str) -> Found:
    return Found({**found.packages, **versions}, found.transformers)


def why(path: Path, options: LoadOptions, found: Found) -> str:
    problem = refusal(path, options, found)
    return "" if problem is None else f"{problem.reason} | {problem.hint}"


def reconfigured(path: Path, **more: object) -> Path:
    (path / "config.json").write_text(json.dumps(llama_config() | more))
    return path


def test_a_plain_llama_is_taken(tmp_path: Path, found: Found) -> None:
    assert why(hf_llama(tmp_path), PLAIN, found) == ""


def test_transformers_knows_many_architectures(found: Found) -> None:
    known = causal_models(found.transformers)
    assert {"llama", "qwen3", "gemma3", "mistral", "gpt2", "deepseek_v3"} <= known
    assert "clip" not in known
    assert causal_models(None) == causal_models(Path("nowhere")) == frozenset()


def test_a_pickle_is_never_loaded(tmp_path: Path, found: Found) -> None:
    (hf_llama(tmp_path) / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    assert "pickle (pytorch_model.bin)" in why(tmp_path, PLAIN, found)
    (tmp_path / "pytorch_model.bin").unlink()
    assert "no *.safetensors" in why(tmp_path, PLAIN, found)


def test_a_single_file_is_no_model(tmp_path: Path, found: Found) -> None:
    assert "single file" in why(hf_llama(tmp_path) / "model.safetensors", PLAIN, found)


@pytest.mark.parametrize("content", ["", "[]", "[" * 100_000, "\udcff"])
def test_a_damaged_configuration(tmp_path: Path, found: Found, content: str) -> None:
    (hf_llama(tmp_path) / "config.json").write_bytes(content.encode(errors="surrogateescape"))
    assert "config.json" in why(tmp_path, PLAIN, found)


def test_code_beside_the_weights_never_runs(tmp_path: Path, found: Found) -> None:
    own = {"AutoModelForCausalLM": "modeling_it.ItForCausalLM"}
    assert "code of its own" in why(reconfigured(hf_llama(tmp_path), model_type="it", auto_map=own), PLAIN, found)
    assert why(reconfigured(tmp_path, auto_map=own), PLAIN, found) == "", "transformers has a class of its own for it"


def test_an_unknown_architecture(tmp_path: Path, found: Found) -> None:
    said = why(reconfigured(hf_llama(tmp_path), model_type="clip"), PLAIN, found)
    assert "generates no text with the architecture clip" in said
    assert found.packages["transformers"] in said


def test_a_folder_without_a_tokenizer(tmp_path: Path, found: Found) -> None:
    (hf_llama(tmp_path) / "tokenizer.json").unlink()
    assert "no tokenizer" in why(tmp_path, PLAIN, found)


@pytest.mark.parametrize(("method", "missing"), [("gptq", "optimum, gptqmodel"), ("awq", "gptqmodel, accelerate")])
def test_packed_weights_need_their_packages(tmp_path: Path, found: Found, method: str, missing: str) -> None:
    packed_llama(tmp_path, method)
    assert f"quantized by {method} need {missing}" in why(tmp_path, PLAIN, found)
    whole = having(found, optimum="2.3", gptqmodel="7.7", accelerate="1.15")
    assert why(tmp_path, PLAIN, whole) == ""
    assert "quantized already" in why(tmp_path, LoadOptions(weight_bits=4), whole)


def test_other_packings_are_named(tmp_path: Path, found: Found) -> None:
    packing = {"quant_method": "fp8"}
    assert "quantized by fp8" in why(reconfigured(hf_llama(tmp_path), quantization_config=packing), PLAIN, found)


@pytest.mark.parametrize("bits", [4, 8])
def test_quantizing_while_loading_needs_bitsandbytes(tmp_path: Path, found: Found, bits: int) -> None:
    hf_llama(tmp_path)
    options = LoadOptions(weight_bits=bits)
    for state in (found, having(found, bitsandbytes="0.50.2"), having(found, bitsandbytes="0.49.1", accelerate="1")):
        said = why(tmp_path, options, state)
        assert "bitsandbytes 0.50 or newer" in said
        assert "MLX or llama.cpp" in said
    assert why(tmp_path, options, having(found, bitsandbytes="0.50.2", accelerate="1")) == ""


def test_adapters_need_peft_and_safetensors(tmp_path: Path, found: Found) -> None:
    model, adapter = hf_llama(tmp_path / "model"), tmp_path / "adapter"
    adapter.mkdir()
    options = LoadOptions(adapters=(Adapter(adapter),))
    assert "peft" in why(model, options, found)
    (adapter / "adapter_config.json").write_text("{}")
    (adapter / "adapter_model.bin").write_bytes(b"")
    assert "has no adapter_model.safetensors" in why(model, options, having(found, peft="0.21"))
    (adapter / "adapter_model.safetensors").write_bytes(b"")
    assert why(model, options, having(found, peft="0.21")) == ""
