"""Measuring through a real process of the fake engine, and with clients that misbehave."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.experiments.bench_sample import SPEC, TEXT, Sample, shape

from ultralab import memory
from ultralab.engines import engine
from ultralab.engines.base import Generation, LoadOptions, ModelFile, Timings, TokenScore
from ultralab.engines.clients.unable import Unable
from ultralab.engines.fake.model import favourite
from ultralab.engines.host import Loaded, Request, loaded
from ultralab.experiments.measure import Outcome, measure
from ultralab.kernel.errors import EngineFailed, RequestError
from ultralab.kernel.progress import SILENT

FAVOURITES = [favourite([token]) for token in TEXT.encode()[:64]]


@contextmanager
def _loaded(folder: Path, context: int = 512) -> Iterator[Loaded]:
    model = folder / "model.gguf"
    model.write_text("GGUF")
    ledger = memory.open_ledger(folder / "state", 1_000_000_000)
    request = Request(ModelFile(model, "Sample", "gguf", shape()), LoadOptions(context, 1, 1))
    with loaded(engine("fake"), request, ledger=ledger, log=folder / "engine.log") as running:
        yield running


def _measure(
    folder: Path, model: Loaded, text: str = TEXT, reference: Sequence[TokenScore] | None = None, spec: str = SPEC
) -> tuple[Outcome, list[tuple[str, float, int]]]:
    said: list[tuple[str, float, int]] = []
    found = measure(
        model,
        Sample(folder, text=spec).file().spec,
        text,
        reference="self" if reference is None else reference,
        record=lambda name, value, step: said.append((name, value, step)),
        progress=SILENT,
    )
    return found, said


def test_quality_is_what_the_engine_says(tmp_path: Path) -> None:
    with _loaded(tmp_path) as model:
        outcome, said = _measure(tmp_path, model)
    wanted = list(TEXT.encode()[1:65])
    expected = [
        TokenScore(token, -1.0 if token == best else -3.0, best) for token, best in zip(wanted, FAVOURITES, strict=True)
    ]
    assert list(outcome.scores) == expected
    assert outcome.measured.nll == -math.fsum(score.logprob for score in expected) / 64
    assert (outcome.measured.agreement, outcome.measured.scored_tokens) == (1.0, 64)
    assert ("nll", outcome.measured.nll, 0) in said
    assert outcome.measured.memory_bytes > 1_000_000


def test_agreement_with_a_reference(tmp_path: Path) -> None:
    reference = [TokenScore(0, 0.0, best if number % 4 else -1) for number, best in enumerate(FAVOURITES)]
    with _loaded(tmp_path) as model:
        outcome, _said = _measure(tmp_path, model, reference=reference)
    assert outcome.measured.agreement == 0.75


def test_speeds_are_those_of_the_arrivals(tmp_path: Path) -> None:
    with _loaded(tmp_path) as model:
        client = _Client(model)
        outcome, said = _measure(tmp_path, replace(model, client=client))
    measured = outcome.measured
    assert measured.ttft_s.values == (0.5, 0.5, 0.5)
    assert measured.prefill_tok_s.values == (64.0, 64.0, 64.0)
    assert measured.decode_tok_s.values == (4.0, 4.0, 4.0)
    assert measured.engine_prefill_tok_s.values == (80.0, 80.0, 80.0)
    assert measured.engine_decode_tok_s.values == (5.0, 5.0, 5.0)
    assert [entry for entry in said if entry[0] == "decode_tok_s"] == [("decode_tok_s", 4.0, step) for step in range(3)]
    # No repeat reads what another one has read, so that no cache could help.
    beginnings = [tuple(prompt[:4]) for prompt in client.prompts]
    assert len(set(beginnings)) == len(beginnings) == 4
    assert [len(prompt) for prompt in client.prompts] == [503, 32, 32, 32]


class _Client(Unable):
    """A client whose generations arrive by a clock of its own; it asks the real engine for the rest."""

    def __init__(self, model: Loaded, cached: int = 0, together: bool = False) -> None:
        self._inner = model.client
        self._cached = cached
        self._together = together
        self.prompts: list[list[int]] = []

    def tokenize(self, text: str) -> tuple[int, ...]:
        return self._inner.tokenize(text)

    def generate(self, prompt: Sequence[int], count: int, seed: int) -> Generation:
        self.prompts.append(list(prompt))
        arrivals = tuple(0.5 + (0 if self._together else 0.25 * number) for number in range(count))
        read = len(prompt) - self._cached
        return Generation("", arrivals, Timings(self._cached, read, 12.5 * len(prompt), count, 200.0 * (count - 1)))

    def score(self, tokens: Sequence[int]) -> Iterator[TokenScore]:
        return self._inner.score(tokens)

    def chat(self, messages: Sequence[Mapping[str, str]], max_tokens: int) -> str:
        return self._inner.chat(messages, max_tokens)

    def close(self) -> None:
        self._inner.close()


def test_a_prompt_from_a_cache_is_refused(tmp_path: Path) -> None:
    with _loaded(tmp_path) as model, pytest.raises(EngineFailed) as caught:
        _measure(tmp_path, replace(model, client=_Client(model, cached=10)))
    assert caught.value.message == (
        "The engine took 10 of 32 prompt tokens from a cache: its speed would mean nothing."
    )


def test_tokens_that_come_all_at_once_have_no_speed(tmp_path: Path) -> None:
    with _loaded(tmp_path) as model, pytest.raises(EngineFailed, match="gave all its tokens at once"):
        _measure(tmp_path, replace(model, client=_Client(model, together=True)))


@pytest.mark.parametrize(("length", "fits"), [(64, False), (65, True)])
def test_the_text_must_be_long_enough(tmp_path: Path, length: int, fits: bool) -> None:
    with _loaded(tmp_path) as model:
        if fits:
            assert _measure(tmp_path, model, text=TEXT[:length])[0].measured.scored_tokens == 64
            return
        with pytest.raises(RequestError) as caught:
            _measure(tmp_path, model, text=TEXT[:length])
    assert (caught.value.message, caught.value.hint) == (
        "The text for the quality measurement has only 64 tokens.",
        "Give a longer text, or set quality.tokens to at most 63.",
    )
