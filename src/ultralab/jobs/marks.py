"""The mark that every process of an attempt carries, and whether a process is the supervisor of one."""

from __future__ import annotations

import signal
from functools import lru_cache
from pathlib import Path

from ultralab.jobs.types import Job
from ultralab.system.process import ProcessId, alive, mark_of, signal_process


def mark(folder: Path, number: int, fence: int) -> str:
    """The mark of a job's attempt.

    It names the queue by its folder's device and inode: a lab that is reached by another path, or was moved, has the
    same marks; a copy of a lab has others, and so never ends what the original runs.
    """
    place = folder.stat()
    return f"{place.st_dev:x}-{place.st_ino:x}/{number}/{fence}"


def supervises(process: ProcessId, wanted: str) -> bool:
    """Whether this process lives and is the supervisor of the attempt with this mark.

    The row of a copied lab names a process that lives, too: the original's.
    """
    return alive(process) and _carries(process, wanted)


@lru_cache(maxsize=4096)
def _carries(process: ProcessId, wanted: str) -> bool:
    """What a process has carried since its start does not change, so it is looked up once."""
    return mark_of(process.pid) in (wanted, None)  # None: the system does not show it; then pid and start must do


def tell_supervisor(folder: Path, job: Job) -> None:
    """Tell the supervisor of a job's present attempt that the job was cancelled; nobody, where it is not ours or gone."""
    supervisor = job.condition.supervisor
    if supervisor is not None and supervises(supervisor, mark(folder, job.id, job.condition.fence)):
        signal_process(supervisor, signal.SIGUSR1)
