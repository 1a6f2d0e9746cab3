"""Weighted least squares on a few unknowns that cannot be less than given bounds, robust against outliers."""

from __future__ import annotations

from collections.abc import Sequence

_ROUNDS = 40
_SETTLED = 1e-6  # of the priors; when no unknown moves more, rounds end
_FLOOR = 0.03  # a residual below this counts as a square, above it by its size


def solve(
    rows: Sequence[Sequence[float]],
    weights: Sequence[float],
    prior: Sequence[float],
    least: Sequence[float],
    strength: float,
) -> list[float]:
    """The unknowns x for which ``row · x`` is nearest to 1 for every row, in the sum of weighted absolute deviations.

    Iteratively reweighted least squares. ``prior`` is what x is drawn to where rows say nothing: each unknown's relative
    deviation from it counts ``strength``, squared.
    """
    now = list(weights)
    found = list(prior)
    for _ in range(_ROUNDS):
        before, found = found, _once(rows, now, prior, least, strength)
        if all(abs(one - other) <= _SETTLED * scale for one, other, scale in zip(found, before, prior, strict=True)):
            break
        off = [abs(sum(term * value for term, value in zip(row, found, strict=True)) - 1) for row in rows]
        now = [weight / max(residual, _FLOOR) for weight, residual in zip(weights, off, strict=True)]
    return found


def _once(
    rows: Sequence[Sequence[float]],
    weights: Sequence[float],
    prior: Sequence[float],
    least: Sequence[float],
    strength: float,
) -> list[float]:
    """The normal equations of one round. An unknown that would fall below its bound is held there, and the others are
    solved anew: else they would make up for what it may not do.
    """
    size = len(prior)
    matrix = [
        [sum(w * row[i] * row[j] for w, row in zip(weights, rows, strict=True)) for j in range(size)]
        for i in range(size)
    ]
    right = [sum(w * row[i] for w, row in zip(weights, rows, strict=True)) for i in range(size)]
    for i in range(size):
        matrix[i][i] += strength / prior[i] ** 2
        right[i] += strength / prior[i]
    found, free = list(least), list(range(size))
    while free:
        held = [i for i in range(size) if i not in free]
        part = [[matrix[i][j] for j in free] for i in free]
        rest = [right[i] - sum(matrix[i][j] * least[j] for j in held) for i in free]
        for i, value in zip(free, _gauss(part, rest), strict=True):
            found[i] = value
        below = min(free, key=lambda i: (found[i] - least[i]) / prior[i])
        if found[below] >= least[below]:
            break
        found[below] = least[below]
        free.remove(below)
    return found


def _gauss(matrix: list[list[float]], right: list[float]) -> list[float]:
    """Solve a positive definite system; both arguments are used up."""
    size = len(right)
    for i in range(size):
        for j in range(i + 1, size):
            factor = matrix[j][i] / matrix[i][i]
            right[j] -= factor * right[i]
            for k in range(i, size):
                matrix[j][k] -= factor * matrix[i][k]
    found = [0.0] * size
    for i in reversed(range(size)):
        known = sum(matrix[i][k] * found[k] for k in range(i + 1, size))
        found[i] = (right[i] - known) / matrix[i][i]
    return found
