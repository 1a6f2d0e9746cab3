"""The tiny model's own promises: always the same bytes, clear choices, and every mistake that engines make is heard."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from safetensors.numpy import load_file
from tests.interop.running import TALK, TEXTS

from ultralab.engines.tiny import PROMPTS, TEMPLATE, TOKENS, encode, greedy, write_gguf, write_hf
from ultralab.engines.tiny.gguf_file import turned
from ultralab.engines.tiny.reference import answer
from ultralab.engines.tiny.shape import SHAPE, Shape
from ultralab.engines.tiny.vocabulary import BEGIN, text_of, tokens
from ultralab.engines.tiny.weights import weights
from ultralab.models.bundles import from_path
from ultralab.models.formats import gguf, safetensors

if TYPE_CHECKING:
    from ultralab.engines.tiny.reference import Numbers

    Model = dict[str, Numbers]


def test_the_weights_are_the_same_on_every_machine() -> None:
    digest = hashlib.sha256()
    for name, array in weights().items():
        digest.update(name.encode() + array.tobytes())
    assert digest.hexdigest() == "b7ab938e2da2e360c780c84e0d036c740386fa285861d5ef2af867da1bba5ef4"


def test_the_files_are_the_same_each_time(tmp_path: Path) -> None:
    one, two = write_gguf(tmp_path / "1.gguf"), write_gguf(tmp_path / "2.gguf")
    assert one.read_bytes() == two.read_bytes()
    assert one.stat().st_size < 500_000
    first, second = write_hf(tmp_path / "1"), write_hf(tmp_path / "2")
    assert {path.name: path.read_bytes() for path in first.iterdir()} == {
        path.name: path.read_bytes() for path in second.iterdir()
    }


def test_our_readers_see_one_model_in_both(tmp_path: Path) -> None:
    one = gguf.FORMAT.read_header(from_path(write_gguf(tmp_path / "1.gguf"))).shape
    two = safetensors.FORMAT.read_header(from_path(write_hf(tmp_path / "2"))).shape
    assert one.parameters == two.parameters == sum(array.size for array in weights().values())


def test_the_folder_holds_the_weights_as_they_are(tmp_path: Path) -> None:
    found = load_file(write_hf(tmp_path / "hf") / "model.safetensors")
    assert {name: array.tobytes() for name, array in found.items()} == {
        name: array.tobytes() for name, array in weights().items()
    }


def test_every_choice_is_clear() -> None:
    for prompt in PROMPTS:
        found = greedy(encode(prompt))
        assert min(found.leads) > 0.04, "ten times what 16 bits blur"
        assert len(set(found.tokens)) >= 10, "it does not go round in circles"
        assert b"".join(text_of(token) for token in found.tokens).isascii()


def _unturned(model: Model) -> Model:
    return {name: turned(name, array.astype(np.float16), SHAPE).astype(float) for name, array in model.items()}


def _tied(model: Model) -> Model:
    return model | {"lm_head.weight": model["model.embed_tokens.weight"]}


def _without(part: str) -> Callable[[Model], Model]:
    return lambda model: {name: array * 0 + 1 if part in name else array for name, array in model.items()}


def _swapped(one: str, other: str) -> Callable[[Model], Model]:
    return lambda model: {name: model[name.replace(one, "*").replace(other, one).replace("*", other)] for name in model}


MISTAKES: dict[str, tuple[Callable[[Model], Model], Shape]] = {
    "rows of queries and keys in llama.cpp's order": (_unturned, SHAPE),
    "output matrix tied to the embedding": (_tied, SHAPE),
    "usual eps 1e-5": (dict, replace(SHAPE, eps=1e-5)),
    "usual theta 10000": (dict, replace(SHAPE, theta=1e4)),
    "no positions": (dict, replace(SHAPE, theta=float("inf"))),
    "last norm forgotten": (_without("model.norm"), SHAPE),
    "first norms forgotten": (_without("input_layernorm"), SHAPE),
    "gate and up swapped": (_swapped("gate_proj", "up_proj"), SHAPE),
    "norms of a layer swapped": (_swapped("input_layernorm", "post_attention_layernorm"), SHAPE),
    "last layer forgotten": (dict, replace(SHAPE, layers=2)),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_changes_what_it_says(mistake: str) -> None:
    change, shape = MISTAKES[mistake]
    model = change({name: array.astype(float) for name, array in weights().items()})
    for prompt in PROMPTS:
        assert answer(model, encode(prompt), TOKENS, shape).tokens != greedy(encode(prompt)).tokens


@pytest.mark.parametrize("begin", [(), (BEGIN, BEGIN)])
def test_a_missing_and_a_double_beginning_change_what_it_says(begin: tuple[int, ...]) -> None:
    for prompt in PROMPTS:
        text = encode(prompt, begin=False)
        assert greedy((*begin, *text)).tokens != greedy((BEGIN, *text)).tokens


def test_the_tokenizer_is_that_of_the_library(tmp_path: Path) -> None:
    from tokenizers import Tokenizer

    library = Tokenizer.from_file(str(write_hf(tmp_path / "hf") / "tokenizer.json"))
    assert [tuple(library.encode(text).ids) for text in TEXTS] == [encode(text) for text in TEXTS]
    assert [library.decode(list(encode(text)), skip_special_tokens=False) for text in TEXTS] == [
        f"<s>{text}" for text in TEXTS
    ]
    assert library.get_vocab_size() == len(tokens()) == len(set(tokens()))


def test_the_template_is_that_of_the_library(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(write_hf(tmp_path / "hf"))
    assert tokenizer.chat_template == TEMPLATE
    rendered = tokenizer.apply_chat_template(list(TALK), tokenize=False, add_generation_prompt=True)
    assert rendered.startswith("<s><|im_start|>system\nYou are brief.\n<|im_end|>\n")
    ids = tokenizer.apply_chat_template(list(TALK), add_generation_prompt=True)["input_ids"]
    assert tuple(ids) == encode(rendered, begin=False)
    settings = json.loads((tmp_path / "hf" / "generation_config.json").read_text())
    assert settings["eos_token_id"] == [3, 0]
