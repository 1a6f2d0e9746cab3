"""Moments, durations and night windows as people write them, on days on which the clock changes too."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.jobs.scheduling import plan_sample

from ultralab.jobs.scheduling.wallclock import local, local_time, next_opening, night_open
from ultralab.jobs.scheduling.when import When, parse_duration, parse_night, parse_when
from ultralab.kernel.errors import RequestError

BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 11, 23, 12, 0, 30, tzinfo=BERLIN)
SPRING = datetime(2026, 3, 29, 0, 30, tzinfo=BERLIN)  # 02:00 becomes 03:00
AUTUMN = datetime(2026, 10, 25, 0, 30, tzinfo=BERLIN)  # 03:00 becomes 02:00
TWICE = datetime(2026, 10, 25, 0, 45, tzinfo=UTC).astimezone(BERLIN)  # 02:45, the first time


@pytest.fixture
def berlin() -> Iterator[None]:
    with plan_sample.berlin():
        yield


def _utc(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("text", "now", "moment"),
    [
        ("12:01", NOW, "2026-11-23 11:01"),
        ("12:00", NOW, "2026-11-24 11:00"),
        ("7:05", NOW, "2026-11-24 06:05"),
        (" 23:59 ", NOW, "2026-11-23 22:59"),
        ("2026-12-24 06:00", NOW, "2026-12-24 05:00"),
        ("2026-12-24T06:00:05", NOW, "2026-12-24 05:00:05"),
        ("2026-12-24t06:00z", NOW, "2026-12-24 06:00"),
        ("2026-12-24 06:00 -08:00", NOW, "2026-12-24 14:00"),
        ("2026-07-01 12:00", NOW, None),
        ("2027-07-01 12:00", NOW, "2027-07-01 10:00"),
        ("2026-11-23 12:00:30", NOW, "2026-11-23 11:00:30"),
        ("2026-11-23 12:00:29", NOW, None),
        ("+90s", NOW, "2026-11-23 11:02"),
        ("+2H30m", NOW, "2026-11-23 13:30:30"),
        ("+1d", SPRING, "2026-03-29 23:30"),
        ("02:30", SPRING, "2026-03-29 01:30"),
        ("2026-03-29 02:30", SPRING, "2026-03-29 01:30"),
        ("02:30", AUTUMN, "2026-10-25 00:30"),
        ("02:30", TWICE, "2026-10-25 01:30"),
        ("2026-10-25 02:30", AUTUMN, "2026-10-25 00:30"),
    ],
)
def test_moments(text: str, now: datetime, moment: str | None) -> None:
    if moment is None:
        with pytest.raises(RequestError) as raised:
            parse_when(text, now)
        assert (raised.value.message, raised.value.hint[:6]) == (f"{text} is in the past.", "Give a")
    else:
        assert parse_when(text, now) == When(_utc(moment), night=False)


def test_now_and_night() -> None:
    assert (parse_when("now", NOW), parse_when(" Night", NOW)) == (When(None, False), When(None, True))


@pytest.mark.parametrize(
    "text",
    [
        "", "+", "+5x", "+-5s", "-5m", "24:00", "12:60", "12", "tomorrow", "2026-02-30 10:00", "2026-12-24", "²",
        "2026-12-24 25:00", "9999-12-31 23:59", "2036-12-24 06:00 Z Z", "+4000d", "12:00\n13:00",
        "2026-12-24 06:00+25:00", "１２:００",
    ],
)  # fmt: skip
def test_what_is_no_moment(text: str) -> None:
    with pytest.raises(RequestError) as raised:
        parse_when(text, NOW)
    assert (raised.value.message.endswith("is no moment."), raised.value.data) == (True, {"given": text})
    assert raised.value.hint.startswith("Accepted: now, night, 23:30,")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0), ("90", 90), ("90s", 90), ("15m", 900), ("2h", 7200), ("1h30m", 5400), ("7d", 604_800),
        ("1d1h1m1s", 90_061), ("0.5", 0.5), ("1.5h", 5400), (" 2H ", 7200), ("3660d", 316_224_000),
    ],
)  # fmt: skip
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "s", "-1", "1e3", "1m1h", "1h1h", "5 m", "3661d", "9" * 5000, "inf", "nan", "٣s", "1.", "1h 5"]
)
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(RequestError) as raised:
        parse_duration(text)
    assert (raised.value.message.endswith("is no duration."), raised.value.data) == (True, {"given": text})
    assert (len(raised.value.message) < 120, raised.value.hint) == (
        True,
        "Accepted: 90 (seconds), 90s, 15m, 2h, 1h30m, 7d; at most ten years.",
    )


def test_night_windows() -> None:
    assert [parse_night(text) for text in ("22:00-07:00", " 1:05 - 6:30 ")] == [(1320, 420), (65, 390)]
    for text in ("", "22:00", "22:00-", "22-7", "22:00-24:00", "07:00-07:00", "22:00-07:00-08:00", "22:00–07:00"):
        with pytest.raises(RequestError) as raised:
            parse_night(text)
        assert raised.value.hint.startswith("Accepted: two different times of day")


@pytest.mark.parametrize(
    ("night", "clock", "open_"),
    [
        ((1320, 420), "21:59:59", False),
        ((1320, 420), "22:00:00", True),
        ((1320, 420), "00:00:00", True),
        ((1320, 420), "06:59:59", True),
        ((1320, 420), "07:00:00", False),
        ((60, 300), "00:59:59", False),
        ((60, 300), "01:00:00", True),
        ((60, 300), "05:00:00", False),
        ((60, 60), "12:00:00", True),
    ],
)
def test_the_window_by_the_wall_clock(night: tuple[int, int], clock: str, open_: bool) -> None:
    assert night_open(night, datetime.fromisoformat(f"2026-11-23 {clock}").replace(tzinfo=BERLIN)) is open_


@pytest.mark.parametrize(
    ("night", "now", "opening"),
    [
        ((1320, 420), NOW, "2026-11-23 21:00"),
        ((1320, 420), NOW.replace(hour=22, minute=0, second=0), "2026-11-24 21:00"),
        ((60, 300), NOW, "2026-11-24 00:00"),
        ((1320, 420), SPRING - timedelta(hours=3), "2026-03-28 21:00"),
        ((1320, 420), SPRING, "2026-03-29 20:00"),
        ((150, 300), SPRING, "2026-03-29 01:00"),  # 02:30 is skipped: it opens when the clock changes
        ((130, 170), SPRING, "2026-03-30 00:10"),  # all of it is skipped
        ((150, 300), AUTUMN, "2026-10-25 00:30"),
        ((150, 300), TWICE, "2026-10-25 01:30"),
        (
            (150, 300),
            datetime(2026, 10, 25, 1, 10, tzinfo=UTC).astimezone(BERLIN),
            "2026-10-25 01:30",
        ),  # open once more
    ],
)
def test_the_next_opening(night: tuple[int, int], now: datetime, opening: str) -> None:
    found = next_opening(night, now)
    assert (found.timestamp(), found.tzinfo) == (_utc(opening), BERLIN)


def test_a_window_that_never_closes_opens_now() -> None:
    assert next_opening((60, 60), NOW) == NOW


@given(
    st.tuples(st.integers(0, 1439), st.integers(0, 1439)).filter(lambda pair: pair[0] != pair[1]),
    st.integers(0, 365 * 86_400),
)
def test_the_next_opening_is_later_closed_before_and_open_then(night: tuple[int, int], second: int) -> None:
    now = (datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=second)).astimezone(BERLIN)
    opening = next_opening(night, now)
    before = (opening.astimezone(UTC) - timedelta(seconds=1)).astimezone(BERLIN)
    assert (opening.timestamp() > now.timestamp(), night_open(night, opening), night_open(night, before)) == (
        True,
        True,
        False,
    )


# The present offset alone, as the clock of this computer gives it


@pytest.mark.usefixtures("berlin")
def test_a_fixed_offset_becomes_the_zone_of_this_computer() -> None:
    now = datetime(2026, 10, 24, 21, tzinfo=UTC).astimezone()
    assert isinstance(now.tzinfo, timezone)
    assert parse_when("2026-10-26 06:00", now) == When(_utc("2026-10-26 05:00"), night=False)
    assert next_opening((1320, 420), now).isoformat() == "2026-10-25T22:00:00+01:00"
    assert [local_time(_utc(text)).isoformat() for text in ("2026-03-29 00:59", "2026-03-29 01:00")] == [
        "2026-03-29T01:59:00+01:00",
        "2026-03-29T03:00:00+02:00",
    ]
    twice = [local_time(_utc(text)) for text in ("2026-10-25 00:30", "2026-10-25 01:30")]
    assert [(moment.isoformat(), moment.fold, moment.tzname(), moment.dst()) for moment in twice] == [
        ("2026-10-25T02:30:00+02:00", 0, "CEST", timedelta(0)),
        ("2026-10-25T02:30:00+01:00", 1, "CET", timedelta(0)),
    ]


@pytest.mark.usefixtures("berlin")
def test_another_zone_is_kept() -> None:
    elsewhere = datetime(2026, 7, 1, 12, tzinfo=timezone(timedelta(hours=9)))
    assert local(elsewhere) is elsewhere
    assert parse_when("13:00", elsewhere) == When(_utc("2026-07-01 04:00"), night=False)
    assert parse_when("13:00", datetime(2026, 7, 1, 12, tzinfo=UTC)) == When(_utc("2026-07-01 13:00"), night=False)
