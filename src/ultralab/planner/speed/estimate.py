"""A speed before this machine's own measurements are taken into account."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from ultralab.kernel.language import N_
from ultralab.planner.speed.calibration import Correction
from ultralab.planner.types import Prediction

UNKNOWN_SHAPE: Final = N_("the architecture is not known: between no cache at all and one that every layer keeps whole")
SLOWER: Final = 3.0
"""How many times slower than the nearest measured thing may be what nobody measured."""


@dataclass(frozen=True)
class Estimate:
    """Tokens per second and the band of public knowledge; ``value`` 0: nobody can say, and ``basis`` says why.

    ``known`` is false where the model's architecture is not: then own measurements of other models say nothing.
    """

    value: float
    low: float
    high: float
    basis: str
    known: bool = True

    @property
    def spread(self) -> float:
        """Half the band's width, of the logarithm."""
        return math.log(self.high / self.low) / 2 if self.low > 0 else 0.0


def within(value: float, spread: float, basis: str) -> Estimate:
    """A value with a band of the same ratio on both sides."""
    return Estimate(value, value * math.exp(-spread), value * math.exp(spread), basis)


def unknown(basis: str) -> Estimate:
    """No value."""
    return Estimate(0.0, 0.0, 0.0, basis, known=False)


def corrected(estimate: Estimate, own: Correction | None, basis: str) -> Prediction:
    """The prediction: as estimated, or by what this machine measured itself, with ``basis``."""
    if own is None or not estimate.known:
        return Prediction(estimate.value, estimate.low, estimate.high, estimate.basis)
    found = within(estimate.value * own.factor, own.spread, basis)
    return Prediction(found.value, found.low, found.high, found.basis)
