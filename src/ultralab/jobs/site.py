"""What the room is told about the machine, since it knows no other room."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ultralab.jobs.types import Capacity, Rules
from ultralab.system.process import ProcessId


@dataclass(frozen=True)
class Site:
    """Where jobs run.

    ``capacity`` reads what the machine has at this moment. ``reserve`` takes bytes for a purpose in a process's name and
    gives the reservation's id, or raises OutOfMemory; ``release`` gives back what that process holds under
    that id, idempotently. ``awake`` is the command
    that keeps the machine awake while the process with a pid lives (None: nothing is needed). ``drain`` is the command
    that schedules until nothing is left to start soon; a supervisor starts it where nobody listens. ``log_limit`` in
    bytes per attempt, ``grace`` in seconds between SIGTERM and SIGKILL.
    """

    rules: Rules
    capacity: Callable[[], Capacity]
    reserve: Callable[[int, str, ProcessId], int]
    release: Callable[[int, ProcessId], None]
    awake: Callable[[int], tuple[str, ...] | None]
    drain: tuple[str, ...]
    log_limit: int
    grace: float
