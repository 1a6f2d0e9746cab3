"""A job's folder: what was submitted and what happened to it. What its supervisors wrote: :mod:`~ultralab.jobs.store.attempts`.

The files are the truth from which a damaged queue is rebuilt. JSON is kept in ASCII, so that names and arguments that
are no Unicode (Python's surrogate escapes) come back as they were.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final, get_args

from ultralab.jobs.store.attempts import has_begun
from ultralab.jobs.store.reading import MOST, NUMBER, among, content, json_object, process, typed
from ultralab.jobs.types import Cause, Dependency, Event, EventName, Gpu, JobSpec, Needs
from ultralab.kernel.errors import Failure, FileDamaged
from ultralab.kernel.language import _
from ultralab.system import files

VERSION: Final = 1
DATABASE: Final = "queue.db"  # beside the folders
PRUNED: Final = "pruned"  # folders on their way out


@dataclass(frozen=True)
class Submitted:
    """What ``job.json`` holds. ``submitted`` in seconds since the epoch."""

    spec: JobSpec
    environment: dict[str, str]
    submitted: float


def job_folder(folder: Path, number: int) -> Path:
    """The folder of one job: six digits, or more when they are needed."""
    return folder / f"{number:06d}"


def attempt_folder(folder: Path, number: int, fence: int) -> Path:
    """The folder of one attempt of a job."""
    return job_folder(folder, number) / str(fence)


def numbers(folder: Path) -> Iterator[int]:
    """The numbers of all job folders there, in no order."""
    with files.explained(folder):
        names = [entry.name for entry in os.scandir(folder) if entry.is_dir(follow_symlinks=False)]
    return filter(None, map(number_of, names))


def number_of(name: str) -> int:
    """The number that a folder's name means, 0 when it is no job's."""
    number = int(name) if name.isascii() and name.isdigit() and len(name) <= 18 else 0
    return number if name == f"{number:06d}" else 0


def attempt_of(name: str) -> int:
    """The number of the attempt that a folder's name means, 0 when it is none's."""
    return int(name) if name.isascii() and name.isdigit() and len(name) <= 18 else 0


# What was submitted


def create(folder: Path, number: int, submitted: Submitted) -> None:
    """Make the folder of a new job, synced; any failure leaves none.

    What an earlier submit that was killed left under that number goes. But a job to which something happened keeps its
    folder: then it is the database that does not know it. Raises FileDamaged (the database), DiskFull, FileAccess.
    """
    place = job_folder(folder, number)
    if has_history(place):
        path = str(folder / DATABASE)
        problem = _("it does not know job {id}, whose folder is there").format(id=number)
        raise FileDamaged(_("{path} is damaged: {error}").format(path=path, error=problem), path=path)
    with files.explained(place):
        if place.exists():
            shutil.rmtree(place)
        place.mkdir(mode=0o700)
    try:
        _fill(folder, place, submitted)
    except BaseException:
        shutil.rmtree(place, ignore_errors=True)
        raise


def _fill(folder: Path, place: Path, submitted: Submitted) -> None:
    with files.explained(place):
        # It is there from the beginning, so that its directory entry is synced with that of job.json.
        os.close(os.open(place / "events.jsonl", os.O_CREAT | os.O_WRONLY, 0o600))
        form_of_it = {
            "version": VERSION,
            "submitted": submitted.submitted,
            **form(submitted.spec, submitted.environment),
        }
        files.write(place / "job.json", json.dumps(form_of_it) + "\n", mode=0o600)
        files.sync_directory(folder)


def was_submitted(place: Path) -> bool:
    """Whether this is a job's folder: one that a submit left which was killed early has none of this."""
    return (place / "job.json").exists() or has_history(place)


def has_history(place: Path) -> bool:
    """Whether anything happened to the job of this folder: an event, or an attempt that may have begun."""
    if whole_events(place) > 0:
        return True
    with files.explained(place):
        found = list(place.iterdir()) if place.is_dir() else []
    return any(attempt_of(attempt.name) and has_begun(attempt) for attempt in found)


def discard(folder: Path, number: int) -> None:
    """Remove a job's folder with all that is in it. Idempotent."""
    place = job_folder(folder, number)
    with files.explained(place):
        if place.exists():
            shutil.rmtree(place)


def discard_attempts(folder: Path, number: int, last: int) -> None:
    """Remove what the attempts up to the ``last`` one left; what happened to the job stays. Idempotent."""
    place = job_folder(folder, number)
    with files.explained(place):
        found = list(place.iterdir()) if place.is_dir() else []
    for attempt in found:
        if 0 < attempt_of(attempt.name) <= last:
            shutil.rmtree(attempt, ignore_errors=True)


def put_away(folder: Path, number: int) -> None:
    """Move a job's folder to where :func:`discard_put_away` removes it: quick, whatever is in it."""
    place, into = job_folder(folder, number), folder / PRUNED
    with files.explained(place):
        try:
            into.mkdir(mode=0o700, exist_ok=True)
            names = (into / f"{place.name}.{count}" for count in itertools.count())
            place.rename(next(there for there in names if not there.exists()))
        except OSError:  # a full disk may have no room for the other name
            shutil.rmtree(place)


def discard_put_away(folder: Path) -> None:
    """Remove what :func:`put_away` moved. Two at once are no trouble."""
    with files.explained(folder / PRUNED):
        shutil.rmtree(folder / PRUNED, ignore_errors=True)


def read_job(place: Path) -> Submitted:
    """What was submitted, from a job's folder. Raises FileDamaged, FileAccess, Failure (a newer ultralab wrote it)."""
    path = place / "job.json"
    data = json_object(path)
    if data is not None and isinstance(data.get("version"), int) and data["version"] > VERSION:
        raise Failure(
            _("{path} was written by a newer ultralab.").format(path=path),
            hint=_("Upgrade ultralab, or use another lab (--home)."),
            path=str(path),
        )
    try:
        given = typed(data, dict)
        spec, environment = from_form(given)
        return Submitted(spec, environment, typed(given["submitted"], NUMBER))
    except (KeyError, TypeError, ValueError) as error:
        raise FileDamaged(
            _("{path} is missing or damaged.").format(path=path),
            hint=_("Submit the job again; what is left of this one stays in its folder."),
            path=str(path),
        ) from error


def form(spec: JobSpec, environment: Mapping[str, str]) -> dict[str, object]:
    """What is submitted as JSON-serializable data: as it stands in job.json and in a schedule."""
    return {"spec": asdict(spec), "environment": dict(environment)}


def from_form(data: Mapping[str, Any]) -> tuple[JobSpec, dict[str, str]]:
    """The reverse of :func:`form`. Raises KeyError, TypeError, ValueError for what it never wrote."""
    given = typed(data["spec"], dict)
    known = {item.name: given[item.name] for item in fields(JobSpec) if item.name in given}
    argv = tuple(typed(word, str) for word in typed(known.pop("argv"), list))
    needs = Needs(**typed(known.pop("needs"), dict))
    after = tuple(
        Dependency(typed(item["job"], int), among(item["how"], ("success", "end")))
        for item in typed(known.pop("after"), list)
    )
    if [need.job for need in after] != sorted({need.job for need in after}):
        raise ValueError(after)
    for name, value in known.items():
        typed(value, _KINDS[name])
        if isinstance(value, str) and name != "cwd":
            value.encode()  # a column takes Unicode only
    for value in (needs.memory, needs.disk):
        if typed(value, int) < 0:
            raise ValueError(value)
    typed(needs.network, bool)
    among(needs.gpu, get_args(Gpu))
    environment = typed(data["environment"], dict)
    for value in environment.values():
        typed(value, str)
    return JobSpec(argv=argv, needs=needs, after=after, **known), environment


_OPTIONAL = (int, float, type(None))
_KINDS: Final[dict[str, type | tuple[type, ...]]] = {
    "cwd": str, "name": str, "kind": str, "owner": str, "schedule": str,
    "priority": int, "retries": int,
    "night": bool, "idempotent": bool, "resumable": bool,
    "not_before": _OPTIONAL, "timeout": _OPTIONAL,
}  # fmt: skip


# What happened to it


def append_event(place: Path, event: Event, recorded: int) -> int:
    """Write an event into a job's folder, synced, behind the ``recorded`` bytes that happened; the bytes afterwards.

    What lies behind them (its transaction never committed, or the power went) is cut off. Raises DiskFull, FileAccess.
    """
    path = place / "events.jsonl"
    with files.explained(path):
        place.mkdir(mode=0o700, exist_ok=True)  # somebody removed it: its job must still be able to end
        cut_events(place, recorded)
        files.append_line(path, json.dumps(_event_data(event)), synced=True)
        return path.stat().st_size


def cut_events(place: Path, recorded: int) -> None:
    """Keep the first ``recorded`` bytes of a job's events; of fewer, the whole lines."""
    path = place / "events.jsonl"
    with files.explained(path):
        size = path.stat().st_size if path.exists() else 0
        keep = recorded if size >= recorded else whole_events(place)
        if keep < size:
            os.truncate(path, keep)


def whole_events(place: Path) -> int:
    """How many bytes of a job's events are whole lines."""
    return _events_text(place).rfind(b"\n") + 1


def read_events(place: Path) -> list[Event]:
    """Every event in a job's folder; a torn last line and lines that nobody here wrote are passed over."""
    return read_recorded(place)[0]


def read_recorded(place: Path) -> tuple[list[Event], int]:
    """The :func:`read_events` and the :func:`whole_events` of one moment."""
    text = _events_text(place)
    events = [event for line in text.split(b"\n")[:-1] if (event := _event(line)) is not None]
    return events, text.rfind(b"\n") + 1


def _events_text(place: Path) -> bytes:
    return content(place / "events.jsonl", MOST) or b""


def _event_data(event: Event) -> dict[str, object]:
    data = {name: value for name, value in asdict(event).items() if value not in (None, "")}
    return {"event": data.pop("name"), **data}


def _event(line: bytes) -> Event | None:
    try:
        data = typed(json.loads(line), dict)
        return Event(
            name=among(data["event"], get_args(EventName)),
            at=typed(data["at"], NUMBER),
            fence=typed(data.get("fence"), (int, type(None))),
            status=typed(data.get("status"), (int, type(None))),
            cause=among(data.get("cause", ""), get_args(Cause)),
            supervisor=process(data["supervisor"]) if "supervisor" in data else None,
            reservation=typed(data.get("reservation"), (int, type(None))),
        )
    except (KeyError, TypeError, ValueError, RecursionError):
        return None
