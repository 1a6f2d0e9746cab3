"""Jobs that are submitted again and again. When they are due is ``cron.py``'s; here they are kept.

A schedule has no file by nature, so its rows have a mirror, ``schedules.json`` (0600: like ``job.json``, it holds the
environment that its jobs get), written before each change commits: a rebuilt queue has its schedules too.
"""

from __future__ import annotations

import contextlib
import difflib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, cast, get_args

from ultralab.jobs.store import opening, record
from ultralab.jobs.store.mirror import checked_row, forget_before, restore_mirror, write_mirror
from ultralab.jobs.store.queue import Queue, Replaced, changing, insert, require_text, submitting, usable
from ultralab.jobs.types import Job, JobSpec
from ultralab.kernel.errors import AlreadyExists, FileDamaged, NotFound, RequestError, UltralabError, UnknownChoice
from ultralab.kernel.ids import is_name
from ultralab.kernel.language import _
from ultralab.system.database import Row

CatchUp = Literal["skip", "once", "all"]

CATCH_UPS: Final[tuple[CatchUp, ...]] = get_args(CatchUp)


@dataclass(frozen=True)
class Schedule:
    """When a job is submitted again, and what. ``added`` and ``considered`` in seconds since the epoch.

    Every due moment up to ``considered`` was dealt with: submitted, or passed over as ``catch_up`` says.
    """

    name: str
    cron: str
    catch_up: CatchUp
    paused: bool
    spec: JobSpec
    added: float
    considered: float


def add(
    queue: Queue, name: str, cron: str, catch_up: str, spec: JobSpec, environment: Mapping[str, str], now: float
) -> Schedule:
    """Keep a schedule, whose first due moment is after ``now``; ``cron`` was checked by the caller.

    Raises AlreadyExists, RequestError (a name that is none or no text; dependencies, which a repeated job cannot have),
    UnknownChoice (the catch-up rule), Busy, DiskFull, FileAccess.
    """
    if not is_name(name):
        raise RequestError(
            _("{name!r} is not a name for a schedule.").format(name=name),
            hint=_("Use lower-case letters, digits and . _ - (at most 100), beginning with a letter or a digit."),
        )
    if catch_up not in CATCH_UPS:
        raise UnknownChoice.among(_("catch-up rule"), catch_up, CATCH_UPS)
    if spec.after:
        raise RequestError(
            _("A scheduled job cannot wait for another job."), hint=_("Let one job run both commands: sh -c '… && …'")
        )
    require_text(spec)
    text = json.dumps(record.form(spec, environment))
    with _editing(queue):
        if queue.database.run("schedule", name=name):
            raise AlreadyExists(
                _("There is already a schedule {name!r}.").format(name=name),
                hint=_("Choose another name, or remove that one: ultralab jobs schedules remove {name}").format(
                    name=name
                ),
            )
        queue.database.run(
            "add_schedule", name=name, cron=cron, catch_up=catch_up, paused=0, spec=text, added=now, considered=now
        )
    return Schedule(name, cron, catch_up, paused=False, spec=spec, added=now, considered=now)


def remove(queue: Queue, name: str) -> None:
    """Forget a schedule, whatever is in its row; the jobs that it submitted stay.

    Raises NotFound, Busy, DiskFull, FileAccess.
    """
    with _editing(queue):
        if not queue.database.run("remove_schedule", name=_text(name)):
            raise _unknown(queue, name)


def pause(queue: Queue, name: str, *, paused: bool, now: float) -> Schedule:
    """Let a schedule rest, or go on from ``now``: what was due meanwhile is passed over.

    Raises NotFound, Busy, DiskFull, FileAccess.
    """
    with _editing(queue):
        before = _get(queue, name)
        resumed = before.paused and not paused
        after = replace(before, paused=paused, considered=max(before.considered, now) if resumed else before.considered)
        queue.database.run("change_schedule", name=name, paused=paused, considered=after.considered)
    return after


def schedules(queue: Queue) -> list[Schedule]:
    """All schedules that can be read, by name. One that cannot is set aside when the queue is used the next time."""
    with usable(queue):
        rows = queue.database.run("schedules")
    found = [_schedule(queue, row) for row in rows if checked_row(row)]
    if len(found) < len(rows):
        opening.suspect(queue.folder)
    return found


def get(queue: Queue, name: str) -> Schedule:
    """One schedule. Raises NotFound."""
    with usable(queue):
        return _get(queue, name)


def submit_due(queue: Queue, schedule: Schedule, moments: Sequence[float], considered: float) -> list[Job]:
    """Submit a job for each due moment and move ``considered``, in one transaction; the jobs.

    A job counts as submitted at its moment. Nothing happens if the schedule is no longer as it was read (another
    scheduler was quicker, or it was paused or removed): so no moment is submitted twice.
    Raises Busy, DiskFull, FileAccess.
    """
    with _mirrored(queue), submitting(queue) as made:
        rows = queue.database.run("schedule", name=schedule.name)
        if not rows or _schedule(queue, rows[0]) != schedule:
            return []
        _spec, environment = record.from_form(json.loads(str(rows[0]["spec"])))
        spec = replace(schedule.spec, schedule=schedule.name)
        jobs = [insert(queue, spec, environment, moment, made) for moment in moments]
        queue.database.run("change_schedule", name=schedule.name, paused=schedule.paused, considered=considered)
        write_mirror(queue.folder, queue.database)
    return jobs


@contextlib.contextmanager
def _editing(queue: Queue) -> Iterator[None]:
    with _mirrored(queue), changing(queue):
        yield
        write_mirror(queue.folder, queue.database)


@contextlib.contextmanager
def _mirrored(queue: Queue) -> Iterator[None]:
    """If the transaction inside fails, the mirror says again what the rows say."""
    try:
        yield
    except (RequestError, Replaced):
        raise
    except BaseException:
        with contextlib.suppress(UltralabError), changing(queue):
            restore_mirror(queue.folder, queue.database)
        raise
    forget_before(queue.folder)


def _get(queue: Queue, name: str) -> Schedule:
    rows = queue.database.run("schedule", name=_text(name))
    if rows:
        return _schedule(queue, rows[0])
    raise _unknown(queue, name)


def _text(name: str) -> str:
    """Bytes from a command line that are no text would be refused; nothing has such a name."""
    return name.encode(errors="replace").decode()


def _unknown(queue: Queue, name: str) -> NotFound:
    names = [str(row["name"]) for row in queue.database.run("schedules")]
    near = difflib.get_close_matches(name, names, n=3)
    return NotFound(
        _("There is no schedule {name!r}.").format(name=name),
        hint=_("Did you mean {near}?").format(near=", ".join(near))
        if near
        else _("See them all: ultralab jobs schedules list"),
        near=near,
    )


def _schedule(queue: Queue, row: Row) -> Schedule:
    try:
        spec, _environment = record.from_form(json.loads(str(row["spec"])))
    except (KeyError, TypeError, ValueError) as error:
        path = queue.database.path
        raise FileDamaged(_("{path} is damaged: {error}").format(path=path, error=error), path=str(path)) from error
    return Schedule(
        name=str(row["name"]),
        cron=str(row["cron"]),
        catch_up=cast("CatchUp", row["catch_up"]),
        paused=bool(row["paused"]),
        spec=spec,
        added=cast("float", row["added"]),
        considered=cast("float", row["considered"]),
    )
