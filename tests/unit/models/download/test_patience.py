"""When to try again, and what is too slow."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from ultralab.models.download.patience import Pace, Patience, wait_before, wished_wait

NOW = datetime(2026, 11, 23, 10, 0, 0, tzinfo=UTC)
PATIENCE = Patience(tries=6, first_wait=1, longest=5, longest_wish=100, stall=10, slowest=1000)


def test_waits_double_up_to_the_longest_and_end() -> None:
    assert [wait_before(PATIENCE, number) for number in range(1, 7)] == [1, 2, 4, 5, 5, None]


def test_a_servers_wish_counts_within_bounds() -> None:
    assert [wait_before(PATIENCE, 1, wish) for wish in (0, 7, 10**9, -3)] == [0, 7, 100, 0]
    assert wait_before(PATIENCE, 6, 7) is None
    assert wait_before(Patience(tries=10**9), 10**8) == 60


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("120", 120),
        (" 0 ", 0),
        ("9" * 400, 999999999),
        ("Mon, 23 Nov 2026 10:00:30 GMT", 30),
        ("Mon, 23 Nov 2026 09:00:00 GMT", 0),
        ("Monday, 23-Nov-26 10:01:00 GMT", 60),
        ("Mon, 23 Nov 2026 10:00:30 -0000", 30),
        ("", None),
        ("-1", None),
        ("soon", None),
        ("²", None),
        ("Mon, 99 Nov 2026 10:00:30 GMT", None),
    ],
)
def test_retry_after(text: str, seconds: float | None) -> None:
    assert wished_wait(text, NOW) == seconds


def test_a_pace_is_judged_over_its_whole_window() -> None:
    pace = Pace(PATIENCE, 0.0)
    assert not any(pace.is_too_slow(float(second), 10) for second in range(1, 10))
    assert pace.is_too_slow(10.0, 10)


def test_a_fast_beginning_does_not_excuse_what_follows() -> None:
    pace = Pace(PATIENCE, 0.0)
    assert not pace.is_too_slow(1.0, 10**9)
    assert not pace.is_too_slow(5.0, 10)
    assert not pace.is_too_slow(9.0, 10)
    assert pace.is_too_slow(30.0, 10)


def test_fast_enough_stays() -> None:
    pace = Pace(PATIENCE, 0.0)
    assert not any(pace.is_too_slow(float(second), 1100) for second in range(1, 200))
