"""How predictions and results look in a terminal: tables that fit 80 columns."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ultralab.cli.home import program, typed
from ultralab.cli.output import table
from ultralab.kernel.language import _
from ultralab.kernel.units import format_bytes
from ultralab.setup.examples import EXAMPLE

if TYPE_CHECKING:
    from rich.console import Console

    from ultralab.experiments.bench import Result, Subject
    from ultralab.experiments.types import Expected, RunRecord


def draw_expected(console: Console, expected: Sequence[tuple[Subject, Expected]]) -> None:
    """What the planner says before anything is made or loaded."""
    rows = table(
        _("Variant"),
        _("Bits/weight"),
        _("Weights"),
        _("Memory"),
        _("Decode tok/s"),
        _("Range"),
        numbers=(1, 2, 3, 4, 5),
    )
    for subject, one in expected:
        shape = subject.shape
        rows.add_row(
            f"{subject.label} *" if subject.target is None else subject.label,
            f"{8 * shape.weight_bytes / shape.parameters:.2f}",
            format_bytes(shape.weight_bytes),
            format_bytes(one.memory_bytes),
            f"{one.decode_tok_s:.0f}",
            f"{one.decode_low:.0f}–{one.decode_high:.0f}",
        )
    console.print(rows)
    bases = {_(one.memory_basis) for _subject, one in expected} | {_(one.decode_basis) for _subject, one in expected}
    console.print(_("* the reference.  Basis: {basis}.").format(basis=_("; ").join(sorted(bases))), style="dim")


def draw_comparison(console: Console, folder: Path, runs: Sequence[RunRecord]) -> None:
    """What was measured, one line a run, and what is better in bold."""
    from rich.text import Text

    from ultralab.experiments.report import comparison_rows, read_scores

    rows = table(
        _("Variant"),
        _("Bits/w"),
        _("Memory"),
        _("Decode"),
        _("Prefill"),
        "TTFT",
        "NLL",
        _("Agree"),
        numbers=(1, 2, 3, 4, 5, 6, 7),
    )
    failed = []
    for row in comparison_rows(runs, read_scores(folder, runs)):
        seen = row.measured
        label = f"{row.label} *" if row.run.reference else row.label
        if seen is None:
            failed.append(row)
            rows.add_row(label, f"{row.run.bits_per_weight:.2f}", "–", "–", "–", "–", "–", "–")
            continue

        def best(column: str, text: str, winners: frozenset[str] = row.best) -> Text:
            return Text(text, "bold green" if column in winners else "")

        rows.add_row(
            label,
            f"{row.run.bits_per_weight:.2f}",
            best("memory", format_bytes(seen.memory_bytes)),
            best("decode", f"{seen.decode_tok_s.median:.1f}"),
            best("prefill", f"{seen.prefill_tok_s.median:.0f}"),
            best("ttft", f"{seen.ttft_s.median:.2f} s"),
            best("nll", f"{seen.nll:.4f}"),
            best("agreement", "–" if row.agreement is None else f"{row.agreement:.1%}"),
        )
    console.print(rows)
    console.print(
        _("* the reference.  Decode, prefill: tok/s.  NLL: nats per token, lower is better.  Bold: best."), style="dim"
    )
    for row in failed:
        if row.run.problem:
            console.print(Text.assemble(("✗", "red"), f" {row.label}: {row.run.problem}"))


def draw_result(console: Console, result: Result) -> None:
    """The comparison, the paths, and what a person would type next."""
    draw_comparison(console, result.folder, result.runs)
    for warning in result.warnings:
        console.print(_("Warning: {message}").format(message=warning), style="yellow")
    console.print()
    console.print(_("The report:"), style="bold")
    for path in (result.html, result.markdown):
        console.print(f"  {typed(path)}", soft_wrap=True)


def draw_next(console: Console, home: Path) -> None:
    """Three commands to go on with."""
    name, where = program(), typed(home)
    example = typed(home / "experiments" / "templates" / EXAMPLE)
    console.print()
    console.print(_("What you could type next:"), style="bold")
    for command, why in (
        (f"{name} experiments show last --home {where}", _("the same table again, from the records")),
        (f"{name} run {example} --home {where}", _("change a line of that file first, then compare")),
        (f"{name} init", _("a lab of your own, in ~/ultralab")),
    ):
        console.print(f"  {command}", style="bold cyan", soft_wrap=True)
        console.print(f"      {why}", style="dim")
