"""The tables of a report, as text ready to show: in the terminal, in Markdown, in HTML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ultralab.experiments.report.figures import MISSING, change, fixed, number, percent, signed, size
from ultralab.experiments.report.rows import Column, Row, finished
from ultralab.experiments.report.wording import Translate
from ultralab.experiments.types import Spread


@dataclass(frozen=True)
class Cell:
    """One figure: the text, a second smaller text (a change, a range), whether no other run is better."""

    text: str
    note: str = ""
    best: bool = False


@dataclass(frozen=True)
class Line:
    """One run: its name, a tag beside it (``reference``, ``failed``), its cells."""

    name: str
    tag: str
    reference: bool
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Heading:
    """A column's name and its unit or the direction in which it is better."""

    text: str
    note: str = ""


@dataclass(frozen=True)
class Table:
    """Headings (the first is the run's) and lines; each line has one cell less than there are headings."""

    headings: tuple[Heading, ...]
    lines: tuple[Line, ...]


def comparison(rows: Sequence[Row], _: Translate) -> Table:
    """Size, speed and quality of every run, with the changes against the reference."""
    headings = (
        Heading(_("Variant")),
        Heading(_("Bits per weight")),
        Heading(_("File"), "↓"),
        Heading(_("Memory"), "↓"),
        Heading(_("Decode"), "tok/s ↑"),
        Heading(_("Prefill"), "tok/s ↑"),
        Heading(_("TTFT"), "s ↓"),
        Heading(_("Perplexity"), "↓"),
        Heading(_("NLL"), _("nats/token ↓")),
        Heading(_("Same favourite token"), "↑"),
    )
    return Table(headings, tuple(_line(row, _compared(row), _) for row in rows))


def predictions(rows: Sequence[Row], _: Translate) -> Table:
    """What was predicted beside what was measured, and the client's clock beside the engine's."""
    headings = (
        Heading(_("Variant")),
        Heading(_("Memory predicted")),
        Heading(_("Memory measured")),
        Heading(_("Memory error"), _("of the prediction")),
        Heading(_("Decode predicted"), _("tok/s, band")),
        Heading(_("Decode measured"), _("tok/s, range")),
        Heading(_("Inside the band")),
        Heading(_("Decode by the engine"), _("tok/s, range")),
        Heading(_("Client against engine")),
    )
    return Table(headings, tuple(_line(row, _predicted(row, _), _) for row, _measured in finished(rows)))


def spread_of(spread: Spread, digits: int | None = None) -> Cell:
    """A median with its range; ``digits`` fixes the decimals."""

    def text(value: float) -> str:
        return number(value) if digits is None else fixed(value, digits)

    return Cell(text(spread.median), f"{text(spread.low)}–{text(spread.high)}")


def _line(row: Row, cells: tuple[Cell, ...], _: Translate) -> Line:
    if row.measured is None:
        tag = {"failed": _("failed"), "interrupted": _("interrupted")}.get(row.run.status, _("not finished"))
    else:
        tag = _("reference") if row.run.reference else ""
    return Line(row.label, tag, row.run.reference, cells)


def _compared(row: Row) -> tuple[Cell, ...]:
    measured = row.measured
    bits = Cell(fixed(row.run.bits_per_weight or None, 2))
    file = Cell(size(row.run.model_bytes), "", "file" in row.best)
    if measured is None:
        return (bits, file, *(Cell(MISSING) for _column in range(7)))

    def cell(text: str, delta: str, column: Column) -> Cell:
        return Cell(text, "" if delta == MISSING else delta, column in row.best)

    return (
        bits,
        file,
        cell(size(measured.memory_bytes), change(row.memory_change), "memory"),
        cell(number(measured.decode_tok_s.median), change(row.decode_change), "decode"),
        cell(number(measured.prefill_tok_s.median), change(row.prefill_change), "prefill"),
        cell(fixed(measured.ttft_s.median, 3), "", "ttft"),
        cell(number(row.perplexity), change(row.perplexity_change), "nll"),
        cell(fixed(measured.nll, 4), _with_margin(row), "nll"),
        cell(percent(row.agreement), "", "agreement"),
    )


def _predicted(row: Row, _: Translate) -> tuple[Cell, ...]:
    measured, expected = row.measured, row.run.expected
    if measured is None:
        return ()
    memory, speed, inside = Cell(MISSING), Cell(MISSING), MISSING
    if expected is not None:
        memory = Cell(size(expected.memory_bytes), f"±{percent(expected.memory_error_band, 0)}")
        speed = Cell(number(expected.decode_tok_s), f"{number(expected.decode_low)}–{number(expected.decode_high)}")
        inside = _("yes") if row.decode_inside else _("no")
    return (
        memory,
        Cell(size(measured.memory_bytes)),
        Cell(change(row.memory_error)),
        speed,
        spread_of(measured.decode_tok_s),
        Cell(inside),
        spread_of(measured.engine_decode_tok_s),
        Cell(change(row.timing_gap)),
    )


def _with_margin(row: Row) -> str:
    margin = "" if row.nll_margin is None else f" ± {fixed(row.nll_margin, 4)}"
    return signed(row.nll_change, 4) + margin
