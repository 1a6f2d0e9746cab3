"""The command of an attempt while it runs: its output is taken, its processes are collected and, at last, ended."""

from __future__ import annotations

import fcntl
import os
import select
import sys
import time
from contextlib import suppress

from ultralab.supervisor.wishes import Wishes
from ultralab.system import tree
from ultralab.system.proctable import start_token
from ultralab.system.segments import Writer

SHUTDOWN_SECONDS = 3.0
_BLOCK = 1024 * 1024
_MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024  # getrusage(2): bytes there, KiB on Linux


class Worker:
    """The running command ``pid`` of the attempt ``mark``, whose output comes out of the pipe ``output``.

    ``adopts``: orphans of the attempt become our children (Linux). ``status``: the wait status, None while it runs;
    ``ended``: when that was, on the monotonic clock. ``cpu`` (seconds) and ``peak`` (bytes, of the largest process)
    are those of the command with all that it waited for, and of what had to be ended. ``beside``: a child of ours
    that is no part of the job.
    """

    def __init__(self, pid: int, output: int, log: Writer, wishes: Wishes, mark: str, adopts: bool) -> None:
        self.pid = pid
        self.status: int | None = None
        self.ended = 0.0
        self.cpu = 0.0
        self.peak = 0
        self.beside: int | None = None
        self._childless = False
        self._told: set[int] = set()
        self._output: int | None = output
        self._log = log
        self._wishes = wishes
        self._mark = mark
        self._adopts = adopts
        self._buffer = bytearray(_BLOCK)
        self._poll = select.poll()
        self._poll.register(output, select.POLLIN)
        self._poll.register(wishes.fileno, select.POLLIN)
        os.set_blocking(output, False)
        enlarge: int | None = getattr(fcntl, "F_SETPIPE_SZ", None)
        if enlarge is not None:
            with suppress(OSError):  # this user has too many such pipes
                fcntl.fcntl(output, enlarge, _BLOCK)

    def attend(self, seconds: float | None) -> None:
        """Take output and collect children, until a signal came (a child's end is one) or ``seconds`` are over."""
        until = None if seconds is None else time.monotonic() + seconds
        while True:
            left = None if until is None else max(0.0, until - time.monotonic())
            ready = [file for file, _event in self._poll.poll(None if left is None else left * 1000)]
            if self._output in ready:
                self._take()
            if self._wishes.fileno in ready:
                self._wishes.forget_bytes()
                self._collect()
                return
            if left == 0:
                return

    def end_all(self, grace: float) -> int:
        """End everything that belongs to the attempt, while its output is still taken; how many had to be told."""
        for pause in tree.ending(self._members, grace, self._told):
            self.attend(pause)
            if self._wishes.shutdown and grace > SHUTDOWN_SECONDS:
                return self.end_all(SHUTDOWN_SECONDS)
        self._collect()
        return len(self._told)

    def end_beside(self) -> None:
        """End the child that is no part of the job."""
        if self.beside is not None:
            beside, self.beside = self.beside, None
            tree.end(lambda: [] if _collected(beside) else [beside], 1.0)

    def close(self) -> None:
        """Take what is still in the pipe, without waiting for who may hold its other side, and close the output."""
        blocks = 0
        while self._output is not None and blocks <= 2 and self._take():
            blocks += 1
        self._forget_output()
        self._log.close()

    def _take(self) -> bool:
        """One read of the pipe; False: there is nothing now, or nothing more ever."""
        assert self._output is not None
        try:
            count = os.readv(self._output, [self._buffer])
        except BlockingIOError:
            return False
        if count == 0:
            self._forget_output()
            return False
        self._log.write(memoryview(self._buffer)[:count])
        return True

    def _forget_output(self) -> None:
        if self._output is not None:
            self._poll.unregister(self._output)
            os.close(self._output)
            self._output = None

    def _collect(self) -> None:
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                self._childless = True
                return
            if pid == 0:
                return
            if pid == self.pid:
                self.status, self.ended = status, time.monotonic()
            if pid == self.pid or pid in self._told:
                self.cpu += usage.ru_utime + usage.ru_stime
                self.peak = max(self.peak, usage.ru_maxrss * _MAXRSS_UNIT)
            if pid == self.beside:
                self.beside = None

    def _members(self) -> list[int]:
        self._collect()
        if self._adopts and self._childless:  # all that is left of the attempt would be our child
            return []
        # What forks and leaves all the time can slip through one look at the table, hardly through two.
        return self._look() or self._look()

    def _look(self) -> list[int]:
        session: int | None = self.pid
        if self._adopts or (self.status is not None and start_token(self.pid) is not None):
            session = None  # not needed; or its number was given to another process
        return [pid for pid in tree.members(self._mark, session, os.getpid()) if pid != self.beside]


def _collected(pid: int) -> bool:
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return True
