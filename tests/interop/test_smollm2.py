"""SmolLM2 on every engine: one set of numbers, as GGUF F16, as SafeTensors and as MLX, and the same greedy tokens."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.interop import smollm2 as routes
from tests.interop.running import TALK, TEXTS, running
from tests.unit.models.conversion.folders import FORMATS, take, take_file

from ultralab.engines.base import Client
from ultralab.models import Library, convert, model_path

pytestmark = [pytest.mark.alone, pytest.mark.slow]

COUNT = 24
MOST_TURNED, NEAR = 2, 0.05
PROMPTS = (
    "The three most important inventions of the twentieth century are",
    "def fibonacci(n):\n    if n < 2:\n        return n\n",
    "It cost 1234 in 1999.",
)


@dataclass(frozen=True)
class Said:
    """What an engine makes of the texts, the conversation and the prompts."""

    tokens: list[tuple[int, ...]]
    prompt: str
    answers: list[tuple[int, ...]]


def said(client: Client) -> Said:
    return Said(
        [client.tokenize(text) for text in TEXTS],
        client.template(TALK),
        [client.generate(client.tokenize(prompt), COUNT, seed=1).tokens for prompt in PROMPTS],
    )


@pytest.fixture(scope="module")
def on_llamacpp(smol_gguf: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Said]:
    """The source of truth here: llama.cpp with the file's own tokenizer."""
    with running("llamacpp", smol_gguf, tmp_path_factory.mktemp("llamacpp")) as client:
        yield said(client)


def test_mlx_says_what_llamacpp_says(on_llamacpp: Said, smol_hf: Path, tmp_path: Path) -> None:
    """The folder goes through the product's own conversion."""
    library = Library(tmp_path / "lab")
    parent = take(library, smol_hf, "smollm2")
    made = convert(library, parent, "mlx", FORMATS, judged=False)
    with running("mlx", model_path(library, made), tmp_path) as client:
        assert said(client) == on_llamacpp


@pytest.mark.torch
def test_transformers_says_what_llamacpp_says(on_llamacpp: Said, smol_hf: Path, tmp_path: Path) -> None:
    with running("torch", smol_hf, tmp_path) as client:
        assert said(client) == on_llamacpp


@pytest.fixture(scope="module")
def f16_folder(smol_gguf: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The F16 file as F16 SafeTensors, by the product's own conversion."""
    library = Library(tmp_path_factory.mktemp("f16") / "lab")
    made = convert(library, take_file(library, smol_gguf), "safetensors", FORMATS, judged=False)
    return model_path(library, made)


@pytest.mark.parametrize("name", ["mlx", pytest.param("torch", marks=pytest.mark.torch)])
def test_in_f16_only_near_ties_turn(name: str, on_llamacpp: Said, f16_folder: Path, tmp_path: Path) -> None:
    """All activations are rounded to 11 bits, by each engine in other places: a choice with a clear lead stays.

    Given what llama.cpp said, the other engine is asked for its favourite at each place, and where that is another one,
    how far it leads (natural logarithm).
    """
    turned = []
    with running(name, f16_folder, tmp_path) as client:
        assert [client.tokenize(text) for text in TEXTS] == on_llamacpp.tokens
        assert client.template(TALK) == on_llamacpp.prompt
        for prompt, answer in zip(PROMPTS, on_llamacpp.answers, strict=True):
            text = (*client.tokenize(prompt), *answer)
            for place, score in list(enumerate(client.score(text), 1))[-COUNT:]:
                if score.favourite != text[place]:
                    *_, best = client.score((*text[:place], score.favourite))
                    turned.append(best.logprob - score.logprob)
    print(f"{name}: {len(turned)} of {COUNT * len(PROMPTS)} turned, leads {turned}")
    assert len(turned) <= MOST_TURNED
    assert max(turned, default=0.0) < NEAR


def test_rows_that_are_not_turned_back_talk_nonsense(on_llamacpp: Said, smollm2: Path, tmp_path: Path) -> None:
    """The rotary permutation: the folder loads, and its first answer is another one."""
    folder = routes.write_hf(smollm2, tmp_path / "wrong", turned_back=False)
    with running("mlx", folder, tmp_path) as client:
        assert client.generate(client.tokenize(PROMPTS[0]), 3, seed=1).tokens != on_llamacpp.answers[0][:3]


def test_a_quantized_file_is_computed_otherwise(on_llamacpp: Said, smollm2: Path, tmp_path: Path) -> None:
    """llama.cpp multiplies Q4_1 with activations of 8 bits: the same weights, unpacked, say something else."""
    with running("llamacpp", smollm2, tmp_path) as client:
        found = said(client)
    assert (found.tokens, found.prompt) == (on_llamacpp.tokens, on_llamacpp.prompt)
    assert found.answers != on_llamacpp.answers


def test_the_template_adds_a_system_message_of_its_own(on_llamacpp: Said, smollm2: Path, tmp_path: Path) -> None:
    with running("llamacpp", smollm2, tmp_path) as client:
        alone = client.template(TALK[1:])
    assert alone.startswith("<|im_start|>system\nYou are a helpful AI assistant named SmolLM")
    assert on_llamacpp.prompt.startswith(
        "<|im_start|>system\nYou are brief.\n<|im_end|>\n<|im_start|>user\n Say «你好»"
    )
