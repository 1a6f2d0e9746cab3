"""The comparison as figures: one row per run, with its changes against the reference. Pure; no words, no formats."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

from ultralab.experiments.report.scores import Positions, margin, resolution
from ultralab.experiments.types import Measured, RunRecord, Spread

Column = Literal["file", "memory", "decode", "prefill", "ttft", "nll", "agreement"]
Rank = tuple[float, float, float]
"""How good a figure is, smaller is better: its middle, its best and its worst reading."""


@dataclass(frozen=True)
class Row:
    """One run beside the reference.

    ``measured`` is None unless the run finished. Every ``*_change`` is relative to the reference (0.07 is 7 % more),
    ``nll_change`` is in nats per token, ``nll_margin`` half its 95 % interval where every position's score is known; they are None for the reference itself and where nothing can be compared.
    ``timing_gap`` is the client's decode speed over the engine's own, minus 1; ``memory_error`` the predicted memory
    over the measured, minus 1. ``best`` names the columns in which no other run is measurably better: speeds whose ranges overlap tie.
    """

    run: RunRecord
    label: str
    measured: Measured | None = None
    perplexity: float | None = None
    agreement: float | None = None
    memory_change: float | None = None
    decode_change: float | None = None
    prefill_change: float | None = None
    nll_change: float | None = None
    nll_margin: float | None = None
    perplexity_change: float | None = None
    timing_gap: float | None = None
    memory_error: float | None = None
    decode_inside: bool | None = None
    best: frozenset[Column] = frozenset()


def comparison_rows(
    runs: Sequence[RunRecord], scores: Mapping[str, Positions] = MappingProxyType({})
) -> tuple[Row, ...]:
    """One row per run: the finished ones from most to fewest bits per weight, then the others as they came.

    ``scores`` (see ``scores.read_scores``) make the margins of the differences in NLL known.
    """
    labels = _labels(runs)
    rows = [_alone(run, label) for run, label in zip(runs, labels, strict=True)]
    reference = next((row for row in rows if row.run.reference and row.measured), None)
    compared = [_against(row, reference, scores) for row in rows]
    finished = sorted((row for row in compared if row.measured), key=lambda row: -row.run.bits_per_weight)
    return (*_with_best(finished), *(row for row in compared if not row.measured))


def finished(rows: Sequence[Row]) -> tuple[tuple[Row, Measured], ...]:
    """The rows that have figures, each with them."""
    return tuple((row, row.measured) for row in rows if row.measured)


def reference_of(rows: Sequence[Row]) -> Row | None:
    """The finished reference, if there is one."""
    return next((row for row in rows if row.run.reference and row.measured), None)


def overlap(one: Spread, other: Spread) -> bool:
    """Whether the ranges of two figures meet, so that the repeats do not tell them apart."""
    return one.low <= other.high and other.low <= one.high


def relative_spread(spread: Spread) -> float:
    """(largest - smallest) / median; 0 for a median that is not positive."""
    return (spread.high - spread.low) / spread.median if spread.median > 0 else 0.0


def doubt(row: Row, measured: Measured) -> float:
    """The difference in NLL against the reference that may be chance: measured where it could be, else by the rule."""
    return resolution(measured.scored_tokens) if row.nll_margin is None else row.nll_margin


def settled(row: Row, measured: Measured) -> bool:
    """Whether the difference in NLL against the reference is more than chance may make."""
    return row.nll_change is not None and abs(row.nll_change) >= doubt(row, measured)


def _labels(runs: Sequence[RunRecord]) -> list[str]:
    """How to call each run: its quantization where the variant is named after it, and never two alike."""
    plain = [run.quantization if run.variant.casefold() == run.quantization.casefold() else run.variant for run in runs]
    seen = Counter(plain)
    return [f"{name} ({run.id[-4:]})" if seen[name] > 1 else name for run, name in zip(runs, plain, strict=True)]


def _alone(run: RunRecord, label: str) -> Row:
    measured = run.measured if run.status == "finished" else None
    if measured is None:
        return Row(run, label)
    row = Row(
        run,
        label,
        measured=measured,
        perplexity=_exp(measured.nll),
        timing_gap=_relative(measured.decode_tok_s.median, measured.engine_decode_tok_s.median),
    )
    if run.expected is None:
        return row
    expected = run.expected
    return replace(
        row,
        memory_error=_relative(expected.memory_bytes, measured.memory_bytes),
        decode_inside=expected.decode_low <= measured.decode_tok_s.median <= expected.decode_high,
    )


def _against(row: Row, reference: Row | None, scores: Mapping[str, Positions]) -> Row:
    mine, other = row.measured, reference.measured if reference else None
    if mine is None or other is None or reference is None:
        return row
    row = replace(row, agreement=mine.agreement)
    if row.run.id == reference.run.id:
        return row
    nll_change = mine.nll - other.nll
    comparable = math.isfinite(nll_change)
    return replace(
        row,
        memory_change=_relative(mine.memory_bytes, other.memory_bytes),
        decode_change=_relative(mine.decode_tok_s.median, other.decode_tok_s.median),
        prefill_change=_relative(mine.prefill_tok_s.median, other.prefill_tok_s.median),
        nll_change=nll_change if comparable else None,
        nll_margin=margin(scores, row.run.id, reference.run.id),
        perplexity_change=_less_one(_exp(nll_change)) if comparable else None,
    )


def _with_best(rows: Sequence[Row]) -> tuple[Row, ...]:
    if len(rows) < 2:
        return tuple(rows)
    # What cannot be told from the reference counts as its equal: nobody wins by chance.
    level = next((measured.nll for row, measured in finished(rows) if row.run.reference), math.nan)
    ranks: dict[Column, Callable[[Row, Measured], Rank]] = {
        "file": lambda row, _measured: _exact(row.run.model_bytes),
        "memory": lambda _row, measured: _exact(measured.memory_bytes),
        "decode": lambda _row, measured: _higher(measured.decode_tok_s),
        "prefill": lambda _row, measured: _higher(measured.prefill_tok_s),
        "ttft": lambda _row, measured: (measured.ttft_s.median, measured.ttft_s.low, measured.ttft_s.high),
        "nll": lambda row, measured: _exact(
            measured.nll if row.nll_change is None or settled(row, measured) else level
        ),
        "agreement": lambda row, _measured: _exact(
            math.nan if row.run.reference or row.agreement is None else -row.agreement
        ),
    }
    winners: dict[str, set[Column]] = {}
    for column, rank in ranks.items():
        ranked = [(rank(row, measured), row.run.id) for row, measured in finished(rows)]
        known = [(figures, run_id) for figures, run_id in ranked if math.isfinite(figures[0])]
        if not known:
            continue
        _middle, _low, reach = min(known)[0]
        for (_value, low, _high), run_id in known:
            if low <= reach:
                winners.setdefault(run_id, set()).add(column)
    return tuple(replace(row, best=frozenset(winners.get(row.run.id, ()))) for row in rows)


def _exact(value: float) -> Rank:
    return value, value, value


def _higher(spread: Spread) -> Rank:
    """Where more is better: turned round, so that the smallest is the best."""
    return -spread.median, -spread.high, -spread.low


def _relative(value: float, base: float) -> float | None:
    return value / base - 1 if base > 0 else None


def _exp(value: float) -> float | None:
    """``exp`` where it is a number that can be shown: nats beyond 700 overflow a double."""
    return math.exp(value) if math.isfinite(value) and value < 700 else None


def _less_one(value: float | None) -> float | None:
    return None if value is None else value - 1
