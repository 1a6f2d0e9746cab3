"""A lab's queue, opened, settled and woken: what every verb of the jobs begins or ends with."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ultralab.app.lab import Lab
from ultralab.jobs.store.queue import Queue, could_start, open_queue, open_to_read
from ultralab.kernel.errors import Busy, DiskFull, FileAccess
from ultralab.system import clock

if TYPE_CHECKING:
    from ultralab.jobs.site import Site
    from ultralab.memory import Ledger
    from ultralab.system.process import ProcessId

_STARTED: Final = "drain.started"
_BEGINNING_SECONDS: Final = 5.0
UNWRITABLE = (DiskFull, FileAccess, Busy)
"""What keeps somebody from writing, who only wants to read."""


def jobs_folder(home: Path) -> Path:
    """Where a lab keeps its jobs."""
    return home / "state" / "jobs"


@contextmanager
def opened(lab: Lab) -> Iterator[Queue]:
    """The lab's queue. Raises Busy, DiskFull, FileAccess, Failure (a newer version's)."""
    with closing((queue := open_queue(jobs_folder(lab.home))).database):
        yield queue


@contextmanager
def read_only(lab: Lab, *, settled: bool = True) -> Iterator[Queue]:
    """The lab's queue for who only reads: also on a disk that is full or read-only. Raises as :func:`opened`.

    ``settled``: what ended meanwhile has ended, where that can be written.
    """
    with closing((queue := open_to_read(jobs_folder(lab.home))).database):
        if settled:
            with suppress(*UNWRITABLE):  # else it is said as it stands in the rows
                settle(lab, queue)
        yield queue


def settle(lab: Lab, queue: Queue) -> None:
    """Before anything is said about jobs: what ended meanwhile has ended. The ledger is opened only where it matters.

    Where something changed, or could start and nobody schedules (all of them were killed, say), somebody is woken.
    """
    from ultralab.jobs.settle import settle as settle_queue

    if settle_queue(queue, partial(_give_back, lab)) or _stands_still(queue):
        wake(lab)


def _stands_still(queue: Queue) -> bool:
    from ultralab.jobs.wake import heard

    if heard(queue.folder) or clock.timestamp() - _last_drain(queue.folder) < _BEGINNING_SECONDS:
        return False
    return could_start(queue, clock.timestamp())


def _last_drain(folder: Path) -> float:
    """When a drain was last started, in seconds since the epoch: it takes a moment until it listens."""
    try:
        return (folder / _STARTED).stat().st_mtime
    except OSError:
        return 0.0


def wake(lab: Lab) -> None:
    """Wake whoever schedules; where nobody does, start a drain."""
    from ultralab.jobs.wake import poke
    from ultralab.system.process import start_detached

    folder = jobs_folder(lab.home)
    if not poke(folder):
        with suppress(OSError):
            (folder / _STARTED).touch()
        start_detached(_drain_command(lab), cwd=Path("/"))


def program_command() -> tuple[str, ...]:
    """How a child starts this program: from the same interpreter, and nothing taken from the current folder."""
    return (sys.executable, "-P", "-m", "ultralab.cli")


def sites(lab: Lab) -> Callable[[], Site]:
    """What jobs are told of the machine and the lab, at each moment. Raises what opening the ledger raises."""
    from ultralab.app.job_site import sites as sites_of

    return sites_of(lab, _drain_command(lab))


def ledger_of(lab: Lab) -> Ledger:
    """The machine's ledger, as jobs take from it."""
    from ultralab.app.job_site import ledger_of as opened_ledger

    return opened_ledger(lab)


def _drain_command(lab: Lab) -> tuple[str, ...]:
    return (*program_command(), "jobs", "drain", "--home", str(lab.home))


def _give_back(lab: Lab, reservation: int, holder: ProcessId) -> None:
    from ultralab.app.job_site import give_back

    give_back(ledger_of(lab), reservation, holder)
