"""Who a process is, and a signal that reaches only that one."""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import sys
from pathlib import Path

import psutil

from ultralab.system import clock, identity, process
from ultralab.system.identity import ProcessId, alive, identify
from ultralab.system.proctable import parse_bsdinfo, start_token

PYTHON = sys.executable


def test_the_names_of_the_door_are_the_same() -> None:
    assert (process.ProcessId, process.identify, process.alive) == (
        identity.ProcessId,
        identity.identify,
        identity.alive,
    )


def test_the_start_is_the_kernels() -> None:
    me = identify()
    assert me == ProcessId(os.getpid(), start_token(os.getpid()) or "")
    if sys.platform == "linux":
        boot, ticks = me.start.rsplit("-", 1)
        assert Path("/proc/sys/kernel/random/boot_id").read_text().startswith(boot)
        started = int(ticks) / os.sysconf("SC_CLK_TCK") + psutil.boot_time()
        assert abs(started - psutil.Process().create_time()) < 2


def test_no_process_has_no_identity() -> None:
    assert [identify(pid) for pid in (0, -1, 2**30)] == [None, None, None]


def test_a_signal_reaches_exactly_that_process() -> None:
    with subprocess.Popen(["sleep", "60"]) as child:
        known = identify(child.pid)
        assert known is not None
        recycled = ProcessId(child.pid, known.start + "0")
        assert not process.signal_process(recycled, signal.SIGKILL)
        assert alive(known)
        assert process.signal_process(known, 0)
        assert process.signal_process(known, signal.SIGTERM)
        assert child.wait(10) == -signal.SIGTERM
        assert not process.signal_process(known, 0)


def test_a_zombie_and_what_never_was_get_no_signal() -> None:
    with subprocess.Popen(["sleep", "60"]) as child:
        known = identify(child.pid)
        assert known is not None
        assert process.signal_process(known, signal.SIGKILL)
        deadline = clock.monotonic() + 5
        while alive(known) and clock.monotonic() < deadline:
            clock.sleep(0.005)
        assert not process.signal_process(known, 0)
    for pid in (0, -1, 2**30):
        assert not process.signal_process(ProcessId(pid, "-"), signal.SIGKILL)


def test_importing_the_door_to_processes_is_cheap() -> None:
    program = "import sys; import ultralab.system.process; print('psutil' in sys.modules)"
    assert subprocess.run([PYTHON, "-c", program], capture_output=True, text=True, check=True).stdout == "False\n"


def bsdinfo(status: int, seconds: int, microseconds: int) -> bytes:
    """``struct proc_bsdinfo`` of ``<sys/proc_info.h>``: twelve words, two names, six words, the start."""
    words = (0x4004, status, 0, 501, 1, 501, 20, 501, 20, 501, 20, 0)
    return struct.pack("=12I16s32s5IiQQ", *words, b"sleep", b"sleep", 3, 501, 0, 0, 0, 0, seconds, microseconds)


def test_the_start_as_macos_tells_it() -> None:
    raw = bsdinfo(2, 1_700_000_000, 42)
    assert len(raw) == 136
    assert parse_bsdinfo(raw) == "1700000000.000042" == f"{1_700_000_000 + 42e-6:.6f}"
    assert parse_bsdinfo(bsdinfo(5, 1_700_000_000, 42)) is None
