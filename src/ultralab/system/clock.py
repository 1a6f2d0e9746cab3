"""The one door to time."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from functools import lru_cache


def now() -> datetime:
    """The current moment, with the local zone's offset, to the second."""
    return datetime.now(UTC).astimezone().replace(microsecond=0)


def timestamp() -> float:
    """Seconds since the epoch, for data that is plotted against wall time."""
    return time.time()


def local_iso(moment: float) -> str:
    """Seconds since the epoch (1972 or later) as local time with its offset: ``2026-11-23T07:23:42+08:00``.

    Much faster than through a datetime: lists have thousands of moments. No zone's offset changes, or has changed since
    1972, within a quarter of an hour.
    """
    quarter, seconds = divmod(int(moment), 900)
    hour, minute, offset = _quarter(quarter)
    return f"{hour}:{minute + seconds // 60:02d}:{seconds % 60:02d}{offset}"


@lru_cache(maxsize=1024)
def _quarter(number: int) -> tuple[str, int, str]:
    local = datetime.fromtimestamp(number * 900, UTC).astimezone()
    return local.strftime("%Y-%m-%dT%H"), local.minute, local.isoformat(timespec="seconds")[19:]


def monotonic() -> float:
    """Seconds from an arbitrary start, never going back: for measuring durations."""
    return time.perf_counter()


def sleep(seconds: float) -> None:
    """Wait."""
    time.sleep(seconds)
