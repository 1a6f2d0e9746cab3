"""The end of an engine's log: what it said since it was started, fit to be shown."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from ultralab.kernel.text import printable

_TAIL = 64 * 1024
_LONGEST = 2000  # characters of one line that are looked at


@dataclass(frozen=True)
class Log:
    """A log that may hold earlier runs: ``begin`` is its size in bytes when this one began."""

    path: Path
    begin: int

    def mark(self) -> tuple[int, int]:
        """A value that changes when something is written."""
        try:
            state = self.path.stat()
        except OSError:
            return (0, 0)
        return (state.st_size, state.st_mtime_ns)

    def lines(self) -> tuple[str, ...]:
        """The newest lines that are not empty, oldest first, without control characters. Never raises."""
        try:
            with self.path.open("rb") as stream:
                size = stream.seek(0, os.SEEK_END)
                # A log that was over its limit lost its middle: then the beginning of this run cannot be told any more.
                first = self.begin if self.begin <= size else 0
                stream.seek(max(first, size - _TAIL))
                data = stream.read(_TAIL)
        except OSError:
            return ()
        found = (line.decode("utf-8", "replace").strip() for line in data.splitlines())
        return tuple(printable(line[:_LONGEST], _LONGEST) for line in found if line)


def opened(path: Path) -> Log:
    """The log of a run that begins now."""
    try:
        return Log(path, path.stat().st_size)
    except OSError:
        return Log(path, 0)


def last_words(lines: tuple[str, ...], count: int = 5, width: int = 400) -> str:
    """The last ``count`` lines as one, the newest ``width`` characters of it."""
    whole = " / ".join(lines[-count:])
    return whole if len(whole) <= width else "…" + whole[-(width - 1) :]
