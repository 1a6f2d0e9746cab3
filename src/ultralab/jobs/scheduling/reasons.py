"""Why a job waits: the facts as data, and one sentence for a person."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from ultralab.jobs.scheduling.wallclock import local_time
from ultralab.jobs.types import Gpu, State
from ultralab.kernel.language import _
from ultralab.kernel.units import format_bytes

Code = Literal[
    "held", "too_large", "dependency", "dependency_failed", "dependency_missing", "delayed", "night",
    "pressure", "disk_low",
    "parallel", "kind", "gpu", "network", "memory", "disk", "overtaking",
]  # fmt: skip

Datum = str | int | float | list[int] | list[dict[str, str | int]]


@dataclass(frozen=True)
class Reason:
    """Why a job does not start now. Which fields count depends on ``code``: see :data:`FIELDS`.

    ``need``, ``free`` and ``limit`` are bytes where the code is about memory or disk, else counts. ``jobs``: who is in
    the way; ``held``: what each of them holds, in bytes; ``held_by``: who else holds memory, and how many bytes. ``at``: when that alone is over, in seconds since the epoch.
    ``what``: the code of the thing that both need, where the job in ``jobs`` has waited so long that nothing may overtake
    it.
    """

    code: Code
    jobs: tuple[int, ...] = ()
    held: tuple[int, ...] = ()
    need: int = 0
    free: int = 0
    limit: int = 0
    kind: str = ""
    gpu: Gpu = "none"
    state: State = "queued"
    how: Literal["success", "end"] = "success"
    at: float = 0.0
    what: Code | None = None
    held_by: tuple[tuple[str, int], ...] = ()


FIELDS: Final[dict[Code, tuple[str, ...]]] = {
    "held": (),
    "too_large": ("need", "limit"),
    "dependency": ("jobs", "state", "how"),
    "dependency_failed": ("jobs", "state"),
    "dependency_missing": ("jobs",),
    "delayed": ("at",),
    "night": ("at",),
    "pressure": (),
    "disk_low": ("free", "limit"),
    "parallel": ("limit",),
    "kind": ("kind", "limit"),
    "gpu": ("jobs", "gpu"),
    "network": ("limit",),
    "memory": ("need", "free", "jobs", "held", "held_by"),
    "disk": ("need", "free"),
    "overtaking": ("jobs", "what"),
}


def to_data(reason: Reason) -> dict[str, Datum]:
    """The reason as JSON: its code, and the fields that belong to this code, always the same ones.

    ``at`` is written in ISO 8601 with this computer's offset at that moment.
    """
    data: dict[str, Datum] = {"code": reason.code}
    for name in FIELDS[reason.code]:
        value = getattr(reason, name)
        data[name] = list(value) if isinstance(value, tuple) else value
    if "held_by" in data:
        holders: list[dict[str, str | int]] = [{"holder": name, "bytes": amount} for name, amount in reason.held_by]
        data["held_by"] = holders
    if "at" in data:
        data["at"] = local_time(reason.at).isoformat()
    return data


def sentence(reason: Reason) -> str:
    """The reason as one sentence, in the language of the process."""
    return _SENTENCES[reason.code](reason)


def _too_large(reason: Reason) -> str:
    return _(
        "Can never start: it needs {need} of memory, and all jobs together may have {limit}; "
        "cancel it and submit it with less."
    ).format(need=format_bytes(reason.need), limit=format_bytes(reason.limit))


def _dependency(reason: Reason) -> str:
    if reason.how == "end":
        return _("Waits for job {job} to end.").format(job=reason.jobs[0])
    return _("Waits for job {job} to succeed.").format(job=reason.jobs[0])


def _dependency_failed(reason: Reason) -> str:
    if len(reason.jobs) > 1:
        return _behind_failed(reason)
    if reason.state == "cancelled":
        text = _("Needs the success of job {job}, which was cancelled: retry that one, or cancel this one.")
    elif reason.state == "interrupted":
        text = _("Needs the success of job {job}, which was interrupted: retry that one, or cancel this one.")
    else:
        text = _("Needs the success of job {job}, which failed: retry that one, or cancel this one.")
    return text.format(job=reason.jobs[0])


def _behind_failed(reason: Reason) -> str:
    """The job that this one waits for can never run itself: the direct cause, and the root of it."""
    if reason.state == "cancelled":
        text = _(
            "Waits for job {job}, which waits for job {root}, which was cancelled: retry that one, or cancel this."
        )
    elif reason.state == "interrupted":
        text = _(
            "Waits for job {job}, which waits for job {root}, which was interrupted: retry that one, or cancel this."
        )
    else:
        text = _("Waits for job {job}, which waits for job {root}, which failed: retry that one, or cancel this.")
    return text.format(job=reason.jobs[0], root=reason.jobs[1])


def _dependency_missing(reason: Reason) -> str:
    return _("Waits for job {job}, which is not in the queue any more: cancel this one.").format(job=reason.jobs[0])


def _delayed(reason: Reason) -> str:
    at = local_time(reason.at)
    return _("Starts on {date} at {time} at the earliest.").format(
        date=at.strftime("%Y-%m-%d"), time=at.strftime("%H:%M:%S" if at.second else "%H:%M")
    )


def _night(reason: Reason) -> str:
    return _("Starts when the night window opens, at {time}.").format(time=local_time(reason.at).strftime("%H:%M"))


def _disk_low(reason: Reason) -> str:
    return _("Nothing starts while the disk is nearly full: {free} free, {limit} are kept in reserve.").format(
        free=format_bytes(reason.free), limit=format_bytes(reason.limit)
    )


def _parallel(reason: Reason) -> str:
    return _("Waits for its turn: no more than {limit} run at once.").format(limit=reason.limit)


def _kind(reason: Reason) -> str:
    return _("Waits for its turn: no more than {limit} of the kind {kind} run at once.").format(
        limit=reason.limit, kind=reason.kind
    )


def _gpu(reason: Reason) -> str:
    if reason.gpu == "exclusive":
        return _("Waits to have the GPU for itself: in use by {jobs}.").format(jobs=_listed(reason.jobs))
    return _("Waits for the GPU, which {jobs} has for itself.").format(jobs=_listed(reason.jobs))


def _network(reason: Reason) -> str:
    return _("Waits for the network: no more than {limit} use it at once.").format(limit=reason.limit)


def _memory(reason: Reason) -> str:
    need, free = format_bytes(reason.need), format_bytes(max(0, reason.free))
    named = [
        *(
            _("job {job} holds {amount}").format(job=job, amount=format_bytes(amount))
            for job, amount in zip(reason.jobs, reason.held, strict=True)
        ),
        *(
            _("{holder} holds {amount}").format(holder=holder, amount=format_bytes(amount))
            for holder, amount in reason.held_by
        ),
    ]
    if not named:
        return _("Waits for memory: {need} needed, {free} free.").format(need=need, free=free)
    holders = _(", ").join(named)
    return _("Waits for memory: {need} needed, {free} free ({holders}).").format(need=need, free=free, holders=holders)


def _disk(reason: Reason) -> str:
    return _("Waits for disk space: {need} needed, {free} free for jobs.").format(
        need=format_bytes(reason.need), free=format_bytes(max(0, reason.free))
    )


def _overtaking(reason: Reason) -> str:
    texts: dict[Code | None, str] = {
        "kind": _("Lets job {job} go first, which is of the same kind and has waited too long to be overtaken."),
        "gpu": _("Lets job {job} go first, which needs the GPU and has waited too long to be overtaken."),
        "network": _("Lets job {job} go first, which needs the network and has waited too long to be overtaken."),
        "memory": _("Lets job {job} go first, which needs memory and has waited too long to be overtaken."),
        "disk": _("Lets job {job} go first, which needs disk space and has waited too long to be overtaken."),
    }
    return texts[reason.what].format(job=reason.jobs[0])


def _listed(jobs: tuple[int, ...]) -> str:
    return _(", ").join(_("job {job}").format(job=job) for job in jobs)


_SENTENCES: Final[dict[Code, Callable[[Reason], str]]] = {
    "held": lambda _reason: _("Is held back until its owner releases it."),
    "too_large": _too_large,
    "dependency": _dependency,
    "dependency_failed": _dependency_failed,
    "dependency_missing": _dependency_missing,
    "delayed": _delayed,
    "night": _night,
    "pressure": lambda _reason: _("Nothing starts while the system is short of memory."),
    "disk_low": _disk_low,
    "parallel": _parallel,
    "kind": _kind,
    "gpu": _gpu,
    "network": _network,
    "memory": _memory,
    "disk": _disk,
    "overtaking": _overtaking,
}
