"""Progress on standard error: bars on a terminal, one line per finished step elsewhere, nothing when quiet.

``ULTRALAB_PROGRESS`` names a file that gets it as data besides (``ultralab.cli.progress_file``), and then no bars.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Final

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
)
from rich.table import Column
from rich.text import Text

from ultralab.cli.frame import Request
from ultralab.cli.progress_file import Recorded
from ultralab.kernel import progress as seam
from ultralab.kernel.units import format_bytes, format_seconds
from ultralab.system import clock, environ

_WIDE: Final = 100
_LABEL: Final = 10
_FIGURES: Final = 40
"""Cells for a spinner, bytes done and in all, bytes per second and time left, with what is between them."""


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
        with Progress(*_columns(unit, total, self._console.width), console=self._console, transient=True) as bars:
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


class _Speed(ProgressColumn):
    """Bytes per second, in the units of everything else that is shown."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{format_bytes(int(speed))}/s" if speed else "")


def _columns(unit: seam.Unit, total: float | None, width: int) -> list[ProgressColumn]:
    """The columns of a step on a terminal of ``width``: where that is little, the label gives way, not rate and time."""
    bar = 24 if width >= _WIDE else 12
    room = max(_LABEL, width - bar - _FIGURES)
    label = TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True, max_width=room))
    columns: list[ProgressColumn] = [SpinnerColumn("dots", finished_text=" "), label]
    if total is None:
        return [*columns, DownloadColumn(binary_units=True), _Speed()] if unit == "bytes" else columns
    columns.append(BarColumn(bar_width=bar))
    if unit == "bytes":
        return [*columns, DownloadColumn(binary_units=True), _Speed(), TimeRemainingColumn(compact=True)]
    if unit in ("tokens", "items"):
        return [*columns, MofNCompleteColumn(), TimeRemainingColumn(compact=True)]
    return [*columns, _Share(), TimeRemainingColumn(compact=True)]
