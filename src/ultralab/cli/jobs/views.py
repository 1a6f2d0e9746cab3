"""How jobs look: as JSON with a stable shape, as rows of a list, as a page about one. Values in, text out."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

from ultralab.cli.output import lossless
from ultralab.jobs.states import STATE_NAMES
from ultralab.jobs.types import OVER, WAITING, Job, JobSpec
from ultralab.kernel.language import _
from ultralab.kernel.text import display_width, printable, shorten
from ultralab.kernel.units import format_bytes, format_seconds
from ultralab.system import clock

if TYPE_CHECKING:
    from ultralab.app.jobs import AttemptView, JobView
    from ultralab.jobs.scheduling.reasons import Reason

Key = TypeVar("Key", bound=Hashable)

_LEAST_NAME: Final = 12


def iso(at: float | None) -> str | None:
    """A moment (seconds since the epoch) in local time with its offset, to the second."""
    return None if at is None else clock.local_iso(at)


def to_data(job: Job) -> dict[str, Any]:
    """A job as JSON: always these keys. Sizes in bytes, durations in seconds, moments in local time."""
    condition = job.condition
    supervisor = condition.supervisor
    return {
        "id": job.id,
        "state": condition.state,
        **spec_data(job.spec),
        "submitted": iso(condition.submitted),
        "started": iso(condition.started),
        "ended": iso(condition.ended),
        "attempts": condition.fence,
        "failures": condition.failures,
        "interruptions": condition.interruptions,
        "status": condition.status,
        "cause": condition.cause,
        "supervisor": None if supervisor is None else {"pid": supervisor.pid, "start": supervisor.start},
    }


def summary(job: Job) -> dict[str, Any]:
    """A job in a list, as JSON: the keys that a list is sorted, filtered and drawn by. The others: :func:`to_data`."""
    spec, condition = job.spec, job.condition
    return {
        "id": job.id,
        "state": condition.state,
        "name": spec.name,
        "kind": spec.kind,
        "owner": spec.owner,
        "priority": spec.priority,
        "argv": spec.argv,
        "memory": spec.needs.memory,
        "gpu": spec.needs.gpu,
        "schedule": spec.schedule,
        "submitted": iso(condition.submitted),
        "started": iso(condition.started),
        "ended": iso(condition.ended),
        "attempts": condition.fence,
        "status": condition.status,
        "cause": condition.cause,
    }


def spec_data(spec: JobSpec) -> dict[str, Any]:
    """What was submitted, as JSON."""
    needs = spec.needs
    return {
        "name": spec.name,
        "kind": spec.kind,
        "owner": spec.owner,
        "priority": spec.priority,
        "argv": spec.argv,
        "cwd": spec.cwd,
        "memory": needs.memory,
        "gpu": needs.gpu,
        "disk": needs.disk,
        "network": needs.network,
        "after": [{"job": need.job, "how": need.how} for need in spec.after],
        "not_before": iso(spec.not_before),
        "night": spec.night,
        "retries": spec.retries,
        "idempotent": spec.idempotent,
        "resumable": spec.resumable,
        "timeout": spec.timeout,
        "schedule": spec.schedule,
    }


def reason_data(reason: Reason | None) -> dict[str, Any] | None:
    """Why a job waits, as JSON, with the sentence."""
    from ultralab.jobs.scheduling.reasons import sentence, to_data

    return None if reason is None else {**to_data(reason), "sentence": sentence(reason)}


def view_data(view: JobView) -> dict[str, Any]:
    """Everything about one job as JSON. ``now``: the sentence about where it stands; ``worker``: while it runs."""
    from ultralab.cli.jobs.page import why, worker_of

    worker = worker_of(view)
    return {
        "job": to_data(view.job),
        "waiting": reason_data(view.waiting),
        "now": why(view) or None,
        "stopped": view.stopped,
        "worker": None if worker is None else {"pid": worker.pid, "start": worker.start},
        "folder": str(view.folder),
        "attempts": [_attempt_data(attempt) for attempt in view.attempts],
        "progress": view.progress,
    }


def _attempt_data(attempt: AttemptView) -> dict[str, Any]:
    return {
        "number": attempt.fence,
        "folder": str(attempt.folder),
        "begun": iso(attempt.begun),
        "ended": None if attempt.ended is None else {**asdict(attempt.ended), "at": iso(attempt.ended.at)},
        "output_bytes": attempt.output_bytes,
    }


def json_rows(jobs: Iterable[Job]) -> str:
    """A JSON list, one compact row per job: thousands of them must not take a noticeable time."""
    from json import JSONEncoder

    encode = JSONEncoder(ensure_ascii=False).encode
    rows = ",\n".join(encode(summary(job)) for job in jobs)
    return f"[\n{lossless(rows)}\n]" if rows else "[]"


def lines(jobs: Sequence[Job], now: float, width: int) -> list[str]:
    """A list of jobs in ``width`` columns, under a head and a rule. By hand: it may have 10,000 rows."""
    columns = (
        Column(_("Job"), [str(job.id) for job in jobs], right=True),
        Column(_("Name"), [_safe(job.spec.name) for job in jobs]),
        Column(_("State"), _each(jobs, lambda job: job.condition.state, lambda state: _(STATE_NAMES[state]))),
        Column(_("Prio"), [str(job.spec.priority) for job in jobs], right=True),
        Column(_("Memory"), _each(jobs, lambda job: job.spec.needs.memory, _size), right=True),
        Column(_("Waited/ran"), [_lasted(job, now) for job in jobs], right=True),
        Column(_("Exit"), [_exit(job) for job in jobs], right=True),
    )
    return _table(columns, width, flexible=1)


@dataclass(frozen=True)
class Column:
    """A column of a list: its head and its cells."""

    head: str
    cells: list[str]
    right: bool = False

    def wanted(self) -> int:
        """The width in which nothing has to be shortened."""
        return max(map(_columns, {self.head, *self.cells}))

    def padded(self, width: int) -> list[str]:
        """Head and cells, each exactly so wide."""
        texts = (self.head, *self.cells)
        if self.wanted() <= width and "".join(texts).isascii():  # as good as always: at the speed of the interpreter
            return [text.rjust(width) for text in texts] if self.right else [text.ljust(width) for text in texts]
        known = {text: _pad(text, width, right=self.right) for text in set(texts)}
        return [known[text] for text in texts]


def _table(columns: Sequence[Column], width: int, flexible: int) -> list[str]:
    """The lines of a table; the column ``flexible`` gets what the others leave."""
    widths = [column.wanted() for column in columns]
    taken = sum(widths) - widths[flexible] + 2 * (len(columns) - 1) + 1
    widths[flexible] = min(widths[flexible], max(_LEAST_NAME, width - taken))
    cells = [column.padded(to) for column, to in zip(columns, widths, strict=True)]
    rows = [" " + "  ".join(row).rstrip() for row in zip(*cells, strict=True)]
    return [rows[0], " " + "─" * (sum(widths) + 2 * (len(columns) - 1)), *rows[1:]]


def _each(jobs: Sequence[Job], key: Callable[[Job], Key], text: Callable[[Key], str]) -> list[str]:
    """A text per job that depends on few values only: each is made once."""
    keys = [key(job) for job in jobs]
    known = {value: text(value) for value in set(keys)}
    return [known[value] for value in keys]


def _size(count: int) -> str:
    return format_bytes(count) if count else "–"


def _exit(job: Job) -> str:
    return "–" if job.condition.status is None else str(job.condition.status)


def _lasted(job: Job, now: float) -> str:
    """How long it waited, runs or ran; a clock that went backwards shows as nothing."""
    condition = job.condition
    waits = condition.started is None or condition.state in WAITING
    begun = condition.submitted if waits or condition.started is None else condition.started
    end = condition.ended if condition.state in OVER and condition.ended is not None else now
    return format_seconds(max(0.0, end - begun))


def _columns(text: str) -> int:
    return len(text) if text.isascii() else display_width(text)


def _pad(text: str, width: int, *, right: bool = False) -> str:
    if text.isascii():
        fitting = text if len(text) <= width else f"{text[: width - 1]}…"
        return fitting.rjust(width) if right else fitting.ljust(width)
    fitting = shorten(text, width)
    space = " " * (width - display_width(fitting))
    return space + fitting if right else fitting + space


def _safe(text: str) -> str:
    return text if text.isprintable() else printable(text)
