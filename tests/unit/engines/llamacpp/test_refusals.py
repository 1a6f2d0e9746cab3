"""What is refused before anything is started."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.gguf_maker import STR, Tensor, entry, gguf_bytes, split_model, tiny_llama

from ultralab.engines.llamacpp import refusals
from ultralab.engines.llamacpp.architectures import knows
from ultralab.engines.llamacpp.engine import LlamaCpp
from ultralab.engines.options import Adapter, LoadOptions, PromptCache
from ultralab.engines.types import ModelFile
from ultralab.models.bundles import from_path
from ultralab.models.formats.gguf import FORMAT


@pytest.fixture
def model(tmp_path: Path) -> ModelFile:
    path = tiny_llama(tmp_path / "tiny.gguf")
    return ModelFile(path, "tiny", "gguf", FORMAT.read_header(from_path(path)).shape)


def reason(model: ModelFile, **options: object) -> str:
    found = LlamaCpp().refusal(model, replace(LoadOptions(), **options))  # type: ignore[arg-type]
    return found.reason if found else ""


def adapter(path: Path, kind: str = "lora", architecture: str = "llama") -> Path:
    keys = [
        entry("general.architecture", STR, architecture),
        entry("general.type", STR, "adapter"),
        entry("adapter.type", STR, kind),
    ]
    path.write_bytes(gguf_bytes(keys, [Tensor("blk.0.attn_q.weight.lora_a", (64, 4))]))
    return path


def test_a_sound_model_is_not_refused(model: ModelFile) -> None:
    assert reason(model) == ""
    assert reason(model, parallel=4, batch=64, ubatch=64, chat_template="x", embeddings=True) == ""


def test_a_missing_file(model: ModelFile, tmp_path: Path) -> None:
    gone = tmp_path / "gone.gguf"
    assert reason(replace(model, path=gone)) == f"the file {gone} is missing"


def test_a_file_that_is_cut_off(model: ModelFile) -> None:
    content = model.path.read_bytes()
    model.path.write_bytes(content[: len(content) // 2])
    assert "is cut off" in reason(model)


def test_a_file_that_is_no_gguf(model: ModelFile) -> None:
    model.path.write_bytes(b"PK" + bytes(model.path.stat().st_size))
    assert reason(model) == f"{model.path} is no GGUF file"


def test_a_part_that_is_missing(model: ModelFile, tmp_path: Path) -> None:
    for name, content in split_model(3).items():
        (tmp_path / name).write_bytes(content)
    split = replace(model, path=tmp_path / "tiny-00001-of-00003.gguf", shape=replace(model.shape, weight_bytes=1))
    assert reason(split) == ""
    (tmp_path / "tiny-00002-of-00003.gguf").unlink()
    assert reason(split) == f"the file {tmp_path / 'tiny-00002-of-00003.gguf'} is missing"


def test_an_architecture_that_this_llama_cpp_does_not_have(model: ModelFile) -> None:
    strange = replace(model, shape=replace(model.shape, architecture="nonesuch9"))
    assert reason(strange) == "this llama.cpp does not know the architecture nonesuch9"
    assert LlamaCpp("/usr/bin/llama-server").refusal(strange, LoadOptions()) is None  # nobody can say


@pytest.mark.parametrize("name", ["llama", "qwen3moe", "gpt-oss", "gemma3n", "falcon-h1", "rwkv7", "deepseek2", "bert"])
def test_architectures_that_it_has(name: str) -> None:
    assert knows(name)


def test_values_are_quantized_with_flash_attention_only(model: ModelFile) -> None:
    wide = replace(model, shape=replace(model.shape, cache=None))
    assert "flash attention only" in reason(wide, value_type="q8_0", flash=False)
    assert reason(wide, value_type="q8_0") == reason(wide, key_type="q8_0", flash=False) == ""


def test_heads_must_fill_the_blocks_of_a_quantized_cache(model: ModelFile) -> None:
    assert "heads of 16" in reason(model, key_type="q8_0")


@pytest.mark.parametrize("name", ["draft", "prompt_cache", "projector"])
def test_what_makes_no_sense_with_embeddings(model: ModelFile, tmp_path: Path, name: str) -> None:
    value = PromptCache(tmp_path, 1) if name == "prompt_cache" else model.path
    assert reason(model, embeddings=True, **{name: value}).startswith(name)


def test_a_draft_that_is_no_model(model: ModelFile, tmp_path: Path) -> None:
    assert reason(model, draft=model.path) == ""
    (tmp_path / "draft.gguf").write_bytes(b"nothing")
    assert reason(model, draft=tmp_path / "draft.gguf").startswith("the draft model cannot be loaded: ")


def test_a_projector_that_is_none(model: ModelFile) -> None:
    assert reason(model, projector=model.path).startswith("the projector cannot be loaded: ")


def test_adapters(model: ModelFile, tmp_path: Path) -> None:
    def one(path: Path) -> str:
        return reason(model, adapters=(Adapter(path),))

    assert one(adapter(tmp_path / "a.gguf")) == ""
    assert one(model.path) == f"{model.path} is no LoRA adapter"
    assert "no LoRA adapter" in one(adapter(tmp_path / "b.gguf", kind="other"))
    assert "was made for the architecture qwen2" in one(adapter(tmp_path / "c.gguf", architecture="qwen2"))
    (tmp_path / "d.gguf").write_bytes(b"nothing")
    assert one(tmp_path / "d.gguf").startswith("the adapter cannot be loaded: ")


def test_a_path_that_the_flag_of_llama_server_cannot_hold(model: ModelFile, tmp_path: Path) -> None:
    options = LoadOptions(adapters=(Adapter(adapter(tmp_path / "a:b.gguf")),))
    assert LlamaCpp().refusal(model, options) is None
    found = LlamaCpp("llama-server").refusal(model, options)
    assert found is not None
    assert "colon" in found.reason


def test_the_names_of_parts() -> None:
    assert refusals.parts(Path("/m/x.gguf")) == (Path("/m/x.gguf"),)
    assert [path.name for path in refusals.parts(Path("/m/x-00001-of-00002.gguf"))] == [
        "x-00001-of-00002.gguf",
        "x-00002-of-00002.gguf",
    ]
