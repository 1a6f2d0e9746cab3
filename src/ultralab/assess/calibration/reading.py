"""How fast this machine reads memory: what decoding a model is limited by."""

from __future__ import annotations

import contextlib
import json
import math
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from ultralab import memory
from ultralab.kernel.errors import OutOfMemory, ToolFailed
from ultralab.kernel.language import N_, _
from ultralab.kernel.units import GIB, MIB
from ultralab.machine.types import Machine
from ultralab.memory import Ledger
from ultralab.system import clock, process

if TYPE_CHECKING:
    import numpy as np

    Block = np.ndarray[Any, np.dtype[np.uint64]]

BY_CPU: Final = N_("measured here: all performance cores read memory")
BY_GPU: Final = N_("measured here: the GPU reads memory")

_CPU_BYTES: Final = 512 * MIB
_GPU_BYTES: Final = GIB
_LEAST_BYTES: Final = 64 * MIB
_SHARE_OF_MEMORY: Final = 16
_MOST_THREADS: Final = 32
_WINDOWS: Final = 3
_WINDOW_SECONDS: Final = 0.15
_CHILD_SECONDS: Final = 60.0


@dataclass(frozen=True)
class Reading:
    """Bytes per second that were read, by what; 0 where it could not be measured. ``basis`` is a message id."""

    bytes_per_second: float
    by: Literal["cpu", "gpu"]
    basis: str


NOTHING: Final = Reading(0.0, "cpu", "")


def measured_reading(machine: Machine, ledger: Ledger) -> Reading:
    """Measure, within a reservation; about half a second, on a Mac a few (MLX is loaded in a process of its own).

    On a Mac it is the GPU that reads, because models are computed there; where MLX cannot say, and elsewhere, the cores.
    Gives :data:`NOTHING` where the memory for it is not free.
    """
    with contextlib.suppress(OutOfMemory):
        if machine.unified_memory:
            amount = block_bytes(machine.memory_bytes, _GPU_BYTES)
            with memory.held(ledger, 2 * amount, _("Measuring the bandwidth")):
                if rate := gpu_rate(amount):
                    return Reading(rate, "gpu", BY_GPU)
        amount = block_bytes(machine.memory_bytes, _CPU_BYTES)
        with memory.held(ledger, amount, _("Measuring the bandwidth")), contextlib.suppress(MemoryError):
            return Reading(cpu_rate(machine.performance_cores, amount), "cpu", BY_CPU)
    return NOTHING


def block_bytes(memory_bytes: int, most: int) -> int:
    """Bytes to read: far more than any cache holds, at most a sixteenth of the memory of a small machine."""
    return max(_LEAST_BYTES, min(most, memory_bytes // _SHARE_OF_MEMORY))


def cpu_rate(threads: int, amount: int) -> float:
    """Bytes per second that ``threads`` threads reach together when each sums up its part of ``amount`` bytes.

    The best of three windows of 0.15 s, after every page was written. Reading alone: unlike a copy, nothing is written.
    Raises MemoryError.
    """
    import numpy as np

    count = max(1, min(threads, _MOST_THREADS))
    blocks = [np.ones(amount // count // 8, np.uint64) for _ in range(count)]
    start_line = threading.Barrier(count)

    def rate(block: Block) -> float:
        start_line.wait()
        begun = ended = clock.monotonic()
        passes = 0
        while ended < begun + _WINDOW_SECONDS:
            np.add.reduce(block)
            passes, ended = passes + 1, clock.monotonic()
        return passes * block.nbytes / (ended - begun)

    with ThreadPoolExecutor(count) as pool:
        return max(math.fsum(pool.map(rate, blocks)) for _ in range(_WINDOWS))


def gpu_rate(amount: int) -> float:
    """Bytes per second that the GPU reads, through MLX in a child process; 0 where there is no MLX or no GPU."""
    argv = (sys.executable, "-m", "ultralab.assess.calibration.gpu_child", str(amount))
    try:
        answer = process.run(argv, timeout=_CHILD_SECONDS, check=False).stdout
    except ToolFailed:
        return 0.0
    return parse_gpu_rate(answer)


def parse_gpu_rate(answer: str) -> float:
    """The child's figure; 0 for an answer of another form, and where it was the CPU that read."""
    try:
        said = json.loads(answer)
        rate, device = float(said["bytes_per_second"]), str(said["device"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return 0.0
    return rate if "gpu" in device.lower() and 0 < rate < math.inf else 0.0
