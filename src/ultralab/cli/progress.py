"""Progress on standard error: bars on a terminal, one line per finished step elsewhere, nothing when quiet.

``ULTRALAB_PROGRESS`` names a file that gets it as data besides (``ultralab.cli.progress_file``), and then no bars.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.text import Text

from ultralab.cli.frame import Request
from ultralab.cli.progress_file import Recorded
from ultralab.kernel import progress as seam
from ultralab.kernel.units import format_seconds
from ultralab.system import clock, environ


def progress_for(request: Request) -> seam.Progress:
    """The right kind for this invocation."""
    file = environ.read("ULTRALAB_PROGRESS")
    shown: seam.Progress = seam.SILENT
    if not (request.quiet or request.json):
        console = Console(stderr=True, highlight=False, markup=False, emoji=False)
        shown = Drawn(console, bars=sys.stderr.isatty() and file is None)
    return shown if file is None else Recorded(Path(file), shown)


class Drawn:
    """Draws steps one below the other; a finished one stays as a quiet line with its duration."""

    def __init__(self, console: Console, *, bars: bool) -> None:
        self._console = console
        self._bars = bars

    def say(self, text: str) -> None:
        """Print a sentence between the steps."""
        self._console.print(text, soft_wrap=False)

    def step(self, label: str, total: float | None = None, unit: seam.Unit = "") -> AbstractContextManager[seam.Step]:
        """A step, drawn while it lasts."""
        return self._step(label, total, unit)

    @contextmanager
    def _step(self, label: str, total: float | None, unit: seam.Unit) -> Iterator[seam.Step]:
        begun = clock.monotonic()
        if not self._bars:
            yield _Quiet()
            self._done(label, begun)
            return
        with Progress(*_columns(unit, total), console=self._console, transient=True) as bars:
            task = bars.add_task(label, total=total)
            yield _Bar(bars, task)
        self._done(label, begun)

    def _done(self, label: str, begun: float) -> None:
        took = format_seconds(clock.monotonic() - begun)
        self._console.print(Text.assemble(("  ✓ ", "green"), (label, ""), (f"  {took}", "dim")))


class _Bar:
    def __init__(self, bars: Progress, task: Any) -> None:
        self._bars, self._task = bars, task

    def advance(self, amount: float = 1) -> None:
        self._bars.advance(self._task, amount)

    def describe(self, text: str) -> None:
        self._bars.update(self._task, description=text)


class _Quiet:
    def advance(self, amount: float = 1) -> None:
        return None

    def describe(self, text: str) -> None:
        return None


class _Share(ProgressColumn):
    """A percentage, for steps that count nothing nameable."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.percentage:>3.0f} %" if task.total else "")


def _columns(unit: seam.Unit, total: float | None) -> list[ProgressColumn]:
    columns: list[ProgressColumn] = [
        SpinnerColumn("dots", finished_text=" "),
        TextColumn("{task.description}", markup=False),
    ]
    if total is None:
        return [*columns, DownloadColumn(), TransferSpeedColumn()] if unit == "bytes" else columns
    columns.append(BarColumn(bar_width=24))
    if unit == "bytes":
        return [*columns, DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn(compact=True)]
    if unit in ("tokens", "items"):
        return [*columns, MofNCompleteColumn(), TimeRemainingColumn(compact=True)]
    return [*columns, _Share(), TimeRemainingColumn(compact=True)]
