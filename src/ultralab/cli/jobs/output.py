"""What a job prints, as it is: exact bytes to standard output; what people are told besides goes to standard error."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Literal

import click

from ultralab.jobs.types import ACTIVE, OVER
from ultralab.kernel.errors import NotFound
from ultralab.kernel.language import _
from ultralab.kernel.units import format_bytes
from ultralab.system import clock, output

if TYPE_CHECKING:
    from rich.live import Live

    from ultralab.app.jobs import AttemptView, JobView

_LOOK: Final = 0.15


def attempt_of(view: JobView, number: int | None) -> AttemptView | None:
    """The attempt with this number, the last one by default; None where nothing has run. Raises NotFound."""
    if number is None:
        return view.attempts[-1] if view.attempts else None
    found = next((attempt for attempt in view.attempts if attempt.fence == number), None)
    if found is None:
        known = ", ".join(str(attempt.fence) for attempt in view.attempts)
        raise NotFound(
            _("Job {number} has no attempt {attempt}.").format(number=view.job.id, attempt=number),
            hint=_("Known: {known}.").format(known=known or "-"),
        )
    return found


def copy(folder: Path, out: BinaryIO, start: int, limit: int) -> tuple[int, bytes]:
    """Write an attempt's output from an offset on; the offset behind it, and its last byte (if any was written).

    A gap is told on standard error, where it is.
    """
    last = b""
    for piece in output.read(folder, start):
        if isinstance(piece, output.Gap):
            out.flush()
            click.echo(gap_note(piece, limit), err=True)
            start = piece.offset + piece.length
        else:
            out.write(piece)
            start += len(piece)
            last = piece[-1:]
    out.flush()
    return start, last


def gap_note(gap: output.Gap, limit: int) -> str:
    """A sentence in place of bytes that were not kept."""
    return _("… {size} left out here (limit {limit}) …").format(
        size=format_bytes(gap.length), limit=format_bytes(limit)
    )


def parts(folder: Path) -> dict[str, Any]:
    """Where an attempt's output is, as JSON: files with their offsets in the whole, and the gaps between them."""
    files = []
    gaps = []
    end = 0
    for offset, path, size in output.segments(folder):
        if offset > end:
            gaps.append({"offset": end, "bytes": offset - end})
        files.append({"offset": offset, "bytes": size, "path": str(path)})
        end = offset + size
    return {"bytes": end, "files": files, "gaps": gaps}


@dataclass(frozen=True)
class Place:
    """How far an attempt's output was passed on."""

    fence: int
    offset: int


def follow(
    look: Callable[[], JobView],
    out: BinaryIO | None,
    beside: Beside,
    limit: int,
    *,
    tail: int | None = None,
    only: int | None = None,
) -> JobView:
    """Pass on what a job prints, from attempt to attempt, until it (or the attempt ``only``) is over; the job then.

    ``look`` reads the job; ``out`` gets the bytes (None: nobody wants them), beginning with the last ``tail`` lines of
    what the last attempt printed so far. ``limit`` is for the notes about gaps.
    """
    place: Place | None = None
    first = True
    while True:
        view = look()  # before its output is read: then nothing of an attempt that is over is missed
        wanted = [item for item in view.attempts if item.fence == only or (only is None and _new(item, place))]
        for attempt in wanted[-1:] if first else wanted:
            if place is None or place.fence != attempt.fence:
                offset = output.tail_offset(attempt.folder, tail) if first and tail is not None else 0
                beside.begin(None if place is None else attempt.fence)
                place = Place(attempt.fence, offset)
            if out is not None and output.total(attempt.folder) > place.offset:
                beside.hush()
                offset, last = copy(attempt.folder, out, place.offset, limit)
                beside.line_is_open = last != b"\n"
                place = Place(attempt.fence, offset)
        if view.job.state in OVER or (only is not None and _is_over(view, only)):
            beside.hush()
            return view
        beside.tell(view)
        first = False
        clock.sleep(_LOOK)


def _new(attempt: AttemptView, place: Place | None) -> bool:
    return place is None or attempt.fence >= place.fence


def _is_over(view: JobView, fence: int) -> bool:
    return any(item.fence > fence or (item.fence == fence and item.ended is not None) for item in view.attempts)


class Beside:
    """What a person is told on standard error beside a job's output: why it waits, its progress as bars.

    ``says``: everything, only why it waits, or nothing. ``line_is_open``: the output stands in the middle of a line,
    which no bar may take away.
    """

    def __init__(self, says: Literal["all", "waits", "nothing"]) -> None:
        self._says = says
        self._bars = sys.stderr.isatty() and says == "all"
        self._said = ""
        self._live: Live | None = None
        self.line_is_open = False

    def begin(self, fence: int | None) -> None:
        """Say that another attempt begins (None: it is the first one that is followed)."""
        if fence is not None and self._says == "all":
            self.say(_("Attempt {number}:").format(number=fence))

    def say(self, text: str) -> None:
        """Print a sentence on a line of its own."""
        self.hush()
        if self.line_is_open and _one_place():
            click.echo(err=True)
            self.line_is_open = False
        click.echo(text, err=True)

    def tell(self, view: JobView) -> None:
        """Say why it waits or is stopped, once; draw its progress."""
        from ultralab.cli.jobs.page import progress_lines, why

        told = self._says == "all" or (self._says == "waits" and view.waiting is not None)
        sentence = why(view) if told else ""
        if sentence and sentence != self._said:
            self.say(sentence)
        self._said = sentence
        if self._bars and not self.line_is_open and view.job.state in ACTIVE and view.progress:
            self._draw("\n".join(progress_lines(view.progress, clock.timestamp(), under_way_only=True)))

    def hush(self) -> None:
        """Take the bars away: something is about to be printed."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _draw(self, text: str) -> None:
        from rich.console import Console
        from rich.live import Live
        from rich.text import Text

        if not text:
            self.hush()
            return
        if self._live is None:
            console = Console(stderr=True, highlight=False, markup=False, emoji=False)
            self._live = Live(console=console, auto_refresh=False, transient=True)
            self._live.start()
        self._live.update(Text(text), refresh=True)


def _one_place() -> bool:
    """Whether standard output and standard error end in the same place: a terminal, a file, a pipe."""
    try:
        return os.path.sameopenfile(sys.stdout.fileno(), sys.stderr.fileno())
    except (OSError, ValueError):
        return False
