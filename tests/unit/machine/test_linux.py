"""Reading a Linux machine, on texts of its kernel."""

import pytest

from ultralab.kernel.units import GIB
from ultralab.machine import Bandwidth, Machine
from ultralab.machine.linux import (
    machine_from,
    parse_cpu_list,
    parse_cpuinfo,
    parse_meminfo,
    parse_os_release,
    physical_cores,
)

DEBIAN = 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nNAME="Debian GNU/Linux"\nVERSION_ID="12"\n# a remark = none\n'
MEMINFO = "MemTotal:       24684084 kB\nMemFree:        23490364 kB\nMemAvailable:   24217988 kB\n"


def x86(number: int, core: int, socket: int = 0) -> str:
    return (
        f"processor\t: {number}\nvendor_id\t: GenuineIntel\nmodel name\t: 13th Gen Intel(R) Core(TM) i9-13900K\n"
        f"physical id\t: {socket}\ncore id\t\t: {core}\n"
    )


# Two fast cores with two threads each, then two slow ones: the order of an Intel hybrid.
HYBRID = "\n".join([x86(0, 0), x86(1, 0), x86(2, 4), x86(3, 4), x86(4, 8), x86(5, 9)])
ARM = "processor\t: 0\nCPU implementer\t: 0x41\n\nprocessor\t: 1\nCPU implementer\t: 0x41\n\nHardware\t: none\n"


def test_a_hybrid_machine() -> None:
    machine = machine_from(
        cpuinfo=HYBRID,
        meminfo=MEMINFO,
        os_release=DEBIAN,
        allowed_cpus=frozenset(range(6)),
        efficiency_cpus=frozenset({4, 5}),
        memory_limits=(),
        quota=0,
        device_model="",
        architecture="x86_64",
    )
    assert machine == Machine(
        chip="13th Gen Intel(R) Core(TM) i9-13900K",
        vendor="Intel",
        architecture="x86_64",
        os_name="Debian GNU/Linux",
        os_version="12",
        performance_cores=2,
        efficiency_cores=2,
        logical_cores=6,
        memory_bytes=24684084 * 1024,
        gpu_cores=0,
        gpu_memory_limit_bytes=0,
        unified_memory=False,
        bandwidth=Bandwidth(0.0, "unknown", ""),
    )


def test_a_container_is_as_small_as_what_it_may_use() -> None:
    machine = machine_from(
        cpuinfo=HYBRID,
        meminfo=MEMINFO,
        os_release="",
        allowed_cpus=frozenset({4, 5}),
        efficiency_cpus=frozenset({4, 5}),
        memory_limits=(4 * GIB, 6 * GIB),
        quota=0,
        device_model="",
        architecture="x86_64",
    )
    assert (machine.performance_cores, machine.efficiency_cores, machine.logical_cores) == (2, 0, 2)
    assert (machine.memory_bytes, machine.os_name, machine.os_version) == (4 * GIB, "Linux", "")


def test_an_arm_machine_is_named_by_its_device_tree() -> None:
    machine = machine_from(
        cpuinfo=ARM,
        meminfo=MEMINFO,
        os_release="NAME='Arch Linux ARM'\n",
        allowed_cpus=frozenset(),
        efficiency_cpus=frozenset(),
        memory_limits=(),
        quota=0,
        device_model="Raspberry Pi 5 Model B Rev 1.0",
        architecture="aarch64",
    )
    assert (machine.chip, machine.vendor) == ("Raspberry Pi 5 Model B Rev 1.0", "Arm")
    assert (machine.performance_cores, machine.efficiency_cores, machine.logical_cores) == (2, 0, 2)
    assert (machine.os_name, machine.os_version) == ("Arch Linux ARM", "")


def test_nothing_to_read_is_a_machine_with_one_core() -> None:
    machine = machine_from(
        cpuinfo="",
        meminfo="",
        os_release="",
        allowed_cpus=frozenset({0}),
        efficiency_cpus=frozenset(),
        memory_limits=(),
        quota=0,
        device_model="",
        architecture="riscv64",
    )
    assert (machine.chip, machine.performance_cores, machine.logical_cores) == ("riscv64", 1, 1)
    assert machine.memory_bytes == 0


def test_cores_on_two_sockets_are_two_cores() -> None:
    assert physical_cores(parse_cpuinfo("\n".join([x86(0, 0, socket=0), x86(1, 0, socket=1)]))) == 2


def test_meminfo() -> None:
    assert parse_meminfo(MEMINFO) == 25276502016
    assert parse_meminfo("") == 0


def test_os_release() -> None:
    assert parse_os_release(DEBIAN) == ("Debian GNU/Linux", "12")
    assert parse_os_release("") == ("Linux", "")


@pytest.mark.parametrize(
    ("text", "cpus"), [("0-3,8\n", {0, 1, 2, 3, 8}), ("5\n", {5}), ("\n", set()), ("", set()), ("16-17", {16, 17})]
)
def test_cpu_lists(text: str, cpus: set[int]) -> None:
    assert parse_cpu_list(text) == cpus


@pytest.mark.parametrize(
    ("quota", "cores"),
    [(1, (1, 0, 1)), (3, (2, 1, 3)), (64, (2, 2, 6))],
)
def test_a_quota_allows_no_more_cores_than_it_pays_for(quota: int, cores: tuple[int, int, int]) -> None:
    machine = machine_from(
        cpuinfo=HYBRID,
        meminfo=MEMINFO,
        os_release=DEBIAN,
        allowed_cpus=frozenset(),
        efficiency_cpus=frozenset({4, 5}),
        memory_limits=(),
        quota=quota,
        device_model="",
        architecture="x86_64",
    )
    assert (machine.performance_cores, machine.efficiency_cores, machine.logical_cores) == cores
