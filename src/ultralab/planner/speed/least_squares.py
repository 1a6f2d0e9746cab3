"""Weighted least squares on a few unknowns that cannot be less than given bounds, robust against outliers."""

from __future__ import annotations

from collections.abc import Sequence

_ROUNDS = 25
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
        found = _once(rows, now, prior, strength)
        found = [max(value, bound) for value, bound in zip(found, least, strict=True)]
        off = [abs(sum(term * value for term, value in zip(row, found, strict=True)) - 1) for row in rows]
        now = [weight / max(residual, _FLOOR) for weight, residual in zip(weights, off, strict=True)]
    return found


def _once(
    rows: Sequence[Sequence[float]], weights: Sequence[float], prior: Sequence[float], strength: float
) -> list[float]:
    """The normal equations of one round."""
    size = len(prior)
    matrix = [
        [sum(w * row[i] * row[j] for w, row in zip(weights, rows, strict=True)) for j in range(size)]
        for i in range(size)
    ]
    right = [sum(w * row[i] for w, row in zip(weights, rows, strict=True)) for i in range(size)]
    for i in range(size):
        matrix[i][i] += strength / prior[i] ** 2
        right[i] += strength / prior[i]
    return _gauss(matrix, right)


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
