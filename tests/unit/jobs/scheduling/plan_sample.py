"""Jobs, machines and rules for the tests of scheduling, in round figures."""

from __future__ import annotations

import time
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from ultralab.jobs.types import Capacity, Condition, Dependency, Job, JobSpec, Needs, Rules, State

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

GIB = 1024**3
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
WHOLE = Capacity(memory_limit=100 * GIB, memory_free=100 * GIB, disk_free=1000 * GIB)
RULES = Rules(parallel=4, night=(22 * 60, 7 * 60), ageing=3600.0, patience=900.0, network=2)


def job(number: int, *, waited: float = 0.0, state: State = "queued", **given: Any) -> Job:
    """A job that has waited for some seconds at noon. ``memory`` and ``disk`` in GiB; the rest as in JobSpec."""
    needs = Needs(
        memory=given.pop("memory", 0) * GIB,
        gpu=given.pop("gpu", "none"),
        disk=given.pop("disk", 0) * GIB,
        network=given.pop("network", False),
    )
    after = tuple(Dependency(*pair) for pair in given.pop("after", ()))
    spec = JobSpec(argv=("true",), cwd="/", name=f"job {number}", needs=needs, after=after, **given)
    return Job(number, spec, Condition(state, submitted=NOON.timestamp() - waited))


def numbers(jobs: Iterable[Job]) -> list[int]:
    return [item.id for item in jobs]


@contextmanager
def berlin() -> Iterator[None]:
    """This process in a zone that changes its clock, without a time zone file."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
        time.tzset()
        yield
    time.tzset()
