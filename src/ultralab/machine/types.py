"""What a computer is, as plain values."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal

from ultralab.kernel.units import GIB


@dataclass(frozen=True)
class Bandwidth:
    """How fast memory is: bytes per second (0.0 where ``basis`` is ``unknown``).

    ``table``: the maker's nominal figure, ``source`` names the document. ``measured``: a short copy test on this
    machine, ``source`` is a message id that says how. A measured figure is what the CPU reached, so it is lower than
    the nominal one of the same memory.
    """

    bytes_per_second: float
    basis: Literal["table", "measured", "unknown"]
    source: str


UNKNOWN_BANDWIDTH = Bandwidth(0.0, "unknown", "")


@dataclass(frozen=True)
class Machine:
    """One computer. Where cores do not differ, all count as performance cores and ``efficiency_cores`` is 0.

    ``memory_bytes``: physical memory, or less where a container may use less. ``gpu_cores``: 0 for none or unknown.
    ``gpu_memory_limit_bytes``: what the GPU may keep wired at one time on Apple silicon, else 0.
    """

    chip: str
    vendor: str
    architecture: str
    os_name: str
    os_version: str
    performance_cores: int
    efficiency_cores: int
    logical_cores: int
    memory_bytes: int
    gpu_cores: int
    gpu_memory_limit_bytes: int
    unified_memory: bool
    bandwidth: Bandwidth

    @property
    def limit_bytes(self) -> int:
        """Bytes that models may take in total: see :func:`memory_limit`."""
        return memory_limit(self)

    def as_json(self) -> dict[str, object]:
        """The fields as JSON types, in a stable order, with ``limit_bytes`` at the end."""
        return {**dataclasses.asdict(self), "limit_bytes": self.limit_bytes}


def memory_limit(machine: Machine) -> int:
    """Bytes that models may take in total.

    On Apple silicon what the GPU may keep wired; elsewhere the memory minus a reserve for everything else of 2 GiB or
    a tenth, whichever is more. A machine under 4 GiB keeps half: there the reserve would leave nothing.
    """
    if machine.unified_memory and machine.gpu_memory_limit_bytes > 0:
        return min(machine.gpu_memory_limit_bytes, machine.memory_bytes)
    reserve = max(2 * GIB, machine.memory_bytes // 10)
    return max(machine.memory_bytes - reserve, machine.memory_bytes // 2)
