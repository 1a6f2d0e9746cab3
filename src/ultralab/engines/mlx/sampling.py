"""How the next token is drawn, with mlx-lm's own filters, and what is reported of it.

A request's draws follow from its seed alone: mlx-lm's ``make_sampler`` takes its numbers from one state of the process,
so that requests in one batch would depend on each other; here each has its own key, split once a token.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import mlx.core as mx
from mlx_lm.sample_utils import apply_min_p, apply_top_k, apply_top_p, greedy_sampler, make_logits_processors

from ultralab.engines.types import Sampling

Sampler = Callable[[mx.array], mx.array]
Processor = Callable[[mx.array, mx.array], mx.array]

LOOK_BACK = 64
"""Tokens, prompt and answer, that penalties look at: llama.cpp's default (``repeat_last_n``); mlx-lm's is 20."""


def sampler(sampling: Sampling, vocabulary: int) -> Sampler:
    """A function from log-probabilities (rows, vocabulary) to tokens (rows); filters in mlx-lm's order."""
    if sampling.temperature <= 0:
        return greedy_sampler
    key = mx.random.key(sampling.seed or 0)

    def draw(logprobs: mx.array) -> mx.array:
        nonlocal key
        rows = logprobs.astype(mx.float32)
        if 0 < sampling.top_p < 1:
            rows = apply_top_p(rows, sampling.top_p)
        if 0 < sampling.min_p <= 1:
            rows = apply_min_p(rows, sampling.min_p)
        if 0 < sampling.top_k < vocabulary:
            rows = apply_top_k(rows, sampling.top_k)
        key, own = mx.random.split(key)
        return mx.random.categorical(rows * (1 / sampling.temperature), key=own)

    return draw


def penalties(sampling: Sampling) -> list[Processor]:
    """mlx-lm's processors of logits; none where nothing is penalized. They get every token of prompt and answer."""
    return list(
        make_logits_processors(
            repetition_penalty=sampling.repeat_penalty if sampling.repeat_penalty != 1 else None,
            repetition_context_size=LOOK_BACK,
            presence_penalty=sampling.presence_penalty,
            presence_context_size=LOOK_BACK,
            frequency_penalty=sampling.frequency_penalty,
            frequency_context_size=LOOK_BACK,
        )
    )


def after(tokens: list[int], processor: Processor) -> Processor:
    """A processor that is told of ``tokens`` before those that it gets: a prompt that was read elsewhere."""
    before = mx.array(tokens[-LOOK_BACK:], mx.int32)

    def told(seen: mx.array, logits: mx.array) -> mx.array:
        return processor(mx.concatenate([before, seen.astype(mx.int32)]), logits)

    return told


class Watch:
    """A processor that changes nothing: it keeps the model's own log-probabilities, one row for each coming token."""

    def __init__(self) -> None:
        self._rows: deque[mx.array] = deque()

    def __call__(self, seen: mx.array, logits: mx.array) -> mx.array:
        """Computed in float32 and as a new array: penalties write into the one that they get."""
        self._rows.append(normal(logits[0]))
        return logits

    def next(self) -> mx.array:
        """The row of the token that comes now."""
        return self._rows.popleft()


def normal(logits: mx.array) -> mx.array:
    """Log-probabilities of the last axis in float32."""
    wide = logits.astype(mx.float32)
    return wide - mx.logsumexp(wide, axis=-1, keepdims=True)


def report(row: mx.array, token: int, top: int) -> tuple[float, tuple[tuple[int, float], ...]]:
    """A token's log-probability in a row, and the likeliest ones."""
    count = min(top, row.shape[-1])
    places = mx.argpartition(-row, kth=count - 1)[:count]
    values = row[places]
    mx.eval(places, values)
    numbers: Any = places.tolist()
    heights: Any = values.tolist()
    found = sorted(zip(numbers, heights, strict=True), key=lambda one: (-one[1], one[0]))
    own: Any = row[token].item()
    return float(own), tuple((int(place), float(value)) for place, value in found)
