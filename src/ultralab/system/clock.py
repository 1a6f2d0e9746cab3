"""The one door to time."""

from __future__ import annotations

import time
from datetime import UTC, datetime


def now() -> datetime:
    """The current moment, with the local zone's offset, to the second."""
    return datetime.now(UTC).astimezone().replace(microsecond=0)


def timestamp() -> float:
    """Seconds since the epoch, for data that is plotted against wall time."""
    return time.time()


def monotonic() -> float:
    """Seconds from an arbitrary start, never going back: for measuring durations."""
    return time.perf_counter()


def sleep(seconds: float) -> None:
    """Wait."""
    time.sleep(seconds)
