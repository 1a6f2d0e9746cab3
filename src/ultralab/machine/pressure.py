"""Whether the system itself is short of memory, whatever anybody reserved: then nothing new should begin.

Linux: the kernel's files, below a millisecond. macOS: one short program per question, so a caller remembers the answer.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Final

from ultralab.kernel.errors import ToolFailed
from ultralab.kernel.units import MIB
from ultralab.machine.cgroups import own_limits, read_file
from ultralab.machine.footprints import available_memory
from ultralab.system import process

__all__ = ["available_memory", "under_pressure"]

SYSCTL: Final = ("/usr/sbin/sysctl", "-n", "kern.memorystatus_vm_pressure_level")
"""Answers 1 (normal), 2 (warning) or 4 (critical): what Activity Monitor shows as green, yellow or red. The values are
those of dispatch's ``DISPATCH_MEMORYPRESSURE_…`` (dispatch_source_create(3), <dispatch/source.h>)."""

WARNING_LEVEL: Final = 2
STALLED_PERCENT: Final = 20.0
LEAST_BYTES: Final = 512 * MIB
LEAST_SHARE: Final = 0.03

_PSI: Final = Path("/proc/pressure/memory")
_FULL: Final = re.compile(r"^full avg10=(\d+(?:\.\d+)?)\b", re.MULTILINE)


def under_pressure() -> bool:
    """Whether the system is short of memory at this moment; a system that does not tell is not."""
    platform: str = sys.platform
    if platform == "darwin":
        return parse_level(_answer()) >= WARNING_LEVEL
    return is_short(available_memory(), _total_memory(), parse_stalled(read_file(_PSI)))


def is_short(available: int, total: int, stalled: float) -> bool:
    """Linux: less than 512 MiB or 3 % of ``total`` is ``available`` (bytes), or for a fifth of the last ten seconds
    nothing went on for want of memory (``stalled`` percent).

    A machine or container so small that 512 MiB are half of it counts by its share alone.
    """
    least = max(min(LEAST_BYTES, total // 8), int(total * LEAST_SHARE))
    return available < least or stalled >= STALLED_PERCENT


def parse_stalled(text: str) -> float:
    """Percent of the last 10 s in which every task waited for memory: ``full avg10`` of ``/proc/pressure/memory``
    (the kernel's Documentation/accounting/psi.rst); 0 where the kernel does not count.
    """
    match = _FULL.search(text)
    return float(match.group(1)) if match else 0.0


def parse_level(text: str) -> int:
    """The answer of :data:`SYSCTL`; 0 for anything that is no number."""
    stripped = text.strip()
    return int(stripped) if stripped.isascii() and stripped.isdigit() else 0


def _total_memory() -> int:
    import psutil

    return min((int(psutil.virtual_memory().total), *(limit for limit, _used in own_limits())))


def _answer() -> str:
    try:
        return process.run(SYSCTL, timeout=10, check=False).stdout
    except ToolFailed:
        return ""
