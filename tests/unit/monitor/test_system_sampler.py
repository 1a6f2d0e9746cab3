"""The system sensor, on real processes."""

import os
import subprocess
import sys

import psutil
import pytest

from ultralab.kernel.plugins import load
from ultralab.kernel.units import MIB
from ultralab.monitor.samplers.system import SystemSampler, busy_percent
from ultralab.system import clock

MACHINE = {"memory_used_bytes", "memory_available_bytes", "swap_used_bytes", "cpu_percent"}
PROCESS = {"process_cpu_percent", "process_memory_bytes", "process_threads"}

# A parent that only waits, with one child that holds 64 MiB and computes until its input ends.
CHILD = """
import sys, threading
held = bytearray(b'x') * (64 << 20)
threading.Thread(target=lambda: (sys.stdin.read(), done.append(1))).start()
done = []
print('ready', flush=True)
while not done: pass
"""
PARENT = f"import subprocess, sys; sys.exit(subprocess.run([sys.executable, '-c', {CHILD!r}]).returncode)"


def test_a_process_is_read_with_its_children() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        parent.stdout.readline()
        sampler = SystemSampler(parent.pid)
        clock.sleep(0.4)
        readings = sampler.sample()
        assert parent.stdin is not None
        parent.stdin.close()
    assert set(readings) == MACHINE | PROCESS
    assert 64 * MIB < readings["process_memory_bytes"] < 256 * MIB
    assert readings["process_threads"] == 3  # the parent's one, the child's two
    assert 5 < readings["process_cpu_percent"] < 150  # one core, shared with whatever else runs here
    assert 0 < readings["cpu_percent"] <= 100


def test_the_machine_agrees_with_psutil() -> None:
    readings = SystemSampler(os.getpid()).sample()
    total = psutil.virtual_memory().total
    assert 0 < readings["memory_used_bytes"] < total
    assert 0 < readings["memory_available_bytes"] < total
    assert readings["swap_used_bytes"] >= 0


def test_a_process_that_ended_is_left_out() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        pass
    sampler = SystemSampler(gone.pid)
    clock.sleep(0.05)
    assert set(sampler.sample()) == MACHINE


def test_one_sample_is_quick() -> None:
    sampler = SystemSampler(os.getpid())
    begun = clock.monotonic()
    for _ in range(5):
        sampler.sample()
    assert (clock.monotonic() - begun) / 5 < 0.1


@pytest.mark.parametrize(
    ("before", "after", "percent"),
    [
        ((100.0, 200.0), (101.0, 204.0), 75.0),
        ((100.0, 200.0), (104.0, 204.0), 0.0),
        ((100.0, 200.0), (100.0, 204.0), 100.0),
        ((100.0, 200.0), (99.0, 204.0), 100.0),  # the kernel's idle count may step back
        ((100.0, 200.0), (100.0, 200.0), None),
    ],
)
def test_busy_share(before: tuple[float, float], after: tuple[float, float], percent: float | None) -> None:
    assert busy_percent(before, after) == percent


def test_it_is_registered_as_any_other_sensor() -> None:
    assert load("ultralab.samplers", "system", "sampler") is SystemSampler
