"""Measuring one loaded model: speed, memory, quality. Each figure is what a client of the engine would see."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from ultralab.engines.base import Client, Generation, TokenScore
from ultralab.engines.host import Loaded
from ultralab.experiments.spec import Spec
from ultralab.experiments.types import Measured, Spread
from ultralab.kernel.errors import EngineFailed, RequestError
from ultralab.kernel.language import _
from ultralab.kernel.progress import Progress

WARM_UP_TOKENS = 512  # one full micro-batch: every buffer is touched once, so the memory reading is the true peak

Record = Callable[[str, float, int], None]


@dataclass(frozen=True)
class Outcome:
    """What was measured, and the score of every position, for the comparison with the reference."""

    measured: Measured
    scores: tuple[TokenScore, ...]


def measure(
    model: Loaded,
    spec: Spec,
    text: str,
    *,
    reference: Sequence[TokenScore] | Literal["self"] | None,
    record: Record,
    progress: Progress,
) -> Outcome:
    """Measure a loaded model. ``record`` gets each single reading (name, value, step) as it comes.

    ``reference``: the scores to agree with, ``"self"`` for the reference itself, None where they are not known.

    Raises EngineFailed, EngineDied, RequestError (the text is too short).
    """
    tokens = model.client.tokenize(text)
    if len(tokens) <= spec.quality.tokens:
        raise RequestError(
            _("The text for the quality measurement has only {count} tokens.").format(count=len(tokens)),
            hint=_("Give a longer text, or set quality.tokens to at most {count}.").format(count=len(tokens) - 1),
        )
    record("load_s", model.load_seconds, 0)
    generations = _speed(model.client, spec, tokens, record, progress)
    scores = _quality(model.client, tokens[: spec.quality.tokens + 1], record, progress)
    memory = model.footprint()
    record("memory_bytes", memory, 0)
    nll = -math.fsum(score.logprob for score in scores) / len(scores)
    agreement = None if reference is None else _agreement(scores, scores if reference == "self" else reference)
    record("nll", nll, 0)
    if agreement is not None:
        record("agreement", agreement, 0)
    measured = Measured(
        load_s=model.load_seconds,
        ttft_s=Spread(tuple(one.arrivals[0] for one in generations)),
        prefill_tok_s=Spread(tuple(_prefill(one) for one in generations)),
        decode_tok_s=Spread(tuple(_decode(one) for one in generations)),
        engine_prefill_tok_s=Spread(tuple(one.timings.prefill_tok_s for one in generations)),
        engine_decode_tok_s=Spread(tuple(one.timings.decode_tok_s for one in generations)),
        cached_tokens=max(one.timings.cached_tokens for one in generations),
        memory_bytes=memory,
        baseline_bytes=model.baseline,
        nll=nll,
        agreement=agreement,
        scored_tokens=len(scores),
    )
    return Outcome(measured, scores)


def _speed(client: Client, spec: Spec, tokens: Sequence[int], record: Record, progress: Progress) -> list[Generation]:
    wanted = spec.speed
    room = spec.options.context - wanted.generated_tokens - 1
    with progress.step(_("Measuring speed"), wanted.repeats + 1, "items") as step:
        client.generate(_prompt(tokens, 0, min(WARM_UP_TOKENS, room)), 4, spec.seed)
        step.advance()
        generations = []
        for number in range(wanted.repeats):
            # Each repeat reads another stretch of the text, so that no cache of any kind could help.
            prompt = _prompt(tokens, number + 1, wanted.prompt_tokens)
            one = client.generate(prompt, wanted.generated_tokens, spec.seed)
            _require_uncached(one, len(prompt))
            record("ttft_s", one.arrivals[0], number)
            record("prefill_tok_s", _prefill(one), number)
            record("decode_tok_s", _decode(one), number)
            record("engine_prefill_tok_s", one.timings.prefill_tok_s, number)
            record("engine_decode_tok_s", one.timings.decode_tok_s, number)
            generations.append(one)
            step.advance()
    return generations


def _quality(client: Client, tokens: Sequence[int], record: Record, progress: Progress) -> tuple[TokenScore, ...]:
    def watched() -> Iterator[TokenScore]:
        total = 0.0
        with progress.step(_("Scoring the text"), len(tokens) - 1, "tokens") as step:
            for number, score in enumerate(client.score(tokens), start=1):
                total -= score.logprob
                if number % 32 == 0:
                    record("running_nll", total / number, number)
                step.advance()
                yield score

    return tuple(watched())


def _prompt(tokens: Sequence[int], start: int, count: int) -> list[int]:
    """``count`` tokens of the text from position ``start`` on, from its beginning again at its end."""
    return [tokens[(start + offset) % len(tokens)] for offset in range(count)]


def _prefill(one: Generation) -> float:
    return one.timings.prompt_tokens / one.arrivals[0]


def _decode(one: Generation) -> float:
    took = one.arrivals[-1] - one.arrivals[0]
    if took <= 0:
        raise EngineFailed(
            _("The engine gave all its tokens at once: their speed cannot be measured from outside."),
            hint=_("Report this with the engine's version."),
        )
    return (len(one.arrivals) - 1) / took


def _require_uncached(one: Generation, prompt_tokens: int) -> None:
    if one.timings.cached_tokens != 0 or one.timings.prompt_tokens != prompt_tokens:
        raise EngineFailed(
            _("The engine took {cached} of {total} prompt tokens from a cache: its speed would mean nothing.").format(
                cached=prompt_tokens - one.timings.prompt_tokens, total=prompt_tokens
            ),
            hint=_("Report this with the engine's version."),
        )


def _agreement(scores: Sequence[TokenScore], reference: Sequence[TokenScore]) -> float:
    same = sum(mine.favourite == theirs.favourite for mine, theirs in zip(scores, reference, strict=True))
    return same / len(scores)
