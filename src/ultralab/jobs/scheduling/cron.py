"""Cron lines: checked, the next moment, and what is due now after any sleep or change of the clock.

Moments are those of the wall clock in the zone of the moment that is given. Where a line names minute and hour, a time
that the clock skips is due when the clock has changed, and one that happens twice is due once, the first time, as
Debian's cron does it; with ``*`` in either of them, a line goes by the hours that really pass.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from typing import Final, Literal

from ultralab.jobs.scheduling.wallclock import local
from ultralab.kernel.errors import RequestError
from ultralab.kernel.language import N_, _
from ultralab.kernel.text import printable

CatchUp = Literal["skip", "once", "all"]

GRACE: Final = timedelta(seconds=60)
WRONG_CLOCK: Final = timedelta(days=1)
ALIASES: Final = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}

_FIELDS: Final = (
    ("minute", N_("the minute")),
    ("hour", N_("the hour")),
    ("day-of-month", N_("the day of the month")),
    ("month", N_("the month")),
    ("day-of-week", N_("the day of the week")),
)
_LONGEST_LINE: Final = 200


@dataclass(frozen=True)
class Due:
    """What is to be submitted now, oldest first, and up to which moment everything is dealt with."""

    moments: tuple[datetime, ...]
    considered: datetime


def check_cron(text: str) -> None:
    """Raises RequestError, naming the field that is wrong, unless ``text`` is a cron line that ever comes true."""
    from cronsim import CronSim, CronSimError

    line = _line(text)
    try:
        if next(CronSim(line, datetime(2000, 1, 1)), None) is None:  # noqa: DTZ001  any moment serves
            raise _wrong(text, _("it never comes true"))
    except CronSimError as error:
        named = [_(shown) for name, shown in _FIELDS if name == str(error).removeprefix("Bad ")]
        raise _wrong(text, _("{field} is wrong").format(field=named[0])) from None


def next_due(text: str, after: datetime) -> datetime | None:
    """The first moment behind ``after`` (aware), in its zone; None: there is none. Raises RequestError."""
    return next(_moments(_line(text), after), None)


def due(text: str, considered: datetime, now: datetime, catch_up: CatchUp, most: int = 100) -> Due:
    """What must be submitted now, if everything up to ``considered`` has been dealt with.

    ``skip``: only what came due within the last minute; ``once``: if anything was missed, only the newest; ``all``: each
    moment, but no more than the ``most`` newest. No moment is given twice: a clock that went back gives nothing until it
    has passed ``considered`` again, unless that is more than a day away: then it was wrong before, and everything starts
    afresh from ``now``. Raises RequestError.
    """
    line = _line(text)
    ahead = considered.astimezone(UTC) - now.astimezone(UTC)
    if ahead > WRONG_CLOCK:
        return Due((), now)
    if ahead >= timedelta(0):
        return Due((), considered)
    wanted = most if catch_up == "all" else 1
    span = min(-ahead, GRACE + timedelta(seconds=1)) if catch_up == "skip" else -ahead
    moments = _newest(line, span, now, wanted)
    if catch_up == "skip":
        moments = [moment for moment in moments if now.timestamp() - moment.timestamp() <= GRACE.total_seconds()]
    return Due(tuple(moments), now)


def _newest(line: str, span: timedelta, now: datetime, wanted: int) -> list[datetime]:
    """The newest moments within ``span`` before ``now``: looked for in growing spans, since a lab may sleep for years."""
    tried = min(span, timedelta(hours=1))
    zone = local(now).tzinfo
    while True:
        start = (now.astimezone(UTC) - tried).astimezone(zone)
        found = list(takewhile(lambda moment: moment.timestamp() <= now.timestamp(), _moments(line, start)))
        if len(found) >= wanted or tried == span:
            return found[-wanted:] if wanted else []
        tried = min(span, tried * 8)


def _moments(line: str, after: datetime) -> Iterator[datetime]:
    """Every moment behind ``after``, each later than the one before, whatever the clock does in between."""
    from cronsim import CronSim, CronSimError

    last = after.timestamp()
    try:
        source = CronSim(line, local(after))
    except CronSimError:
        check_cron(line)
        raise
    for moment in source:
        if moment.timestamp() > last:
            last = moment.timestamp()
            yield moment


def _line(text: str) -> str:
    """The five fields that an alias stands for, or that were given. Raises RequestError."""
    line = " ".join(text.split()) if len(text) <= _LONGEST_LINE else ""
    line = ALIASES.get(line.lower(), line)
    if line.startswith("@"):
        raise _wrong(text, _("this name is not known"))
    if len(line.split()) != len(_FIELDS):
        raise _wrong(text, _("it needs five fields: minute, hour, day of the month, month, day of the week"))
    return line


def _wrong(text: str, problem: str) -> RequestError:
    return RequestError(
        _("{text} is no cron line: {problem}.").format(text=printable(repr(text), 80), problem=problem),
        hint=_(
            "For example 30 2 * * 1-5 (at 02:30 from Monday to Friday), or @hourly, @daily, @weekly, @monthly, @yearly."
        ),
        given=text,
    )
