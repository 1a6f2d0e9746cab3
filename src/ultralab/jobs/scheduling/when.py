"""Moments, durations and the night window as people write them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from ultralab.jobs.scheduling.wallclock import Night, local, seconds_of
from ultralab.kernel.errors import RequestError
from ultralab.kernel.language import _
from ultralab.kernel.text import printable

LONGEST: Final = 10 * 366 * 86_400.0  # seconds; what is longer is a slip of the pen

_UNITS: Final = {"d": 86_400.0, "h": 3600.0, "m": 60.0, "s": 1.0}
_NUMBER: Final = r"(\d{1,12}(?:\.\d{1,6})?)"
_DURATION: Final = re.compile("".join(rf"(?:{_NUMBER}{unit})?" for unit in _UNITS), re.ASCII)
_SECONDS: Final = re.compile(_NUMBER, re.ASCII)
_CLOCK: Final = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)", re.ASCII)
_MOMENT: Final = re.compile(r"(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d(?::\d\d)?) ?(Z|[+-]\d\d:\d\d)?", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True)
class When:
    """When a job may start: not before a moment (seconds since the epoch), or only at night."""

    not_before: float | None
    night: bool


def parse_when(text: str, now: datetime) -> When:
    """What ``--when`` says. ``now`` is aware; times without a zone are in its zone.

    A time of day is the next one to come; a time that the clock skips is moved forward by as much as it skips; one that
    happens twice is the first. Raises RequestError, also for a moment that is over.
    """
    given = text.strip()
    if given.lower() in ("now", "night"):
        return When(None, given.lower() == "night")
    try:
        return When(_moment(given, now), night=False)
    except (ValueError, OverflowError):
        raise RequestError(
            _("{text} is no moment.").format(text=printable(repr(text), 80)),
            hint=_(
                "Accepted: now, night, 23:30, 2026-12-24 06:00, 2026-12-24T06:00:00+01:00, +90s, +2h30m, +1d; at most ten years ahead."
            ),
            given=text,
        ) from None


def parse_duration(text: str) -> float:
    """``90``, ``90s``, ``15m``, ``2h``, ``1h30m`` or ``7d`` in seconds. Raises RequestError."""
    try:
        return _seconds(text.strip().lower())
    except ValueError:
        raise RequestError(
            _("{text} is no duration.").format(text=printable(repr(text), 80)),
            hint=_("Accepted: 90 (seconds), 90s, 15m, 2h, 1h30m, 7d; at most ten years."),
            given=text,
        ) from None


def parse_night(text: str) -> Night:
    """``22:00-07:00`` in minutes since midnight, from and to. Raises RequestError."""
    begin, _dash, end = (part.strip() for part in text.partition("-"))
    first, last = _CLOCK.fullmatch(begin), _CLOCK.fullmatch(end)
    if first is None or last is None or _minutes(first) == _minutes(last):
        raise RequestError(
            _("{text} is no night window.").format(text=printable(repr(text), 80)),
            hint=_("Accepted: two different times of day, from and to, such as 22:00-07:00."),
            given=text,
        )
    return _minutes(first), _minutes(last)


def _minutes(match: re.Match[str]) -> int:
    return int(match[1]) * 60 + int(match[2])


def _seconds(text: str) -> float:
    if _SECONDS.fullmatch(text):
        seconds = float(text)
    else:
        match = _DURATION.fullmatch(text)
        if match is None or not text:
            raise ValueError(text)
        seconds = sum(float(number or 0) * size for number, size in zip(match.groups(), _UNITS.values(), strict=True))
    if seconds > LONGEST:
        raise ValueError(text)
    return seconds


def _moment(text: str, now: datetime) -> float:
    if text.startswith("+"):
        return now.timestamp() + _seconds(text[1:].lower())
    if clock := _CLOCK.fullmatch(text):
        return _next_time_of_day(int(clock[1]), int(clock[2]), now)
    match = _MOMENT.fullmatch(text)
    if match is None:
        raise ValueError(text)
    moment = datetime.fromisoformat(f"{match[1]}T{match[2]}{match[3] or ''}".upper())
    # a skipped time, read with the offset from before the change, lies behind it: fold 0 is that reading
    seconds = (moment if match[3] else moment.replace(tzinfo=local(now).tzinfo)).timestamp()
    if seconds < now.timestamp():
        raise RequestError(
            _("{moment} is in the past.").format(moment=text),
            hint=_("Give a moment to come, or leave it out to start as soon as there is room."),
            given=text,
        )
    if seconds > now.timestamp() + LONGEST:
        raise ValueError(text)
    return seconds


def _next_time_of_day(hour: int, minute: int, now: datetime) -> float:
    here = local(now)
    for days in range(3):
        wall = here.replace(hour=hour, minute=minute, second=0, microsecond=0, fold=0) + timedelta(days=days)
        shown = datetime.fromtimestamp(wall.timestamp(), here.tzinfo)
        skipped = (shown.hour, shown.minute) != (hour, minute)
        readings = (wall.timestamp(),) if skipped else seconds_of(wall)
        for seconds in readings:
            if seconds > now.timestamp():
                return seconds
    raise AssertionError("a time of day comes every day")  # pragma: no cover
