"""What a job is: an argument vector with declared resources, and the condition it is in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from ultralab.system.process import ProcessId

State = Literal["queued", "held", "running", "cancelling", "succeeded", "failed", "cancelled", "interrupted"]
Gpu = Literal["none", "shared", "exclusive"]
Kind = str

ACTIVE: tuple[State, ...] = ("running", "cancelling")
WAITING: tuple[State, ...] = ("queued", "held")
OVER: tuple[State, ...] = ("succeeded", "failed", "cancelled", "interrupted")

PRIORITIES = range(-10, 11)


@dataclass(frozen=True)
class Needs:
    """What a job declares that it takes while it runs. ``memory`` and ``disk`` in bytes; ``network``: it uses much of it."""

    memory: int = 0
    gpu: Gpu = "none"
    disk: int = 0
    network: bool = False


@dataclass(frozen=True)
class Dependency:
    """Another job that must be over first: successfully, or however it ended."""

    job: int
    how: Literal["success", "end"] = "success"


@dataclass(frozen=True)
class JobSpec:
    """What was submitted; it never changes.

    ``not_before`` is in seconds since the epoch; ``timeout`` in seconds of running time; ``night``: only inside the
    night window; ``retries``: how often a failed attempt is repeated; ``idempotent`` and ``resumable``: it may run
    again by itself after an interruption.
    """

    argv: tuple[str, ...]
    cwd: str
    name: str
    kind: Kind = "command"
    owner: str = ""
    priority: int = 0
    needs: Needs = Needs()
    after: tuple[Dependency, ...] = ()
    not_before: float | None = None
    night: bool = False
    retries: int = 0
    idempotent: bool = False
    resumable: bool = False
    timeout: float | None = None
    schedule: str = ""


Cause = Literal["", "exit", "signal", "timeout", "cancel", "shutdown", "not_started", "lost"]


@dataclass(frozen=True)
class Condition:
    """Where a job stands. Moments are in seconds since the epoch.

    ``fence`` counts the attempts: each start raises it, and what is said about an attempt is believed only with the
    fence of that attempt. ``status`` is the last attempt's exit status as a shell gives it; ``cause`` how it ended.
    """

    state: State
    submitted: float
    fence: int = 0
    failures: int = 0
    interruptions: int = 0
    supervisor: ProcessId | None = None
    reservation: int | None = None
    started: float | None = None
    ended: float | None = None
    status: int | None = None
    cause: Cause = ""


@dataclass(frozen=True)
class Job:
    """One job of the queue. Ids count up and are never used again."""

    id: int
    spec: JobSpec
    condition: Condition

    @property
    def state(self) -> State:
        """Where it stands, in one word."""
        return self.condition.state


EventName = Literal[
    "hold", "release", "start", "never_began", "end_well", "end_badly", "lose", "cancel", "retry"
]  # fmt: skip


@dataclass(frozen=True)
class Event:
    """Something that happened to a job at a moment. ``fence`` names the attempt that it is about (None: the job)."""

    name: EventName
    at: float
    fence: int | None = None
    status: int | None = None
    cause: Cause = ""
    supervisor: ProcessId | None = None
    reservation: int | None = None


@dataclass(frozen=True)
class Rules:
    """How the owner wants jobs to be scheduled.

    ``parallel``: jobs at once; ``night``: minutes since midnight, from and to; ``ageing``: seconds of waiting that count
    as one step of priority; ``patience``: seconds after which nothing may overtake a job on what it waits for;
    ``kinds``: most at once per kind; ``network``: most at once that use the network; ``disk_reserve``: bytes of the
    lab's disk that no job gets.
    """

    parallel: int = 4
    night: tuple[int, int] = (22 * 60, 7 * 60)
    ageing: float = 3600.0
    patience: float = 900.0
    kinds: dict[str, int] = field(default_factory=dict)
    network: int = 2
    disk_reserve: int = 0


@dataclass(frozen=True)
class Capacity:
    """What the machine has at this moment, in bytes; ``memory_free`` is what the ledger would still grant.

    ``pressure``: the system itself is short of memory, whatever the ledger says. ``holders``: who else holds memory, and
    how many bytes, the largest first; only where that is to be said.
    """

    memory_limit: int
    memory_free: int
    disk_free: int
    pressure: bool = False
    holders: tuple[tuple[str, int], ...] = ()
