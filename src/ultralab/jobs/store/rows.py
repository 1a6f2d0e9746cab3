"""Between a job and its row: plain conversions, quick enough for ten thousand."""

from __future__ import annotations

import gc
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, TypeVar

from ultralab.jobs.types import Condition, Dependency, Gpu, Job, JobSpec, Needs
from ultralab.system.process import ProcessId

_Made = TypeVar("_Made", Job, JobSpec, Condition)

Value = str | float | None
Dependencies = Mapping[int, tuple[Dependency, ...]]


def job_values(spec: JobSpec, condition: Condition) -> dict[str, Value]:
    """The columns of a job's row, without ``id`` and ``recorded``."""
    return {
        "argv": json.dumps(spec.argv),
        "cwd": json.dumps(spec.cwd),
        "name": spec.name,
        "kind": spec.kind,
        "owner": spec.owner,
        "priority": spec.priority,
        "memory": spec.needs.memory,
        "gpu": spec.needs.gpu,
        "disk": spec.needs.disk,
        "network": spec.needs.network,
        "not_before": spec.not_before,
        "night": spec.night,
        "retries": spec.retries,
        "idempotent": spec.idempotent,
        "resumable": spec.resumable,
        "timeout": spec.timeout,
        "schedule": spec.schedule,
        **condition_values(condition),
    }


def condition_values(condition: Condition) -> dict[str, Value]:
    """The columns that change."""
    supervisor = condition.supervisor
    return {
        "state": condition.state,
        "submitted": condition.submitted,
        "fence": condition.fence,
        "failures": condition.failures,
        "interruptions": condition.interruptions,
        "supervisor_pid": supervisor.pid if supervisor else None,
        "supervisor_start": supervisor.start if supervisor else None,
        "reservation": condition.reservation,
        "started": condition.started,
        "ended": condition.ended,
        "status": condition.status,
        "cause": condition.cause,
    }


def dependencies(rows: Iterable[tuple[Any, ...]]) -> dict[int, tuple[Dependency, ...]]:
    """Rows of (job, needs, how), in order, by job."""
    found: dict[int, tuple[Dependency, ...]] = {}
    for job, needs, how in rows:
        found[job] = (*found.get(job, ()), Dependency(needs, how))
    return found


def jobs(rows: Sequence[tuple[Any, ...]], after: Dependencies) -> list[Job]:
    """Rows, in the columns' order of ``queries.sql``, as jobs. Raises ValueError for what was never written."""
    # One call for all argument vectors: thousands of calls would cost more than everything else here.
    vectors = json.loads("[" + ",".join([row[1] for row in rows]) + "]")
    return [_job(row, tuple(vector), after.get(row[0], ())) for row, vector in zip(rows, vectors, strict=True)]


@contextmanager
def uncollected() -> Iterator[None]:
    """No garbage collection for a moment: of ten thousand jobs and no garbage, it would take a third of the time."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def _job(row: tuple[Any, ...], argv: tuple[str, ...], after: tuple[Dependency, ...]) -> Job:
    (
        number, _argv, cwd, name, kind, owner, priority, memory, gpu, disk, network, not_before, night, retries,
        idempotent, resumable, timeout, schedule, state, submitted, fence, failures, interruptions, pid, start,
        reservation, started, ended, status, cause,
    ) = row  # fmt: skip
    spec = {
        "argv": argv, "cwd": _text(cwd), "name": name, "kind": kind, "owner": owner, "priority": priority,
        "needs": _needs(memory, gpu, disk, network), "after": after, "not_before": not_before, "night": night == 1,
        "retries": retries, "idempotent": idempotent == 1, "resumable": resumable == 1, "timeout": timeout,
        "schedule": schedule,
    }  # fmt: skip
    condition = {
        "state": state, "submitted": submitted, "fence": fence, "failures": failures, "interruptions": interruptions,
        "supervisor": None if pid is None else ProcessId(pid, start), "reservation": reservation, "started": started,
        "ended": ended, "status": status, "cause": cause,
    }  # fmt: skip
    return _made(Job, {"id": number, "spec": _made(JobSpec, spec), "condition": _made(Condition, condition)})


def _made(cls: type[_Made], values: dict[str, Any]) -> _Made:
    """An instance with these fields. A frozen dataclass's own way sets one after the other: that takes twice as long."""
    made = object.__new__(cls)
    object.__setattr__(made, "__dict__", values)
    return made


@lru_cache(maxsize=1024)
def _needs(memory: int, gpu: Gpu, disk: int, network: int) -> Needs:
    return Needs(memory, gpu, disk, network == 1)


@lru_cache(maxsize=1024)
def _text(written: str) -> str:
    return str(json.loads(written))
