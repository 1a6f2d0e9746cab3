"""Reading a Linux machine: pure functions that understand the kernel's files, and one reader that opens them."""

from __future__ import annotations

import os
import platform
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ultralab.kernel.units import KIB
from ultralab.machine import cgroups
from ultralab.machine.cgroups import read_file
from ultralab.machine.types import UNKNOWN_BANDWIDTH, Machine

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_VENDORS: Final = {"GenuineIntel": "Intel", "AuthenticAMD": "AMD", "0x41": "Arm", "0x61": "Apple"}


def parse_cpuinfo(text: str) -> tuple[dict[str, str], ...]:
    """``/proc/cpuinfo``: one mapping per logical processor."""
    blocks = re.split(r"\n\s*\n", text.strip())
    parsed = ({key.strip(): value.strip() for key, _, value in map(_halves, block.splitlines())} for block in blocks)
    return tuple(entry for entry in parsed if "processor" in entry)


def physical_cores(processors: Iterable[Mapping[str, str]]) -> int:
    """Distinct (socket, core) pairs. Where the kernel names none (ARM), every processor is a core."""
    cores = {
        (entry.get("physical id", "0"), entry.get("core id", f"processor {entry['processor']}")) for entry in processors
    }
    return len(cores)


def parse_meminfo(text: str) -> int:
    """``MemTotal`` of ``/proc/meminfo`` in bytes, 0 where it is missing."""
    match = re.search(r"^MemTotal:\s+(\d+) kB", text, re.MULTILINE)
    return int(match.group(1)) * KIB if match else 0


def parse_os_release(text: str) -> tuple[str, str]:
    """(name, version) of ``/etc/os-release``; a rolling distribution has no version."""
    fields = dict(line.split("=", 1) for line in text.splitlines() if "=" in line and not line.startswith("#"))
    name, version = ("".join(shlex.split(fields.get(key, "")) or [""]) for key in ("NAME", "VERSION_ID"))
    return name or "Linux", version


def parse_cpu_list(text: str) -> frozenset[int]:
    """A kernel's list of CPUs such as ``0-3,8``."""
    numbers: set[int] = set()
    for part in filter(None, text.strip().split(",")):
        first, _, last = part.partition("-")
        numbers.update(range(int(first), int(last or first) + 1))
    return frozenset(numbers)


def machine_from(
    *,
    cpuinfo: str,
    meminfo: str,
    os_release: str,
    allowed_cpus: frozenset[int],
    efficiency_cpus: frozenset[int],
    memory_limits: Iterable[int],
    quota: int,
    device_model: str,
    architecture: str,
) -> Machine:
    """The machine that these texts describe.

    Only ``allowed_cpus`` count (all where it is empty), no more of them than ``quota`` (0 for none), and no more memory
    than the smallest of ``memory_limits``: a container that may use two cores and 4 GiB is such a machine.
    """
    entries = [entry for entry in parse_cpuinfo(cpuinfo) if not allowed_cpus or int(entry["processor"]) in allowed_cpus]
    first = entries[0] if entries else {}
    slow = [entry for entry in entries if int(entry["processor"]) in efficiency_cpus]
    fast = [entry for entry in entries if int(entry["processor"]) not in efficiency_cpus]
    if not fast:  # only efficiency cores are allowed here: then nothing tells them apart
        fast, slow = slow, []
    most = quota or len(entries)
    performance = max(1, min(physical_cores(fast), most))
    os_name, os_version = parse_os_release(os_release)
    vendor = first.get("vendor_id") or first.get("CPU implementer", "")
    return Machine(
        chip=first.get("model name") or device_model or architecture,
        vendor=_VENDORS.get(vendor, vendor),
        architecture=architecture,
        os_name=os_name,
        os_version=os_version,
        performance_cores=performance,
        efficiency_cores=max(0, min(physical_cores(slow), most - performance)),
        logical_cores=max(1, min(len(entries), most)),
        memory_bytes=min((parse_meminfo(meminfo), *memory_limits)),
        gpu_cores=0,
        gpu_memory_limit_bytes=0,
        unified_memory=False,
        bandwidth=UNKNOWN_BANDWIDTH,
    )


def read() -> Machine:
    """Read this machine; its bandwidth stays unknown."""
    return machine_from(
        cpuinfo=read_file(Path("/proc/cpuinfo")),
        meminfo=read_file(Path("/proc/meminfo")),
        os_release=read_file(Path("/etc/os-release")),
        allowed_cpus=_allowed_cpus(),
        efficiency_cpus=parse_cpu_list(read_file(Path("/sys/devices/cpu_atom/cpus"))),
        memory_limits=[limit for limit, _used in cgroups.own_limits()],
        quota=cgroups.cpu_quota(cgroups.own_groups()),
        device_model=read_file(Path("/proc/device-tree/model")).strip("\0\n"),
        architecture=platform.machine(),
    )


def _allowed_cpus() -> frozenset[int]:
    # getattr: the call exists on Linux only, and this module is read by type checkers on macOS too.
    affinity = getattr(os, "sched_getaffinity", None)
    return frozenset(affinity(0)) if affinity else frozenset()


def _halves(line: str) -> tuple[str, str, str]:
    return line.partition(":")
