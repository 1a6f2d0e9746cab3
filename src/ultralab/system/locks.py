"""Locks between processes: one file per thing that only one may do at a time."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
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
        descriptor = _held_together(path)
    except OSError as error:
        raise explain(error, path) from error
    try:
        yield
    finally:
        os.close(descriptor)


def sweep(folder: Path) -> None:
    """Remove the lock files in ``folder`` that nobody holds now. What cannot be removed stays.

    Whoever waits for one of them finds the file gone when it gets it, and takes the new one: :func:`shared` and filelock
    (its ``UnixFileLock``) look for that.
    """
    for path in list(folder.glob("*.lock")):
        with suppress(OSError, Timeout), FileLock(path, timeout=0):
            path.unlink()


def _held_together(path: Path) -> int:
    """The descriptor of the file that has the name when the lock is had: it may have been swept while we waited."""
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            if _is_named(descriptor, path):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _is_named(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
