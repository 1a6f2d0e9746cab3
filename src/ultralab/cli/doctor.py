"""``ultralab doctor`` and ``ultralab selftest``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ultralab.cli.frame import Command, Request
from ultralab.cli.home import home_of
from ultralab.kernel.errors import ChecksFailed
from ultralab.kernel.language import _, ngettext

if TYPE_CHECKING:
    from ultralab.setup.doctor import Checked, Kind

_SIGNS = {"pass": ("✓", "green"), "warn": ("!", "yellow"), "fail": ("✗", "red"), "skip": ("–", "dim")}


@click.command(
    cls=Command,
    help=_("Check this installation, this machine and (if there is one) this lab."),
    examples=("ultralab doctor", "ultralab doctor --json"),
)
@click.pass_obj
def doctor(request: Request) -> None:
    """Run the health checks."""
    _check(request, "doctor")


@click.command(
    cls=Command,
    help=_("Check on this very machine what ultralab claims, with the numbers measured here."),
    examples=("ultralab selftest", "ultralab selftest --json > selftest.json"),
)
@click.pass_obj
def selftest(request: Request) -> None:
    """Run the self-test."""
    _check(request, "selftest")


def _check(request: Request, kind: Kind) -> None:
    from ultralab.cli.output import show
    from ultralab.cli.progress import progress_for
    from ultralab.setup.doctor import all_checks, run_checks

    found = all_checks(kind, home_of(request))
    results: list[Checked] = []
    with progress_for(request).step(_("Checking"), len(found), "items") as step:
        for checked in run_checks(found):
            results.append(checked)
            step.advance()
    data = [
        {
            "name": one.check.name,
            "title": _(one.check.title),
            "verdict": one.finding.verdict,
            "detail": one.finding.detail,
            "hint": one.finding.hint,
        }
        for one in results
    ]
    show(request, data, lambda console: _draw(console, results))
    failed = [one.check.name for one in results if one.finding.verdict == "fail"]
    if failed:
        raise ChecksFailed(
            ngettext("{count} check failed: {names}", "{count} checks failed: {names}", len(failed)).format(
                count=len(failed), names=", ".join(failed)
            ),
            failed=failed,
        )


def _draw(console: object, results: list[Checked]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    assert isinstance(console, Console)
    rows = Table.grid(padding=(0, 1))
    rows.add_column()
    rows.add_column(overflow="fold")
    for one in results:
        sign, colour = _SIGNS[one.finding.verdict]
        text = Text.assemble((_(one.check.title), "bold"), "\n", one.finding.detail)
        if one.finding.hint:
            text.append(f"\n→ {one.finding.hint}", "dim")
        rows.add_row(Text(sign, colour), text)
    console.print(rows)
