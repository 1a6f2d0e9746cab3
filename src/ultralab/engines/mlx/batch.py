"""Several requests at once: prompts are read one by one, tokens come from one ``GenerationBatch``."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import mlx.core as mx
from mlx_lm.generate import GenerationBatch, PromptProcessingBatch, generation_stream

from ultralab.engines.mlx import reading, sampling
from ultralab.engines.mlx.kept import Kept
from ultralab.engines.mlx.network import Network, held_bytes
from ultralab.engines.mlx.reading import Reading
from ultralab.engines.serving.types import Job, Step

_ENDLESS = 1 << 62  # the scheduler says when a request has enough
_TIDY = 256


@dataclass(frozen=True)
class _Writing:
    reading: Reading
    watch: sampling.Watch | None


class Batch:
    """The lane for several requests. A step is one token for each that has read its prompt and one piece of a prompt."""

    def __init__(self, network: Network, kept: Kept) -> None:
        self._network = network
        self._kept = kept
        self._reading: deque[Reading] = deque()
        self._writing: dict[int, _Writing] = {}
        self._batch: Any = None
        self._steps = 0

    def begin(self, number: int, job: Job) -> None:
        """Take a request in."""
        self._reading.append(reading.begin(self._network, self._kept, number, job))
        self._kept.shrink(self._working())  # before the copy is written to: see ``single``

    def step(self) -> Sequence[Step]:
        """Tokens of those that write, then a piece of the prompt that waits longest."""
        try:
            with mx.stream(generation_stream):
                return (*self._tokens(), *self._piece())
        except BaseException:
            self._reading.clear()
            self._writing.clear()
            self._batch = None
            raise

    def end(self, number: int) -> None:
        """Let a request go and keep its cache; nothing for one that is not in."""
        for one in self._reading:
            if one.number == number:
                self._reading.remove(one)
                reading.keep(self._kept, one.job, list(one.job.prompt[: one.read]), one.cache)
                return
        if (writing := self._writing.pop(number, None)) is None:
            return
        place = self._batch.uids.index(number)
        with mx.stream(generation_stream):
            if writing.reading.job.reuse:
                cache = self._batch.extract_cache(place)
                mx.eval([layer.state for layer in cache])
                reading.keep(self._kept, writing.reading.job, list(self._batch.tokens[place]), cache)
            others = [other for other in range(len(self._batch.uids)) if other != place]
            if others:
                self._batch.filter(others)
            else:
                self._batch = None
        mx.clear_cache()

    def _tokens(self) -> list[Step]:
        if self._batch is None:
            return []
        self._steps += 1
        if self._steps % _TIDY == 0:
            mx.clear_cache()
            self._kept.shrink(self._working())
        return [self._said(one.uid, one.token) for one in self._batch.next()]

    def _said(self, number: int, token: int) -> Step:
        writing = self._writing[number]
        one = writing.reading
        length = len(one.job.prompt)
        if writing.watch is None:
            return Step(number, length, one.cached, token)
        logprob, top = sampling.report(writing.watch.next(), token, one.job.top)
        return Step(number, length, one.cached, token, logprob, top)

    def _piece(self) -> list[Step]:
        if not self._reading:
            return []
        one = self._reading[0]
        steps = []
        if not one.whole:
            steps = [reading.read_piece(self._network, self._kept, one)]
            self._kept.shrink(self._working())
            self._reading.rotate(-1)
        if one.whole:
            self._reading.remove(one)
            self._join(one)
        return steps

    def _join(self, one: Reading) -> None:
        """Its first token is being computed when this returns."""
        watch = sampling.Watch() if one.job.top else None
        processors: list[sampling.Processor] = [watch] if watch else []
        fresh = PromptProcessingBatch(
            self._network.model,
            [one.number],
            [one.cache],
            tokens=[one.before],
            samplers=[sampling.sampler(one.job.sampling, self._network.vocabulary)],
            logits_processors=[[*processors, *sampling.penalties(one.job.sampling)]],
            max_tokens=[_ENDLESS],
        ).generate([[one.last]])
        one.cache = []  # the batch has it now
        self._writing[one.number] = _Writing(one, watch)
        if self._batch is None:
            self._batch = fresh
        else:
            self._batch.extend(fresh)

    def _working(self) -> int:
        """Bytes of the caches at work."""
        batch: GenerationBatch | None = self._batch
        return sum(held_bytes(one.cache) for one in self._reading) + (held_bytes(batch.prompt_cache) if batch else 0)
