"""How much memory a process holds, and how much is free."""

from __future__ import annotations

import os
import sys


def footprint(pid: int) -> int:
    """Bytes of memory that one process (not its children) holds; 0 for one that is gone or not ours to see.

    On macOS the physical footprint (``ri_phys_footprint``), the figure that Activity Monitor shows and that jetsam
    compares: what the process dirtied, compressed pages and its GPU buffers included, clean file pages not.
    Elsewhere the resident set size: every resident page, those of mapped files (weights that were read with ``mmap``)
    and of shared libraries included, swapped ones not. A page that several processes map counts in each of them.
    """
    platform: str = sys.platform
    if platform == "darwin":
        from ultralab.machine.rusage import physical_footprint

        return physical_footprint(pid)
    if platform != "linux":
        return _resident(pid)
    try:
        with open(f"/proc/{pid}/statm") as stream:  # noqa: PTH123 - pathlib takes longer to import than this to run
            return parse_statm(stream.read(), os.sysconf("SC_PAGE_SIZE"))
    except OSError:
        return 0


def available_memory() -> int:
    """Bytes that can be taken now without pushing anything else out, within a container's limit if there is one."""
    import psutil  # not above: every engine's process imports this module

    from ultralab.machine import cgroups

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
