"""The system's table of processes: who lives, below whom, in which session, for which job. Standard library only.

The supervisor starts in milliseconds because what it imports is small: no dataclasses, no pathlib, no psutil here.
"""

# Without pathlib, which costs milliseconds of the supervisor's start.
# ruff: noqa: PTH123, PTH208

from __future__ import annotations

import os
import re
import sys
import time

MARK = "ULTRALAB_JOB"
"""The variable that every process of an attempt inherits: the attempt's mark; empty: belongs to no job."""

Entry = tuple[int, int, int, str | None]
"""A living process: its pid, its parent's, its session, its mark (None: it has none, or we may not see it)."""

_NEXT_VARIABLE = re.compile(r" [A-Za-z_][A-Za-z0-9_]*=")


def start_token(pid: int) -> str | None:
    """What distinguishes this process from every other that ever had its pid; None: no such process, or a zombie.

    On Linux: the boot and the start in clock ticks since it (``proc(5)``, field 22), which a changed wall clock
    does not move. Elsewhere: the creation time that the kernel keeps, to the microsecond.
    """
    if pid <= 0:
        return None
    platform: str = sys.platform
    if platform == "linux":
        try:
            with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as stream:
                boot = stream.read()[:13]
            fields = _stat(pid)
        except OSError:
            return None
        return None if fields[0] in ("Z", "X") else f"{boot}-{fields[19]}"
    return _start_from_libproc(pid) if platform == "darwin" else _start_from_psutil(pid)


def table() -> list[Entry]:
    """Every living process that we may see. Zombies are left out: they only wait to be collected."""
    platform: str = sys.platform
    return _from_proc() if platform == "linux" else _from_ps()


def mark_of(pid: int) -> str | None:
    """The mark that a process carries; None: it has none, we may not see it, or there is no such process."""
    platform: str = sys.platform
    if platform == "linux":
        return _mark_from_proc(pid)
    return next((mark for number, _parent, _session, mark in _from_ps() if number == pid), None)


def of_this_boot(token: str) -> bool:
    """Whether a start token is of a process that was started since this system was."""
    platform: str = sys.platform
    here = start_token(os.getpid())
    if platform == "linux":
        return here is not None and here.rpartition("-")[0] == token.rpartition("-")[0]
    try:
        return float(token) >= time.time() - time.clock_gettime(time.CLOCK_MONOTONIC_RAW)
    except ValueError:
        return False


def _stat(pid: int) -> list[str]:
    """``/proc/PID/stat`` from its third field on; the second, the name, may hold anything."""
    with open(f"/proc/{pid}/stat", errors="replace", encoding="utf-8") as stream:
        return stream.read().rpartition(")")[2].split()


def _from_proc() -> list[Entry]:
    found: list[Entry] = []
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        pid = int(name)
        try:
            fields = _stat(pid)
        except OSError:  # it ended while we looked
            continue
        threads = int(fields[17])  # a first thread that ended before the others looks like a zombie
        if fields[0] not in ("Z", "X") or threads > 1:
            found.append((pid, int(fields[1]), int(fields[3]), _mark_from_proc(pid)))
    return found


def _mark_from_proc(pid: int) -> str | None:
    try:
        with open(f"/proc/{pid}/environ", "rb", buffering=0) as stream:
            variables = b"\0" + stream.read()
    except OSError:  # another user's, or just ended
        return None
    _, found, rest = variables.partition(f"\0{MARK}=".encode())
    return rest.partition(b"\0")[0].decode("utf-8", "surrogateescape") if found else None


def _from_ps() -> list[Entry]:
    import subprocess

    ps = ["ps", "-A", "-E", "-ww", "-o", "pid=,ppid=,state=,command="]
    # Its UTF-8 locale keeps a folder's name as it is; others would write it in octal.
    with subprocess.Popen(
        ps, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env={**os.environ, "LC_ALL": "en_US.UTF-8"}
    ) as program:
        text = program.communicate()[0].decode("utf-8", "surrogateescape")
    found: list[Entry] = []
    for pid, parent, mark in parse_ps(text):
        try:
            if pid != program.pid:
                found.append((pid, parent, os.getsid(pid), mark))
        except OSError:  # it ended while we looked
            continue
    return found


def parse_ps(text: str) -> list[tuple[int, int, str | None]]:
    """Pid, parent and mark of what ``ps -A -E -o pid=,ppid=,state=,command=`` (macOS, ``ps(1)``) lists, no zombies.

    With ``-E`` the environment stands behind the command's arguments, separated by single blanks. Of programs that
    System Integrity Protection guards it is not shown: they have no mark, only a parent and a session.
    """
    found: list[tuple[int, int, str | None]] = []
    for line in text.split("\n"):  # splitlines() would break a line at what only looks like an end of line
        words = line.split(None, 3)
        if len(words) >= 3 and words[0].isdigit() and words[1].isdigit() and not words[2].startswith("Z"):
            found.append((int(words[0]), int(words[1]), _mark_from_words(words[3] if len(words) > 3 else "")))
    return found


def _mark_from_words(command: str) -> str | None:
    # The last one: an argument may speak of the variable, too, but arguments stand before the environment.
    _, found, rest = f" {command}".rpartition(f" {MARK}=")
    if not found:
        return None
    following = _NEXT_VARIABLE.search(rest)
    return rest[: following.start()] if following else rest


def _start_from_libproc(pid: int) -> str | None:
    """``proc_pidinfo`` of macOS with PROC_PIDTBSDINFO (``<sys/proc_info.h>``): the same moment as psutil's."""
    import ctypes
    import errno

    buffer = ctypes.create_string_buffer(_BSDINFO_SIZE)
    library = ctypes.CDLL(None, use_errno=True)
    count = library.proc_pidinfo(pid, 3, ctypes.c_uint64(0), buffer, _BSDINFO_SIZE)
    if count == _BSDINFO_SIZE:
        return parse_bsdinfo(buffer.raw)
    return None if ctypes.get_errno() == errno.ESRCH else _start_from_psutil(pid)


_BSDINFO_SIZE = 136
_ZOMBIE = 5


def parse_bsdinfo(raw: bytes) -> str | None:
    """The start out of ``struct proc_bsdinfo``: pbi_start_tvsec and _tvusec at its end; None: a zombie (SZOMB)."""
    import struct

    (status,) = struct.unpack_from("=I", raw, 4)
    seconds, microseconds = struct.unpack_from("=QQ", raw, 120)
    return None if status == _ZOMBIE else f"{seconds}.{microseconds:06d}"


def _start_from_psutil(pid: int) -> str | None:
    try:
        import psutil
    except ImportError:  # the supervisor runs without site-packages
        return None
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else f"{process.create_time():.6f}"
    except psutil.Error:
        return None
