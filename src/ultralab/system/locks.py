"""Locks between processes: one file per thing that only one may do at a time."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from ultralab.kernel.errors import Busy
from ultralab.kernel.language import _
from ultralab.system.files import explain


@contextmanager
def exclusive(path: Path, what: str, timeout: float = 600) -> Iterator[None]:
    """Hold the lock file ``path``; the system frees it when this process ends, however it ends.

    ``what`` names the protected thing for the message (already translated). Raises Busy after ``timeout`` seconds,
    FileAccess, DiskFull (the lock file).
    """
    lock = FileLock(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=timeout)
    except Timeout as error:
        raise Busy(
            _("Another ultralab process is busy with {what}.").format(what=what),
            hint=_("Wait for it to finish and try again."),
            path=str(path),
        ) from error
    except OSError as error:
        raise explain(error, path) from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def shared(path: Path) -> Iterator[None]:
    """Hold the lock file ``path`` together with others who share it: while one does, nobody has it exclusively.

    Waits while somebody has. The system frees it when this process ends. Raises FileAccess, DiskFull.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise explain(error, path) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)
