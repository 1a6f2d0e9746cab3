"""What signals ask of a supervisor. Standard library only."""

from __future__ import annotations

import os
import select
import signal
import time


class Wishes:
    """What was asked so far: SIGUSR1 is ``cancel``, SIGTERM ``shutdown``. From its making on no signal is lost, and
    those of a terminal are ignored. ``fileno`` becomes readable with each signal, also when a child ends.
    """

    def __init__(self) -> None:
        self.cancel = False
        self.shutdown = False
        self.fileno, writing = os.pipe()
        os.set_blocking(self.fileno, False)
        os.set_blocking(writing, False)
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_IGN)
        for number in (signal.SIGUSR1, signal.SIGTERM, signal.SIGCHLD):
            signal.signal(number, self._heard)

    def _heard(self, number: int, _frame: object) -> None:
        self.cancel = self.cancel or number == signal.SIGUSR1
        self.shutdown = self.shutdown or number == signal.SIGTERM

    def any(self) -> bool:
        """Whether the job is to end, for whatever reason."""
        return self.cancel or self.shutdown

    def forget_bytes(self) -> None:
        """Empty the pipe, so that it becomes readable with the next signal."""
        try:
            while len(os.read(self.fileno, 4096)) == 4096:
                pass
        except BlockingIOError:
            pass

    def wait(self, seconds: float) -> None:
        """Wait for a signal that asks something, ``seconds`` at most."""
        until = time.monotonic() + seconds
        while not self.any() and (left := until - time.monotonic()) > 0:
            select.select([self.fileno], [], [], left)
            self.forget_bytes()
