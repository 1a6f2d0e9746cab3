"""The choice among the rows of a table. Pure.

The rule, in this order:

1. A row *fits* when its memory, with the error of the prediction and of the size, stays below the machine's limit. It is
   *tight* when it leaves less than a margin (2 % of the limit): it is shown so, and not chosen.
2. Fewer than four bits per weight are taken only where nothing else fits.
3. Of those that are left, with the wanted context and decode at least the wanted tokens per second, the best quality
   wins (:func:`quality_of`). Equal quality: what is known where to pull, then the faster one.
4. Where none is fast enough, the same among those with at least half of the wanted speed, but bits beyond six and a half
   count for nothing: nobody should wait for the 0.3 % of perplexity that Q6_K costs (``quality_figures.yaml``).
5. Where none has even that, the fastest.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from ultralab.assess.advice.types import Row, Wish
from ultralab.assess.types import Place
from ultralab.planner.types import MemoryPlan

HALF: Final = 0.5
"""The part of the wanted speed that quality is not given up for, where nothing has all of it."""

_PLAIN: Final = frozenset({"Q4_0", "Q4_1", "Q5_0", "Q5_1"})
_PLAIN_COST: Final = 0.5
_PLAIN_BELOW: Final = 6.0
_ENOUGH: Final = 6.5


def choose(rows: Sequence[Row], wish: Wish) -> Row | None:
    """The row that the rule of this module takes; None where nothing is known to fit."""
    fitting = [one for one in rows if one.fits and not one.tight]
    if not fitting:
        return None
    good = [one for one in fitting if enough_bits(one, wish)] or fitting
    for part, most in ((1.0, math.inf), (HALF, _ENOUGH)):
        fast = [one for one in good if not is_slow(one, wish, part)]
        if fast:
            return max(fast, key=lambda one: _rank(one, fast, most))
    return max(good, key=lambda one: one.decode.prediction.value)


def holds(limit: int, needed: int, memory: MemoryPlan) -> bool | None:
    """Whether ``needed`` bytes fit below a limit; None where ``memory`` is an upper bound and nobody can say."""
    if needed <= limit:
        return True
    return False if memory.known or memory.weights.bytes > limit else None


def usable(limit: int, wish: Wish) -> int:
    """Bytes of a limit that a choice may take: all but the margin."""
    return round(limit * (1 - wish.margin))


def under(rows: Sequence[Row], place: Place, limit: int, wish: Wish) -> list[Row]:
    """The same rows on the same machine with another limit, bytes."""
    return [
        replace(
            one,
            fits=holds(limit, one.needed, one.memory),
            tight=usable(limit, wish) < one.needed <= limit,
        )
        for one in rows
        if one.needed <= place.memory_bytes
    ]


def is_slow(one: Row, wish: Wish, part: float = 1.0) -> bool:
    """Whether it is known to decode slower than wanted: an unknown speed is no reason against a model."""
    return 0 < one.decode.prediction.value < part * wish.least_decode


def enough_bits(one: Row, wish: Wish) -> bool:
    """Whether it has at least the bits per weight below which a quantization is taken only for want of room."""
    return min(one.candidate.bits_per_weight, one.candidate.trained_bits) >= wish.least_bits


def quality_of(one: Row) -> float:
    """Bits per weight as far as they are worth something: in tenths, and none beyond those that a model was trained in.

    Plain blocks (``Q4_0``, ``Q5_1``, MLX's own quantization) count half a bit less: in llama.cpp's table for Llama-3-8B
    (``tools/perplexity/README.md``) Q4_0 costs twice what IQ4_XS does, which is smaller, and as much as Q3_K_L.
    """
    candidate = one.candidate
    bits = min(candidate.bits_per_weight, candidate.trained_bits)
    plain = candidate.format == "mlx" or candidate.quantization in _PLAIN
    return round(bits - (_PLAIN_COST if plain and bits < _PLAIN_BELOW else 0), 1)


def _rank(one: Row, among: Sequence[Row], most: float) -> tuple[float, float, bool, float]:
    """A larger one is better. The lab's own measurements of this very model count only where all rows have one."""
    ratios = [_own_ratio(other) for other in among]
    own = _own_ratio(one)
    measured = -own if own is not None and None not in ratios else 0.0
    return measured, min(most, quality_of(one)), bool(one.candidate.ref), one.decode.prediction.value


def _own_ratio(one: Row) -> float | None:
    found = one.loss
    return found.loss.perplexity_ratio if found and found.loss.is_own and not found.transferred else None
