"""Who belongs to an attempt of a job, and how all of them are ended. Standard library only.

A process inherits the variable ``ULTRALAB_JOB`` however it detaches: forks, sessions and parents that went away do not
change it. What dropped its environment is still known by its parents, or by its session.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

from ultralab.system.proctable import Entry, table

KILL_SECONDS = 10.0
_PAUSES = (0.005, 0.25)


def members(mark: str, session: int | None = None, root: int | None = None) -> list[int]:
    """The living processes of the attempt ``mark``: they carry it, or descend from one that does or from ``root``.

    What carries no mark belongs to whom its nearest marked ancestor belongs; where there is none, the session
    ``session`` counts. So another job's supervisor and all below it is left out. Never this process itself.
    """
    return belonging(table(), mark, session, root, os.getpid())


def belonging(entries: list[Entry], mark: str, session: int | None, root: int | None, own: int) -> list[int]:
    """:func:`members` of a given table of processes; ``own``: the pid that asks."""
    marks = {pid: carried for pid, _parent, _session, carried in entries}
    parents = {pid: parent for pid, parent, _session, _mark in entries}
    if root is not None:
        marks[root] = mark

    def nearest(pid: int) -> str | None:
        seen: set[int] = set()  # a table read while processes come and go may hold a circle
        while pid in marks and pid not in seen:
            if (carried := marks[pid]) is not None:
                return carried
            seen.add(pid)
            pid = parents.get(pid, 0)
        return None

    found: list[int] = []
    for pid, _parent, sid, _mark in entries:
        whose = nearest(pid)
        if pid != own and (whose == mark or (whose is None and session is not None and sid == session)):
            found.append(pid)
    return found


def end(find: Callable[[], list[int]], grace: float, patience: float = KILL_SECONDS) -> int:
    """End every process that ``find`` finds, and wait until none is left; how many had to be told.

    SIGTERM (and SIGCONT, for what is stopped), ``grace`` seconds to obey, then SIGKILL; without grace SIGKILL at once.
    Gives up on what does not even die of SIGKILL (uninterruptible sleep, another user's) after ``patience`` seconds.
    Each process is asked once: to many programs a second SIGTERM means hurry. One that was just between its fork and
    its exec may not have heard it; it ends with the grace.
    """
    told: set[int] = set()
    for pause in ending(find, grace, told, patience):
        time.sleep(pause)
    return len(told)


def ending(
    find: Callable[[], list[int]], grace: float, told: set[int], patience: float = KILL_SECONDS
) -> Iterator[float]:
    """:func:`end` step by step, for who has something else to do meanwhile: each step tells and then yields the
    longest time in seconds until the next. ``told`` gets the pids that were sent a signal.
    """
    begun = time.monotonic()
    asked: set[int] = set()
    pause, longest = _PAUSES
    killing = grace <= 0
    while living := find():
        if not killing and time.monotonic() - begun >= grace:
            killing, begun, pause = True, time.monotonic(), _PAUSES[0]
        if killing and time.monotonic() - begun >= patience:
            return
        for pid in living:
            if killing:
                _send(pid, signal.SIGKILL)
            elif pid not in asked:  # a newcomer, or the first look
                _send(pid, signal.SIGTERM, signal.SIGCONT)
        asked.update(living)
        told.update(living)
        yield pause if killing else min(pause, max(0.0, grace - (time.monotonic() - begun)))
        pause = min(2 * pause, longest)


def _send(pid: int, *numbers: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        for number in numbers:
            os.kill(pid, number)
