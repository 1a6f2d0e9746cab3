"""Drawing a token: the few steps that every sampler has."""

from __future__ import annotations

import random
from collections.abc import Sequence

from ultralab.engines.types import Sampling


def chosen(odds: Sequence[float], sampling: Sampling, draws: random.Random) -> int:
    """A token, drawn by its probability after temperature, top-k, top-p and min-p, in this order.

    Raises ValueError for the penalties, which this engine does not know.
    """
    if (sampling.repeat_penalty, sampling.presence_penalty, sampling.frequency_penalty) != (1.0, 0.0, 0.0):
        raise ValueError("a parrot repeats itself: penalties are not known here")
    ranked = sorted(range(len(odds)), key=lambda token: (-odds[token], token))
    if sampling.temperature <= 0:
        return ranked[0]
    weights = [(odds[token] / odds[ranked[0]]) ** (1 / sampling.temperature) for token in ranked]
    left = sampling.top_k or len(ranked)
    left = min(left, _enough(weights[:left], sampling.top_p))
    left = sum(weight >= sampling.min_p for weight in weights[:left])
    return draws.choices(ranked[:left], weights[:left])[0]


def _enough(weights: Sequence[float], top_p: float) -> int:
    """How many of the likeliest tokens make up the share ``top_p``; at least one."""
    goal, summed = top_p * sum(weights), 0.0
    for number, weight in enumerate(weights, 1):
        summed += weight
        if summed >= goal:
            return number
    return len(weights)
