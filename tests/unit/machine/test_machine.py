"""The verbs of the room, on the machine that runs the tests."""

import ctypes
import os
import subprocess
import sys

import psutil

from ultralab.kernel.units import MIB
from ultralab.machine import available_memory, footprint, memory_limit, read_machine
from ultralab.machine.footprints import parse_statm
from ultralab.machine.rusage import RusageInfoV4


def test_this_machine_agrees_with_what_psutil_says() -> None:
    machine = read_machine(measure=False)
    assert 0 < machine.memory_bytes <= psutil.virtual_memory().total
    assert 1 <= machine.performance_cores + machine.efficiency_cores <= machine.logical_cores
    assert machine.logical_cores <= (psutil.cpu_count() or 1)
    assert machine.bandwidth.basis in ("table", "unknown")
    assert 0 < memory_limit(machine) < machine.memory_bytes
    assert machine.chip


def test_measuring_gives_a_bandwidth_where_there_was_none() -> None:
    assert read_machine().bandwidth.bytes_per_second > 0.5e9


def test_a_footprint_grows_with_what_a_process_writes() -> None:
    program = "import sys; held = bytearray(b'x') * (64 << 20); print('ready', flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        held = footprint(child.pid)
        assert child.stdin is not None
        child.stdin.close()
    assert 64 * MIB <= held < 128 * MIB


def test_a_process_that_is_gone_holds_nothing() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        pass
    assert footprint(child.pid) == 0


def test_this_process_holds_about_its_resident_set() -> None:
    resident = psutil.Process().memory_info().rss
    assert resident / 10 <= footprint(os.getpid()) <= resident * 10


def test_statm() -> None:
    assert parse_statm("36117 8462 2105 690 0 27014 0\n", 4096) == 8462 * 4096
    assert parse_statm("", 4096) == 0


def test_the_layout_of_macos_usage_numbers() -> None:
    assert (RusageInfoV4.ri_phys_footprint.offset, RusageInfoV4.ri_phys_footprint.size) == (72, 8)
    assert ctypes.sizeof(RusageInfoV4) == 16 + 35 * 8


def test_available_memory_is_less_than_all_of_it() -> None:
    assert 0 < available_memory() < read_machine(measure=False).memory_bytes
