"""Who a process is, for good: its pid and its start. Standard library only."""

from __future__ import annotations

import os
from dataclasses import dataclass

from ultralab.system.proctable import start_token


@dataclass(frozen=True)
class ProcessId:
    """A process for good: a recycled pid has another start token, so it is never taken for this one."""

    pid: int
    start: str


def identify(pid: int | None = None) -> ProcessId | None:
    """The identity of a running process (this one by default), None if there is none with that pid."""
    number = os.getpid() if pid is None else pid
    token = start_token(number)
    return None if token is None else ProcessId(number, token)


def alive(process: ProcessId) -> bool:
    """Whether exactly this process still runs (a zombie does not)."""
    return start_token(process.pid) == process.start
