"""macOS's account of one process."""

from __future__ import annotations

import ctypes
from typing import Final

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


def physical_footprint(pid: int) -> int:
    """``ri_phys_footprint`` of a process, bytes; 0 for one that is gone or not ours to see."""
    info = RusageInfoV4()
    system = ctypes.CDLL("/usr/lib/libSystem.B.dylib")
    failed = system.proc_pid_rusage(ctypes.c_int(pid), ctypes.c_int(_RUSAGE_INFO_V4), ctypes.byref(info))
    return 0 if failed else int(info.ri_phys_footprint)
