"""A queue and a site: real files, real supervisors, a real ledger; only the machine's size is made up."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from ultralab import memory
from ultralab.jobs.site import Site
from ultralab.jobs.store.queue import Queue, open_queue
from ultralab.jobs.types import Capacity, Rules
from ultralab.kernel.units import GIB, MIB
from ultralab.system.process import ProcessId

LIMIT = 64 * GIB


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[Queue]:
    """An empty queue."""
    with closing((opened := open_queue(tmp_path / "jobs")).database):
        yield opened


@pytest.fixture
def ledger(tmp_path: Path) -> memory.Ledger:
    """A machine with 64 GiB for jobs and models."""
    return memory.open_ledger(tmp_path / "machine", LIMIT)


@pytest.fixture
def site(ledger: memory.Ledger) -> Site:
    """Four jobs at once, no night of its own, a disk with much space; a drain that does nothing."""
    return site_with(ledger, Rules())


def site_with(ledger: memory.Ledger, rules: Rules, **capacity: int | bool) -> Site:
    """A site with other rules, or other figures of its machine."""

    def reserve(amount: int, purpose: str, holder: ProcessId) -> int:
        return memory.reserve(ledger, amount, purpose, holder).id

    def release(reservation: int, holder: ProcessId) -> None:
        for held in memory.holders(ledger):
            if (held.id, held.holder) == (reservation, holder):
                memory.release(ledger, held)

    def read() -> Capacity:
        found = Capacity(memory_limit=LIMIT, memory_free=memory.free(ledger), disk_free=900 * GIB)
        return replace(found, **capacity)  # type: ignore[arg-type]

    return Site(
        rules=rules,
        capacity=read,
        reserve=reserve,
        release=release,
        awake=lambda _pid: None,
        drain=(sys.executable, "-I", "-S", "-c", "pass"),
        log_limit=MIB,
        grace=1.0,
    )


Sited = Callable[..., Site]


@pytest.fixture
def sited(ledger: memory.Ledger) -> Sited:
    """Makes sites on the same ledger."""
    return partial(site_with, ledger)
