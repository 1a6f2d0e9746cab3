"""The durable queue: rows in SQLite, each job's truth in its folder. Every change is one immediate transaction.

What happens to a job is written into its folder, synced, before the transaction commits, and the row says how much of
that happened; so a queue that is rebuilt from its folders is the same, and a process that is killed, a disk that is full
or a power cut leaves the old state or the new one. Nothing here reads a clock: moments are given, in seconds since the
epoch.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, get_args

from ultralab.jobs import opening, record, rows, states
from ultralab.jobs.rebuild import add_job, keep_highest
from ultralab.jobs.record import Submitted, job_folder
from ultralab.jobs.types import ACTIVE, OVER, Condition, Dependency, Event, Job, JobSpec, State
from ultralab.kernel.errors import Failure, FileDamaged, NotFound, RequestError, UltralabError
from ultralab.kernel.language import _
from ultralab.system.database import Database

Fits = Callable[[Job, Sequence[Job]], bool]

_STATES: Final[tuple[State, ...]] = get_args(State)
_NEAR_NAMES: Final = 500  # the newest ones: comparing ten thousand would take seconds
_LARGEST_ID: Final = 2**63 - 1


@dataclass(frozen=True)
class Queue:
    """An open queue; ``notice`` says, in a sentence, what had to be mended to open it ("" as a rule).

    For one thread. It may be kept open for months: a database that another process set aside and rebuilt is noticed
    and opened again.
    """

    folder: Path
    database: Database
    notice: str = ""


class Replaced(Failure):
    """Another process set the queue's database aside and rebuilt it at the very moment of a change."""


def open_queue(folder: Path) -> Queue:
    """Open the queue in ``folder``, made if it is not there, rebuilt if its database is damaged or missing.

    Raises Busy (locked), FileAccess (read-only), DiskFull, Failure (from a newer ultralab).
    """
    database, notice = opening.open_mended(folder)
    return Queue(folder, database, notice)


def rebuild_queue(folder: Path) -> Queue:
    """Set the database aside, whatever it is like, and rebuild it from the job folders. Raises as :func:`open_queue`."""
    database, notice = opening.open_mended(folder)  # that of a newer ultralab is refused here, and kept
    if not notice:
        database.close()
        database, notice = opening.mend(folder, anyway=True)
    return Queue(folder, database, notice)


# Reading


def job(queue: Queue, number: int) -> Job:
    """The job with this id. Raises NotFound."""
    with usable(queue):
        found = _find(queue, number)
    if found is None:
        raise _unknown(str(number), ())
    return found


def find(queue: Queue, reference: str) -> Job:
    """The job that a person means: its number, its name (the newest with it), or ``last``. Raises NotFound."""
    with usable(queue):
        found = _meant(queue, reference)
        names = [] if found else [row[0] for row in queue.database.tuples("names", most=_NEAR_NAMES)]
    if found is None:
        raise _unknown(reference, names)
    return found


def listed(
    queue: Queue, *, states: Collection[State] = (), limit: int | None = None, newest: bool = False
) -> list[Job]:
    """The jobs in these states (all by default) by id, at most ``limit``; with ``newest``, from the last one down."""
    with usable(queue), rows.uncollected():
        return _listed(queue, "newest" if newest else "oldest", states or _STATES, limit)


def counts(queue: Queue) -> dict[State, int]:
    """How many jobs there are in each state; every state is there."""
    with usable(queue):
        found = dict(queue.database.tuples("counts"))
    return {state: found.get(state, 0) for state in _STATES}


def endings(queue: Queue, jobs: Iterable[Job]) -> dict[int, State]:
    """The states of all jobs that these depend on; one that is gone is missing."""
    needed = sorted({need.job for item in jobs for need in item.spec.after})
    if not needed:
        return {}
    with usable(queue):
        return dict(queue.database.tuples("states", ids=json.dumps(needed)))


def environment(queue: Queue, job: Job) -> dict[str, str]:
    """The environment that the job was submitted with. Raises FileDamaged, FileAccess."""
    return record.read_job(job_folder(queue.folder, job.id)).environment


# Changing


def submit(queue: Queue, spec: JobSpec, environment: Mapping[str, str], now: float, *, held: bool = False) -> Job:
    """Add a job, ``held`` from its first moment if that is wanted; any failure leaves neither its row nor its folder.

    Dependencies are kept in the order of their numbers, each once (success is stronger than end). Raises NotFound (a
    dependency), RequestError (a name that is no text), Busy, DiskFull, FileAccess.
    """
    with submitting(queue) as made:
        job = insert(queue, spec, environment, now, made)
        return _apply(queue, job, Event("hold", now)) if held else job


@contextlib.contextmanager
def submitting(queue: Queue) -> Iterator[list[int]]:
    """A transaction in which :func:`insert` adds jobs to the list that it gives; if it fails, their folders go too."""
    made: list[int] = []
    try:
        with changing(queue):
            yield made
    except Replaced:  # these folders may belong to the rebuilt queue now
        raise
    except BaseException:
        if made:
            with contextlib.suppress(UltralabError), changing(queue):
                kept = {row[0] for row in queue.database.tuples("states", ids=json.dumps(made))}
                for number in made:
                    if number not in kept:
                        record.discard(queue.folder, number)
        raise


def insert(queue: Queue, spec: JobSpec, environment: Mapping[str, str], submitted: float, made: list[int]) -> Job:
    """Add a job inside a transaction of :func:`submitting`. Raises as :func:`submit`."""
    spec = replace(spec, after=_orderly(spec.after))
    _require_text(spec)
    needed = json.dumps([need.job for need in spec.after])
    known = {row[0] for row in queue.database.tuples("states", ids=needed)} if spec.after else set()
    for need in spec.after:
        if need.job not in known:
            raise _unknown(str(need.job), ())
    condition = Condition("queued", submitted)
    number = add_job(queue.database, spec, condition)
    made.append(number)
    record.create(queue.folder, number, Submitted(spec, dict(environment), submitted))
    return Job(number, spec, condition)


def happen(queue: Queue, number: int, event: Event) -> Job:
    """Let something happen to a job; the job afterwards.

    Raises NotPossible (not in its state), Stale (another attempt's fence), NotFound, Busy, DiskFull, FileAccess.
    """
    with _happening(queue, number):
        found = _find(queue, number)
        if found is None:
            raise _unknown(str(number), ())
        return _apply(queue, found, event)


def start(queue: Queue, number: int, event: Event, fits: Fits) -> Job | None:
    """Start a job, if it is still queued with the fence before ``event``'s and ``fits`` beside all that runs.

    None if not: of two schedulers, one finds the row changed. ``fits`` gets the job and all active jobs as they are in
    this transaction. Raises Busy, DiskFull, FileAccess.
    """
    with _happening(queue, number):
        found = _find(queue, number)
        if found is None or found.state != "queued" or event.fence != found.condition.fence + 1:
            return None
        return _apply(queue, found, event) if fits(found, _listed(queue, "oldest", ACTIVE)) else None


def prune(queue: Queue, *, ended_before: float, states: Collection[State] = OVER, dry_run: bool = False) -> list[Job]:
    """Remove the jobs in these states, of those that are over, that ended before a moment; which they are (would be).

    One stays as long as a job that stays depends on it: so no unfinished job loses what it waits for, and a finished
    one can be retried. The rows go first, then the folders, with all output; folders without a row go as well.
    Raises Busy, DiskFull, FileAccess.
    """
    with changing(queue):
        over = _listed(queue, "oldest", [state for state in states if state in OVER])
        chosen = _not_needed(queue, [item for item in over if (item.condition.ended or 0.0) < ended_before])
        if not dry_run and chosen:
            ((highest,),) = queue.database.tuples("highest")
            keep_highest(queue.folder, highest)
            queue.database.run("remove", ids=json.dumps([item.id for item in chosen]))
    if not dry_run:
        with changing(queue):  # where no submit is under way, whose row nobody sees yet
            known = {row[0] for row in queue.database.tuples("ids")}
            for number in record.numbers(queue.folder):
                if number not in known:
                    record.put_away(queue.folder, number)
        record.discard_put_away(queue.folder)
    return chosen


@contextlib.contextmanager
def changing(queue: Queue) -> Iterator[None]:
    """One immediate transaction on the queue's present database. Raises Replaced, Busy, DiskFull, FileDamaged."""
    with usable(queue), queue.database.transaction():
        yield
        # Whoever rebuilds reads the folders after it has moved the file: so either it has seen what was written into
        # them before this line, or this line sees that the file is gone.
        if not queue.database.is_current():
            raise Replaced(
                _("The job queue was rebuilt by another process at this moment."),
                hint=_("See what is there before you try again: ultralab jobs list"),
                path=str(queue.database.path),
            )


@contextlib.contextmanager
def _happening(queue: Queue, number: int) -> Iterator[None]:
    """A transaction that may append to a job's events: what was written of one that failed is taken back."""
    try:
        with changing(queue):
            yield
    except (RequestError, Replaced):
        raise
    except BaseException:
        with contextlib.suppress(UltralabError), changing(queue):
            for (recorded,) in queue.database.tuples("recorded", id=number):
                record.cut_events(job_folder(queue.folder, number), recorded)
        raise


def _apply(queue: Queue, job: Job, event: Event) -> Job:
    condition = states.step(job.spec, job.condition, event)
    ((known,),) = queue.database.tuples("recorded", id=job.id)
    recorded = record.append_event(job_folder(queue.folder, job.id), event, known)
    queue.database.run("change", id=job.id, recorded=recorded, **rows.condition_values(condition))
    return replace(job, condition=condition)


@contextlib.contextmanager
def usable(queue: Queue) -> Iterator[None]:
    """The database that has the name now, mended first if it must be; damage that is met is remembered."""
    database = queue.database
    if not database.is_current() or opening.needs_look(queue.folder):
        mended, _notice = opening.open_mended(queue.folder)
        mended.close()
        database.reopen()
    try:
        yield
    except FileDamaged as error:
        if error.data.get("path") != str(database.path):
            raise
        opening.suspect(queue.folder)
        raise FileDamaged(
            error.message,
            hint=_("Run the command again: the queue is then rebuilt from the job folders."),
            path=str(database.path),
        ) from error


def _meant(queue: Queue, reference: str) -> Job | None:
    if reference.isascii() and reference.isdigit() and len(reference) < 20 and (found := _find(queue, int(reference))):
        return found
    if reference == "last":
        ((number,),) = queue.database.tuples("last_id")
    else:
        # Bytes from a command line that are no text would be refused; nothing has such a name.
        ((number,),) = queue.database.tuples("last_named", name=reference.encode(errors="replace").decode())
    return None if number is None else _find(queue, number)


def _find(queue: Queue, number: int) -> Job | None:
    if not 0 < number <= _LARGEST_ID:
        return None
    found = queue.database.tuples("one", id=number)
    return _jobs(queue, found, queue.database.tuples("dependencies_of", id=number))[0] if found else None


def _listed(queue: Queue, query: str, states: Collection[State], limit: int | None = None) -> list[Job]:
    most = -1 if limit is None else limit
    found = queue.database.tuples(query, states=json.dumps(list(states)), most=most)
    if not found:
        return []
    low, high = sorted((found[0][0], found[-1][0]))
    return _jobs(queue, found, queue.database.tuples("dependencies", low=low, high=high))


def _jobs(queue: Queue, found: list[tuple[Any, ...]], after: list[tuple[Any, ...]]) -> list[Job]:
    try:
        return rows.jobs(found, rows.dependencies(after))
    except ValueError as error:
        path = queue.database.path
        raise FileDamaged(_("{path} is damaged: {error}").format(path=path, error=error), path=str(path)) from error


def _not_needed(queue: Queue, candidates: list[Job]) -> list[Job]:
    """The candidates that only other chosen ones depend on. Who depends on a job has a higher number than it."""
    needed_by: dict[int, list[int]] = {}
    ids = json.dumps([item.id for item in candidates])
    for number, needs in queue.database.tuples("dependents", ids=ids):
        needed_by.setdefault(needs, []).append(number)
    chosen: dict[int, Job] = {}
    for item in reversed(candidates):
        if all(number in chosen for number in needed_by.get(item.id, ())):
            chosen[item.id] = item
    return list(reversed(chosen.values()))


def _orderly(after: Iterable[Dependency]) -> tuple[Dependency, ...]:
    strongest: dict[int, Dependency] = {}
    for need in sorted(after, key=lambda need: (need.job, need.how == "success")):
        strongest[need.job] = need
    return tuple(strongest.values())


def _require_text(spec: JobSpec) -> None:
    for word in (spec.name, spec.kind, spec.owner, spec.schedule):
        try:
            word.encode()
        except UnicodeEncodeError as error:
            raise RequestError(
                _("{name!r} is not a name: it is no Unicode text.").format(name=word), hint=_("Give it a name: --name")
            ) from error


def _unknown(reference: str, names: Sequence[str]) -> NotFound:
    import difflib

    near = difflib.get_close_matches(reference, names, n=3)
    hint = (
        _("Did you mean {near}?").format(near=", ".join(near)) if near else _("See them all: ultralab jobs list --all")
    )
    return NotFound(_("There is no job {reference!r}.").format(reference=reference), hint=hint, near=near)
