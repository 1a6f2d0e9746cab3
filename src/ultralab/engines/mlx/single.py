"""One request at a time: ``generate_step``, or with a draft model ``speculative_generate_step``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import mlx.core as mx
from mlx_lm.generate import generate_step, speculative_generate_step
from mlx_lm.models.cache import trim_prompt_cache

from ultralab.engines.mlx import reading, sampling
from ultralab.engines.mlx.kept import Kept
from ultralab.engines.mlx.network import Cache, Network, held_bytes
from ultralab.engines.mlx.reading import Reading
from ultralab.engines.serving.types import Job, Step

DRAFTED = 3
"""Tokens that a draft model proposes at once: the default of ``mlx_lm.generate --num-draft-tokens``."""

_TIDY = 256  # tokens between two looks at the memory


class Single:
    """The lane for one request."""

    def __init__(self, network: Network, kept: Kept) -> None:
        self._network = network
        self._kept = kept
        self._reading: Reading | None = None
        self._steps: Iterator[tuple[Any, mx.array]] | None = None
        self._watch: sampling.Watch | None = None
        self._given: list[int] = []

    def begin(self, number: int, job: Job) -> None:
        """Take the request in."""
        self._reading = reading.begin(self._network, self._kept, number, job)
        self._given = []
        # Where there is no room for both, the kept original goes before its copy is written to: so nothing is copied.
        self._kept.shrink(held_bytes(self._reading.cache))

    def step(self) -> Sequence[Step]:
        """A piece of the prompt, or a token."""
        one = self._reading
        if one is None:
            return ()
        try:
            return (self._advanced(one),)
        except BaseException:
            self._drop()  # nobody knows what its cache holds now
            raise

    def end(self, number: int) -> None:
        """Let the request go and keep its cache; nothing for one that is not in."""
        one = self._reading
        if one is None or one.number != number:
            return
        tokens, cache = self._held(one)
        self._drop()
        reading.keep(self._kept, one.job, tokens, cache)
        mx.clear_cache()

    def _advanced(self, one: Reading) -> Step:
        if not one.whole:
            step = reading.read_piece(self._network, self._kept, one)
            self._kept.shrink(held_bytes(one.cache))
            return step
        if self._steps is None:
            self._network.settle(one.cache)
            self._steps = self._generation(one)
        token, row = next(self._steps)  # endless; with a draft model it ends after the job's tokens, as the job does
        self._given.append(int(token))
        if len(self._given) % _TIDY == 0:
            self._kept.shrink(held_bytes(one.cache))
        length = len(one.job.prompt)
        if not one.job.top:
            return Step(one.number, length, one.cached, int(token))
        logprob, top = sampling.report(self._watch.next() if self._watch else sampling.normal(row), token, one.job.top)
        return Step(one.number, length, one.cached, int(token), logprob, top)

    def _generation(self, one: Reading) -> Iterator[tuple[Any, mx.array]]:
        """Tokens, one after the other, with mlx-lm's log-probabilities (after penalties)."""
        network, drawn = self._network, one.job.sampling
        processors = [sampling.after(one.before, each) for each in sampling.penalties(drawn)]
        # A draft's logits pass the same processors: a watch could not tell them apart.
        self._watch = sampling.Watch() if one.job.top and network.draft is None else None
        if self._watch:
            processors.insert(0, self._watch)
        common: dict[str, Any] = {
            "prompt_cache": one.cache,
            "sampler": sampling.sampler(drawn, network.vocabulary),
            "logits_processors": processors,
        }
        prompt = mx.array([one.last], mx.uint32)
        if network.draft is None:
            yield from generate_step(prompt, network.model, max_tokens=-1, **common)
            return
        drafted = speculative_generate_step(
            prompt, network.model, network.draft, num_draft_tokens=DRAFTED, max_tokens=one.job.max_tokens, **common
        )
        try:
            for token, row, _from_draft in drafted:
                yield token, row
        finally:
            drafted.close()  # it takes what was refused out of the caches

    def _held(self, one: Reading) -> tuple[list[int], Cache]:
        """The cache and the tokens that it holds exactly."""
        if self._steps is None:
            return list(one.job.prompt[: one.read]), one.cache
        _close(self._steps)
        tokens = [*one.job.prompt, *self._given]
        if self._network.draft is not None:
            tokens = tokens[: _levelled(one.cache)]
        return tokens, one.cache

    def _drop(self) -> None:
        self._reading, self._steps, self._watch, self._given = None, None, None, []


def _close(steps: Any) -> None:
    steps.close()


def _levelled(cache: Cache) -> int:
    """Cut both models' caches to the tokens that both hold, and say how many: a draft's may be one or two behind."""
    lengths = [int(layer.offset) for layer in cache]
    for layer, length in zip(cache, lengths, strict=True):
        trim_prompt_cache([layer], length - min(lengths))
    return min(lengths)
