"""Local wall-clock time as values: the zone of a moment, times of day that a change of the clock skips or repeats."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Final

Night = tuple[int, int]

_MINUTE: Final = timedelta(minutes=1)
_NOTHING: Final = timedelta(0)


class _SystemZone(tzinfo):
    """The zone that this computer is set to, with its changes of the clock.

    ``datetime.astimezone()`` gives only the present offset, which is an hour wrong on the other side of a change.
    """

    def utcoffset(self, dt: datetime | None) -> timedelta | None:
        return None if dt is None else dt.replace(tzinfo=None).astimezone().utcoffset()

    def dst(self, _dt: datetime | None) -> timedelta:
        return _NOTHING

    def tzname(self, dt: datetime | None) -> str | None:
        return None if dt is None else dt.replace(tzinfo=None).astimezone().tzname()

    def fromutc(self, dt: datetime) -> datetime:
        there = dt.replace(tzinfo=UTC).astimezone()
        first = there.replace(tzinfo=self, fold=0)
        return first if first.utcoffset() == there.utcoffset() else first.replace(fold=1)


SYSTEM_ZONE: Final = _SystemZone()


def local(moment: datetime) -> datetime:
    """The same moment in a zone that knows its changes of the clock.

    A fixed offset is replaced by this computer's zone where that agrees with it; any other zone is kept. ``moment`` is
    aware.
    """
    if moment.tzinfo is UTC or not isinstance(moment.tzinfo, timezone):
        return moment
    here = moment.astimezone()
    return moment.astimezone(SYSTEM_ZONE) if here.utcoffset() == moment.utcoffset() else moment


def local_time(seconds: float) -> datetime:
    """A moment in seconds since the epoch, as the clocks of this computer's zone show it then."""
    return datetime.fromtimestamp(seconds, SYSTEM_ZONE)


def seconds_of(wall: datetime) -> tuple[float, float]:
    """Both readings of a wall time, in seconds since the epoch, the earlier first.

    They are the same but where the clock changes: a time that happens twice, or one that is skipped, which lies an hour
    before the change in one reading and an hour behind in the other. Raises OverflowError, ValueError far from today.
    """
    first, second = wall.replace(fold=0).timestamp(), wall.replace(fold=1).timestamp()
    return min(first, second), max(first, second)


def night_open(night: Night, now: datetime) -> bool:
    """Whether ``now`` lies in the window, by the wall clock. A window that ends where it begins is always open."""
    begin, end = night
    wall = local(now)
    minute = wall.hour * 60 + wall.minute
    if begin == end:
        return True
    return begin <= minute < end if begin < end else minute >= begin or minute < end


def next_opening(night: Night, now: datetime) -> datetime:
    """The next moment after ``now`` at which the window goes from closed to open; ``now`` itself if it never closes.

    Where the clock skips the window's beginning, it opens with the change.
    """
    begin, end = night
    here = local(now)
    if begin == end:
        return here
    midnight = here.replace(hour=0, minute=0, second=0, microsecond=0)
    for days in range(-1, 4):
        wall = midnight + timedelta(days=days, minutes=begin)  # wall-clock arithmetic: no change of the clock counts
        earliest, latest = seconds_of(wall)
        moment = datetime.fromtimestamp(earliest, UTC)
        while moment.timestamp() <= latest:
            if moment > now.astimezone(UTC) and _opens(night, moment.astimezone(here.tzinfo)):
                return moment.astimezone(here.tzinfo)
            moment += _MINUTE
    raise AssertionError("a window opens every day")  # pragma: no cover


def _opens(night: Night, moment: datetime) -> bool:
    before = (moment.astimezone(UTC) - _MINUTE).astimezone(moment.tzinfo)
    return night_open(night, moment) and not night_open(night, before)
