"""When to try again, and when a connection is too slow to wait for. Decisions only: nothing here sleeps."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


@dataclass(frozen=True)
class Patience:
    """How often one connection tries without receiving a byte, and how long it waits.

    ``first_wait`` seconds, doubled each time up to ``longest``; a server's own wish (Retry-After) is heard up to
    ``longest_wish``. Without a byte for ``stall`` seconds, or slower than ``slowest`` bytes a second over as long a time,
    a connection is given up for a new one.
    """

    tries: int = 5
    first_wait: float = 0.5
    longest: float = 60.0
    longest_wish: float = 300.0
    stall: float = 30.0
    slowest: int = 1024


def wait_before(patience: Patience, failures: int, wish: float | None = None) -> float | None:
    """Seconds to wait after so many failures in a row (1 or more); None to give up."""
    if failures >= patience.tries:
        return None
    if wish is not None:
        return min(max(wish, 0.0), patience.longest_wish)
    doubled = patience.first_wait * 2.0 ** min(failures - 1, 60)
    return min(doubled, patience.longest)


def wished_wait(retry_after: str, now: datetime) -> float | None:
    """Seconds that a Retry-After header asks for (RFC 9110, 10.2.3: seconds or an HTTP date); None if it says nothing."""
    text = retry_after.strip()
    if text.isascii() and text.isdecimal():
        return float(text[:9])
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - now).total_seconds())


class Pace:
    """How fast one connection was over the last ``stall`` seconds."""

    def __init__(self, patience: Patience, now: float) -> None:
        self._window = patience.stall
        self._least = patience.slowest * patience.stall
        self._seen: deque[tuple[float, int]] = deque([(now, 0)])
        self._total = 0

    def is_too_slow(self, now: float, received: int) -> bool:
        """Tell it of bytes that came; whether the connection is not worth keeping."""
        self._total += received
        if now - self._seen[-1][0] >= self._window / 8:
            self._seen.append((now, self._total))
        while len(self._seen) > 1 and now - self._seen[1][0] >= self._window:
            self._seen.popleft()
        since, had = self._seen[0]
        return now - since >= self._window and self._total - had < self._least
