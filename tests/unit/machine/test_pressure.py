"""Whether the system is short of memory: the kernel's own figures, and what follows from them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from ultralab.kernel.units import GIB, MIB
from ultralab.machine import pressure
from ultralab.system import process

FIXTURES = Path(__file__).parents[2] / "fixtures" / "macos"

# The Linux kernel's Documentation/accounting/psi.rst shows this form.
PSI = "some avg10={some} avg60=0.00 avg300=0.00 total=12\nfull avg10={full} avg60=99.00 avg300=99.00 total=3\n"


@pytest.mark.parametrize(
    ("available", "total", "stalled", "short"),
    [
        (GIB, 8 * GIB, 0.0, False),
        (512 * MIB, 8 * GIB, 0.0, False),
        (512 * MIB - 1, 8 * GIB, 0.0, True),
        (512 * MIB - 1, 4 * GIB, 0.0, True),
        (15 * GIB, 512 * GIB, 0.0, True),  # less than 3 %
        (16 * GIB, 512 * GIB, 0.0, False),
        (128 * MIB, GIB, 0.0, False),  # a small container is not for ever short
        (128 * MIB - 1, GIB, 0.0, True),
        (7 * GIB, 8 * GIB, 19.99, False),
        (7 * GIB, 8 * GIB, 20.0, True),
    ],
)
def test_when_linux_is_short(available: int, total: int, stalled: float, short: bool) -> None:
    assert pressure.is_short(available, total, stalled) is short


@pytest.mark.parametrize(
    ("text", "percent"),
    [
        (PSI.format(some="88.00", full="23.45"), 23.45),
        (PSI.format(some="88.00", full="0.00"), 0.0),
        ("some avg10=50.00 avg60=0.00 avg300=0.00 total=12\n", 0.0),
        ("", 0.0),
        ("full avg10=nonsense\n", 0.0),
    ],
)
def test_the_share_of_time_in_which_everything_waited(text: str, percent: float) -> None:
    assert pressure.parse_stalled(text) == percent


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ((FIXTURES / "sysctl_pressure_normal.txt").read_text(), 1),
        ((FIXTURES / "sysctl_pressure_critical.txt").read_text(), 4),
        ("", 0),
        ("sysctl: unknown oid 'kern.memorystatus_vm_pressure_level'\n", 0),
        ("-1\n", 0),
    ],
)
def test_the_level_of_a_mac(text: str, level: int) -> None:
    assert pressure.parse_level(text) == level


def test_this_machine_is_asked() -> None:
    assert isinstance(pressure.under_pressure(), bool)
    assert pressure.available_memory() > 0
    if sys.platform == "darwin":
        assert pressure.parse_level(process.run(pressure.SYSCTL).stdout) in (1, 2, 4)
