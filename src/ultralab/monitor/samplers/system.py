"""The sensor that every system has: processor and memory, of the machine and of one process with its children."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

import psutil

from ultralab.machine import footprint
from ultralab.system import clock

if TYPE_CHECKING:
    from collections.abc import Iterator

Times = tuple[float, float]

_SHORTEST_SECONDS: Final = 0.01  # the clock that counts busy time ticks a hundred times a second


class SystemSampler:
    """Readings of the machine and of the process ``pid``, its children summed in, through psutil.

    ``cpu_percent``: of all cores together, 0 to 100. ``memory_used_bytes``, ``memory_available_bytes``,
    ``swap_used_bytes``: of the machine. ``process_cpu_percent``: 100 is one core. ``process_memory_bytes``: the sum of
    ``machine.footprint``. ``process_threads``. Both CPU readings are means since the sample before (for the first one,
    since this object was made); the process's are left out when it is gone.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._machine_times = _machine_times()
        self._process_times = {process: seconds for process, seconds, _threads in _family(pid)}
        self._moment = clock.monotonic()

    def sample(self) -> dict[str, float]:
        """One set of readings; see the class."""
        memory = psutil.virtual_memory()
        readings = {
            "memory_used_bytes": float(memory.used),
            "memory_available_bytes": float(memory.available),
            "swap_used_bytes": float(psutil.swap_memory().used),
        }
        times, before = _machine_times(), self._machine_times
        if (busy := busy_percent(before, times)) is not None:
            readings["cpu_percent"] = busy
            self._machine_times = times
        return readings | self._process_readings()

    def _process_readings(self) -> dict[str, float]:
        family = list(_family(self._pid))
        moment, before = clock.monotonic(), self._moment
        seconds = {process: spent for process, spent, _threads in family}
        # A child that was not there before has spent all its time since then.
        worked = sum(max(0.0, spent - self._process_times.get(process, 0.0)) for process, spent in seconds.items())
        self._moment, self._process_times = moment, seconds
        if not family:
            return {}
        return {
            "process_cpu_percent": 100 * worked / max(moment - before, 1e-6),
            "process_memory_bytes": float(sum(footprint(process.pid) for process in seconds)),
            "process_threads": float(sum(threads for _process, _spent, threads in family)),
        }


def busy_percent(before: Times, after: Times) -> float | None:
    """Share of busy time, 0 to 100, between two (idle, all) times in seconds; None when too little time went by."""
    idle, total = after[0] - before[0], after[1] - before[1]
    return min(100.0, max(0.0, 100 * (1 - idle / total))) if total >= _SHORTEST_SECONDS else None


def _machine_times() -> Times:
    """(idle, all) seconds of all cores. Waiting for a disk is idle; a guest's time is within the user's already."""
    times = psutil.cpu_times()._asdict()
    idle = times.get("idle", 0.0) + times.get("iowait", 0.0)
    return idle, sum(times.values()) - times.get("guest", 0.0) - times.get("guest_nice", 0.0)


def _family(pid: int) -> Iterator[tuple[psutil.Process, float, int]]:
    """Each living process of the family with its CPU seconds and its threads; one that ends meanwhile is left out."""
    with suppress(psutil.Error):
        head = psutil.Process(pid)
        for process in (head, *head.children(recursive=True)):
            with suppress(psutil.Error), process.oneshot():
                spent = process.cpu_times()
                if process.status() != psutil.STATUS_ZOMBIE:
                    yield process, spent.user + spent.system, process.num_threads()
