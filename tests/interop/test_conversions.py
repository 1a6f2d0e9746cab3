"""The product's conversions keep the tokenizer, the template and what ends an answer; the model says what it said."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from tests.hf_maker import packed_llama
from tests.interop.running import TALK, TEXTS, running
from tests.unit.models.conversion.folders import FORMATS, take, take_file

from ultralab.engines.tiny import PROMPTS, TEMPLATE, TOKENS, encode, greedy
from ultralab.models import ConversionOptions, Library, convert, model_path, quantize

pytestmark = pytest.mark.alone

WORDS = ("tokenizer.json", "tokenizer_config.json", "generation_config.json")


def texts_and_prompt(name: str, path: Path, scratch: Path) -> tuple[list[tuple[int, ...]], str]:
    with running(name, path, scratch, context=1024) as client:
        assert client.about().template == TEMPLATE
        return [client.tokenize(text) for text in TEXTS], client.template(TALK)


@pytest.mark.slow
@pytest.mark.parametrize("options", [ConversionOptions(), ConversionOptions(bits=8, group_size=32)])
def test_hf_to_mlx(tiny_hf: Path, tmp_path: Path, options: ConversionOptions) -> None:
    library = Library(tmp_path / "lab")
    made = model_path(library, convert(library, take(library, tiny_hf, "tiny"), "mlx", FORMATS, options))
    assert texts_and_prompt("mlx", made, tmp_path) == texts_and_prompt("mlx", tiny_hf, tmp_path)
    assert json.loads((made / "generation_config.json").read_text())["eos_token_id"] == [3, 0]
    with running("mlx", made, tmp_path) as client:
        for prompt in PROMPTS:
            answer = client.generate(encode(prompt), TOKENS, seed=1).tokens
            assert options.bits or answer == greedy(encode(prompt)).tokens


@pytest.mark.slow
def test_awq_to_safetensors(tiny_hf: Path, tmp_path: Path) -> None:
    """Random packed weights with the tiny model's tokenizer, whose numbers are a part of theirs."""
    folder = tmp_path / "awq"
    packed_llama(folder, "awq")
    for name in WORDS:
        shutil.copy(tiny_hf / name, folder / name)
    library = Library(tmp_path / "lab")
    made = model_path(library, convert(library, take(library, folder, "packed"), "safetensors", FORMATS))
    assert {name: (made / name).read_bytes() for name in WORDS} == {
        name: (tiny_hf / name).read_bytes() for name in WORDS
    }
    assert texts_and_prompt("mlx", made, tmp_path) == texts_and_prompt("mlx", tiny_hf, tmp_path)


def test_gguf_to_safetensors(tiny_gguf: Path, tmp_path: Path) -> None:
    library = Library(tmp_path / "lab")
    parent = take_file(library, tiny_gguf)
    made = model_path(library, convert(library, parent, "safetensors", FORMATS, judged=False))
    with running("mlx", made, tmp_path, context=1024) as client:
        assert client.about().template == TEMPLATE
        assert [client.tokenize(text) for text in TEXTS] == [encode(text) for text in TEXTS]
        for prompt in PROMPTS:
            assert client.generate(encode(prompt), TOKENS, seed=1).tokens == greedy(encode(prompt)).tokens


def test_gguf_to_q8_0(tiny_gguf: Path, tmp_path: Path) -> None:
    library = Library(tmp_path / "lab")
    made = model_path(library, quantize(library, take_file(library, tiny_gguf), "Q8_0", FORMATS))
    assert made.stat().st_size < tiny_gguf.stat().st_size
    assert texts_and_prompt("llamacpp", made, tmp_path) == texts_and_prompt("llamacpp", tiny_gguf, tmp_path)
