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
from typing import Any, Final, TypeVar, get_args

from ultralab.jobs import states
from ultralab.jobs.store import opening, record, rows
from ultralab.jobs.store.rebuild import add_job
from ultralab.jobs.store.record import Submitted, job_folder
from ultralab.jobs.store.refusals import refusal
from ultralab.jobs.types import ACTIVE, OVER, WAITING, Condition, Dependency, Event, Job, JobSpec, State
from ultralab.kernel.errors import DiskFull, Failure, FileAccess, FileDamaged, NotFound, RequestError, UltralabError
from ultralab.kernel.language import _
from ultralab.system.database import Database

Fits = Callable[[Job, Sequence[Job]], bool]

_Found = TypeVar("_Found")

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


def open_to_read(folder: Path) -> Queue:
    """Open the queue, for reading only where nothing can be written: the disk is full, or read-only.

    Raises Busy, FileAccess, DiskFull (there is no whole queue to read), Failure (from a newer ultralab).
    """
    try:
        return open_queue(folder)
    except (DiskFull, FileAccess):
        try:
            return Queue(folder, opening.open_unwritable(folder))
        except UltralabError:
            pass
        raise


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
    found = _read(queue, lambda: _find(queue, number))
    if found is None:
        raise _unknown(str(number), ())
    return found


def find(queue: Queue, reference: str) -> Job:
    """The job that a person means: its number, its name (the newest with it), or ``last``. Raises NotFound."""
    found = _read(queue, lambda: _meant(queue, reference))
    if found is None:
        raise _unknown(reference, names(queue, _NEAR_NAMES))
    return found


def names(queue: Queue, most: int) -> list[str]:
    """The names of the newest jobs, each once, the newest first."""
    return [row[0] for row in _read(queue, lambda: queue.database.tuples("names", most=most))]


def newest_number(queue: Queue) -> int:
    """The number of the newest job, 0 where there is none."""
    ((number,),) = _read(queue, lambda: queue.database.tuples("last_id"))
    return number or 0


def listed(
    queue: Queue, *, states: Collection[State] = (), limit: int | None = None, newest: bool = False
) -> list[Job]:
    """The jobs in these states (all by default) by id, at most ``limit``; with ``newest``, from the last one down."""
    query = "newest" if newest else "oldest"
    with rows.uncollected():
        return _read(queue, lambda: _listed(queue, query, states or _STATES, limit))


def in_states(queue: Queue, states: Collection[State]) -> list[Job]:
    """The jobs in exactly these states by id, for who is inside a transaction."""
    return _listed(queue, "oldest", states)


def overview(queue: Queue, ended: int) -> tuple[list[Job], int]:
    """By id, of one moment: what waits and runs, and the newest ``ended`` that are over; how many more are over."""

    def read() -> tuple[list[Job], int]:
        with queue.database.snapshot():
            found = [*in_states(queue, (*WAITING, *ACTIVE)), *_listed(queue, "newest", OVER, ended)]
            number = sum(count for state, count in queue.database.tuples("counts") if state in OVER)
        return sorted(found, key=lambda item: item.id), max(0, number - ended)

    with rows.uncollected():
        return _read(queue, read)


def under_way(queue: Queue) -> tuple[list[Job], list[Job], dict[int, State]]:
    """What waits, what runs, and the :func:`endings` of the former, of one moment."""

    def read() -> tuple[list[Job], list[Job], dict[int, State]]:
        with queue.database.snapshot():
            found = in_states(queue, (*WAITING, *ACTIVE))
            waiting = [item for item in found if item.state in WAITING]
            known = _endings(queue, waiting)
        return waiting, [item for item in found if item.state in ACTIVE], known

    with rows.uncollected():
        return _read(queue, read)


def counts(queue: Queue) -> dict[State, int]:
    """How many jobs there are in each state; every state is there."""
    found = dict(_read(queue, lambda: queue.database.tuples("counts")))
    return {state: found.get(state, 0) for state in _STATES}


def could_start(queue: Queue, now: float) -> bool:
    """Whether something waits that neither a moment nor another job keeps from starting."""
    return any(row["found"] for row in _read(queue, lambda: queue.database.run("could_start", now=now)))


def endings(queue: Queue, jobs: Iterable[Job]) -> dict[int, State]:
    """The states of all jobs that these depend on; one that is gone is missing."""
    chosen = list(jobs)
    return _read(queue, lambda: _endings(queue, chosen))


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
    require_text(spec)
    needed = json.dumps([need.job for need in spec.after])
    known = {row[0] for row in queue.database.tuples("states", ids=needed)} if spec.after else set()
    for need in spec.after:
        if need.job not in known:
            raise _unknown(str(need.job), ())
    condition = Condition("queued", submitted)
    number = add_job(queue.database, spec, condition)
    record.create(queue.folder, number, Submitted(spec, dict(environment), submitted))
    made.append(number)  # not before: a folder that is there may be a job's that the database does not know
    return Job(number, spec, condition)


def happen(queue: Queue, number: int, event: Event) -> Job:
    """Let something happen to a job; the job afterwards.

    Raises NotPossible (not in its state), Stale (another attempt's fence), NotFound, Busy, DiskFull, FileAccess.
    """
    with _happening(queue, number):
        found = _find(queue, number)
        if found is None:
            raise _unknown(str(number), ())
        try:
            return _apply(queue, found, event)
        except states.NotPossible as error:
            raise _refused(found, event, error) from error


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


@contextlib.contextmanager
def changing(queue: Queue) -> Iterator[None]:
    """One immediate transaction on the queue's present database. Raises Replaced, Busy, DiskFull, FileDamaged."""
    with usable(queue), opening.standing(queue.folder, queue.database), queue.database.transaction():
        yield
        if not queue.database.is_current():  # by somebody who does not ask, with mv or rm
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


def _refused(job: Job, event: Event, error: states.NotPossible) -> states.NotPossible:
    text = refusal(job, event.name)
    if text is None or isinstance(error, states.Stale):
        return error
    hint = _("See what became of it: ultralab jobs show {id}").format(id=job.id)
    return states.NotPossible(text, hint=hint, job=job.id, **error.data)


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
        opening.renew(queue.folder, database)
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


def _read(queue: Queue, read: Callable[[], _Found]) -> _Found:
    """What was read; where that met damage, once more from the queue that was mended for it."""
    try:
        with usable(queue):
            return read()
    except FileDamaged:
        if not opening.needs_look(queue.folder):
            raise
    with usable(queue):
        return read()


def _endings(queue: Queue, jobs: Iterable[Job]) -> dict[int, State]:
    needed = sorted({need.job for item in jobs for need in item.spec.after})
    return dict(queue.database.tuples("states", ids=json.dumps(needed))) if needed else {}


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
    except (TypeError, ValueError) as error:
        path = queue.database.path
        raise FileDamaged(_("{path} is damaged: {error}").format(path=path, error=error), path=str(path)) from error


def _orderly(after: Iterable[Dependency]) -> tuple[Dependency, ...]:
    strongest: dict[int, Dependency] = {}
    for need in sorted(after, key=lambda need: (need.job, need.how == "success")):
        strongest[need.job] = need
    return tuple(strongest.values())


def require_text(spec: JobSpec) -> None:
    """Raises RequestError unless what a column takes is Unicode."""
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
