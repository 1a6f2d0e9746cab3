"""Who may move a database's files: shared and exclusive holds on their folder.

SQLite finds the write-ahead log and the shared memory by the database's name when it opens, and removes them by that name
when it closes. If another database gets the name in between, its log is taken for the first one's, or is removed.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from ultralab.kernel.errors import Busy
from ultralab.kernel.language import _
from ultralab.system import clock

PATIENCE_SECONDS: Final = 10.0


@contextmanager
def in_place(folder: Path, *, patience: float = PATIENCE_SECONDS) -> Iterator[None]:
    """While this lasts, nobody who is :func:`alone` puts another database in the place of one in this folder.

    Raises Busy after ``patience`` seconds.
    """
    with _flock(folder, fcntl.LOCK_SH, patience):
        yield


@contextmanager
def alone(folder: Path, *, patience: float = PATIENCE_SECONDS) -> Iterator[None]:
    """For moving databases of this folder, or others into their place: nobody opens, closes or holds one
    :func:`in_place` meanwhile. Raises Busy after ``patience`` seconds in which somebody did not let go.
    """
    with _flock(folder, fcntl.LOCK_EX, patience):
        yield


@contextmanager
def _flock(folder: Path, how: int, patience: float) -> Iterator[None]:
    """On the folder itself, which is there on a read-only disk too. The system frees it, however this process ends."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:  # the folder is not there, or not to be read: what is to be opened in it will say so
        yield
        return
    try:
        deadline = clock.monotonic() + patience
        while not _locked(descriptor, how):
            if clock.monotonic() > deadline:
                raise Busy(
                    _("{path} is locked by another process.").format(path=folder),
                    hint=_("Wait for the other ultralab command to finish and try again."),
                    path=str(folder),
                )
            clock.sleep(0.001)
        yield
    finally:
        os.close(descriptor)


def _locked(descriptor: int, how: int) -> bool:
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without such locks can do without: they are for a rare moment
        return True
    return True
