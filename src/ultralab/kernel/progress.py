"""How a long verb tells what it is doing, without knowing who watches.

A verb takes a ``Progress`` and opens one ``Step`` per long piece of work. The command line draws bars, a job
writes lines, a test collects values; the default says nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Literal, Protocol

Unit = Literal["bytes", "tokens", "items", ""]


class Step(Protocol):
    """One piece of work under way."""

    def advance(self, amount: float = 1) -> None:
        """Add to what is done."""

    def describe(self, text: str) -> None:
        """Replace the short text beside the bar (already translated)."""


class Progress(Protocol):
    """Receives steps. ``step`` is a context manager: leaving it ends the step, by error too."""

    def step(self, label: str, total: float | None = None, unit: Unit = "") -> AbstractContextManager[Step]:
        """Open a step; ``label`` is already translated, ``total`` None means unknown."""

    def say(self, text: str) -> None:
        """A sentence for the person who watches (already translated)."""


class _SilentStep:
    def advance(self, amount: float = 1) -> None:
        return None

    def describe(self, text: str) -> None:
        return None


class Silent:
    """Watches nothing."""

    @contextmanager
    def _step(self) -> Iterator[Step]:
        yield _SilentStep()

    def step(self, label: str, total: float | None = None, unit: Unit = "") -> AbstractContextManager[Step]:
        """A step nobody sees."""
        return self._step()

    def say(self, text: str) -> None:
        """Nothing."""


SILENT: Progress = Silent()
