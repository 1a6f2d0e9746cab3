"""What the sentences of a report share: the translation they are written with, lists, limits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from ultralab.experiments.report.rows import Row, finished, overlap
from ultralab.experiments.types import Measured

Translate = Callable[[str], str]
"""``_``, bound to the language of the report, which need not be the process's own."""

SPREAD_LIMIT: Final = 0.15
"""A range wider than this share of the median is called out."""
TIMING_LIMIT: Final = 0.15
"""The client's and the engine's own decode speed may differ by this share."""


def listed(parts: Sequence[str], _: Translate) -> str:
    """Names one after the other."""
    return _(", ").join(parts)


def fastest(rows: Sequence[Row]) -> tuple[Row, Measured] | None:
    """The finished run with the highest median decode speed."""
    return max(finished(rows), key=lambda pair: pair[1].decode_tok_s.median, default=None)


def rivals(rows: Sequence[Row]) -> list[str]:
    """The runs whose decode range meets that of the fastest."""
    best = fastest(rows)
    if best is None:
        return []
    winner, figures = best
    return [
        row.label
        for row, measured in finished(rows)
        if row.run.id != winner.run.id and overlap(measured.decode_tok_s, figures.decode_tok_s)
    ]
