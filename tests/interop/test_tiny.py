"""The tiny model on every engine says what plain arithmetic says: tokens, probabilities, the prompt of a conversation."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.interop.running import TALK, TEXTS, running

from ultralab.engines.base import Ask, Client
from ultralab.engines.tiny import PROMPTS, TOKENS, encode, greedy
from ultralab.engines.tiny.reference import logits
from ultralab.engines.tiny.vocabulary import text_of
from ultralab.engines.tiny.weights import weights

pytestmark = pytest.mark.alone

ENGINES = ("llamacpp", "mlx", pytest.param("torch", marks=(pytest.mark.torch, pytest.mark.slow)))
RENDERED = (
    "".join(f"<|im_start|>{one['role']}\n{one['content']}<|im_end|>\n" for one in TALK) + "<|im_start|>assistant\n"
)


@pytest.fixture(scope="module", params=ENGINES)
def client(
    request: pytest.FixtureRequest, tiny_gguf: Path, tiny_hf: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Client]:
    path = tiny_gguf if request.param == "llamacpp" else tiny_hf
    with running(request.param, path, tmp_path_factory.mktemp(request.param), context=1024) as found:
        yield found


@pytest.mark.parametrize("prompt", PROMPTS)
def test_it_says_the_computed_tokens(client: Client, prompt: str) -> None:
    answer = client.generate(encode(prompt), TOKENS, seed=1)
    wanted = greedy(encode(prompt))
    assert answer.tokens == wanted.tokens
    assert answer.text.encode() == b"".join(text_of(token) for token in wanted.tokens)


def test_it_gives_the_computed_probabilities(client: Client) -> None:
    tokens = (*encode(PROMPTS[0]), *greedy(encode(PROMPTS[0])).tokens)
    model = {name: array.astype(np.float64) for name, array in weights().items()}
    rows = logits(model, tokens)[:-1]
    wanted = rows[range(len(rows)), tokens[1:]] - np.log(np.exp(rows).sum(axis=1))
    scores = list(client.score(tokens))
    assert [score.token for score in scores] == list(tokens[1:])
    assert np.abs(np.array([score.logprob for score in scores]) - wanted).max() < 0.05
    assert [score.favourite for score in scores][-TOKENS:] == list(tokens[-TOKENS:])


def test_texts_have_the_same_tokens_everywhere(client: Client) -> None:
    assert [client.tokenize(text) for text in TEXTS] == [encode(text) for text in TEXTS]


def test_tokens_have_the_same_text_everywhere(client: Client) -> None:
    assert [client.detokenize(encode(text, begin=False)) for text in TEXTS] == list(TEXTS)


def test_the_conversations_prompt_is_the_same_but_for_the_beginning(client: Client) -> None:
    """llama.cpp takes the template's beginning-of-text token away, since it adds one: see docs/interoperability.md."""
    assert client.template(TALK).removeprefix("<s>") == RENDERED


def test_a_conversation_begins_once(client: Client) -> None:
    pieces = list(client.stream(Ask(messages=TALK, max_tokens=12)))
    timings = pieces[-1].timings
    assert timings is not None
    wanted = greedy(encode(RENDERED), 12)
    assert timings.cached_tokens + timings.prompt_tokens == len(encode(RENDERED))
    assert "".join(piece.text for piece in pieces).encode() == b"".join(text_of(token) for token in wanted.tokens)


def test_a_text_begins_once(client: Client) -> None:
    pieces = list(client.stream(Ask(prompt=PROMPTS[2], max_tokens=TOKENS)))
    wanted = greedy(encode(PROMPTS[2]))
    assert "".join(piece.text for piece in pieces).encode() == b"".join(text_of(token) for token in wanted.tokens)
