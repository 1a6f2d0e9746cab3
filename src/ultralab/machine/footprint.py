"""How much memory a process holds, and how much is free."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path
from typing import Final

from ultralab.machine import cgroups

_RUSAGE_INFO_V4: Final = 4


class RusageInfoV4(ctypes.Structure):
    """``struct rusage_info_v4`` of macOS's <sys/resource.h>: a UUID, then 35 numbers of 64 bits."""

    _fields_ = [
        ("ri_uuid", ctypes.c_uint8 * 16),
        ("ri_user_time", ctypes.c_uint64),
        ("ri_system_time", ctypes.c_uint64),
        ("ri_pkg_idle_wkups", ctypes.c_uint64),
        ("ri_interrupt_wkups", ctypes.c_uint64),
        ("ri_pageins", ctypes.c_uint64),
        ("ri_wired_size", ctypes.c_uint64),
        ("ri_resident_size", ctypes.c_uint64),
        ("ri_phys_footprint", ctypes.c_uint64),
        ("ri_the_27_others", ctypes.c_uint64 * 27),
    ]


def footprint(pid: int) -> int:
    """Bytes of memory that one process (not its children) holds; 0 for one that is gone or not ours to see.

    On macOS the physical footprint (``ri_phys_footprint``), the figure that Activity Monitor shows and that jetsam
    compares: what the process dirtied, compressed pages and its GPU buffers included, clean file pages not.
    Elsewhere the resident set size: every resident page, those of mapped files (weights that were read with ``mmap``)
    and of shared libraries included, swapped ones not. A page that several processes map counts in each of them.
    """
    platform: str = sys.platform
    if platform == "darwin":
        return _physical_footprint(pid)
    if platform != "linux":
        return _resident(pid)
    try:
        return parse_statm(Path(f"/proc/{pid}/statm").read_text(), os.sysconf("SC_PAGE_SIZE"))
    except OSError:
        return 0


def available_memory() -> int:
    """Bytes that can be taken now without pushing anything else out, within a container's limit if there is one."""
    import psutil  # not above: every engine's process imports this module

    free = int(psutil.virtual_memory().available)
    platform: str = sys.platform
    if platform != "linux":
        return free
    return min((free, *(max(0, limit - used) for limit, used in cgroups.own_limits())))


def parse_statm(text: str, page_bytes: int) -> int:
    """Resident bytes from ``/proc/<pid>/statm`` (proc(5): the second field, in pages)."""
    fields = text.split()
    return int(fields[1]) * page_bytes if len(fields) > 1 else 0


def _resident(pid: int) -> int:
    import psutil

    try:
        return int(psutil.Process(pid).memory_info().rss)
    except (OSError, psutil.Error):
        return 0


def _physical_footprint(pid: int) -> int:
    info = RusageInfoV4()
    system = ctypes.CDLL("/usr/lib/libSystem.B.dylib")
    failed = system.proc_pid_rusage(ctypes.c_int(pid), ctypes.c_int(_RUSAGE_INFO_V4), ctypes.byref(info))
    return 0 if failed else int(info.ri_phys_footprint)
