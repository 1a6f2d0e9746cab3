"""Waking whoever schedules: a FIFO beside the queue. A byte in it says "look"; nothing else is ever said.

A FIFO and not a socket: a socket's path may have 104 bytes on macOS, a lab's may be longer. And a FIFO that nobody
reads refuses a writer at once (ENXIO), so a poke also tells whether somebody schedules.
"""

from __future__ import annotations

import errno
import os
import select
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ultralab.system.files import explained

WAKE: Final = "wake"
_BYTES: Final = 65_536


@dataclass(frozen=True)
class Ear:
    """The reading end. It is open for writing as well: a FIFO without a writer would be readable for ever."""

    descriptor: int

    def wait(self, seconds: float) -> bool:
        """Whether a poke came within a time; every poke so far is then taken together."""
        ready, _, _ = select.select([self.descriptor], [], [], max(0.0, seconds))
        if not ready:
            return False
        with suppress(BlockingIOError):  # another one that listens took it
            os.read(self.descriptor, _BYTES)
        return True


@contextmanager
def listening(folder: Path) -> Iterator[Ear]:
    """Be the one who is woken, for the length of a block. Raises FileAccess."""
    path = folder / WAKE
    with explained(path):
        _make(path)
        descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    try:
        yield Ear(descriptor)
    finally:
        os.close(descriptor)


def heard(folder: Path) -> bool:
    """Whether anybody listens, without waking them."""
    try:
        descriptor = os.open(folder / WAKE, os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        return stat.S_ISFIFO(os.fstat(descriptor).st_mode)
    finally:
        os.close(descriptor)


def poke(folder: Path) -> bool:
    """Wake whoever listens; whether anybody does."""
    try:
        descriptor = os.open(folder / WAKE, os.O_WRONLY | os.O_NONBLOCK)
    except OSError as error:
        if error.errno in (errno.ENXIO, errno.ENOENT):
            return False
        raise
    try:
        if not stat.S_ISFIFO(os.fstat(descriptor).st_mode):
            return False
        os.write(descriptor, b"!")
    except BlockingIOError:  # it is full of pokes: one more says nothing new
        return True
    except BrokenPipeError:
        return False
    finally:
        os.close(descriptor)
    return True


def _make(path: Path) -> None:
    try:
        os.mkfifo(path, 0o600)
    except FileExistsError:
        if not stat.S_ISFIFO(path.stat().st_mode):  # a copy of the lab made a file of it
            path.unlink()
            os.mkfifo(path, 0o600)
