"""Machines to plan for: Macs by name, and this one."""

from __future__ import annotations

from typing import Final

from ultralab.assess.types import Place
from ultralab.kernel.errors import UnknownChoice
from ultralab.kernel.language import _
from ultralab.kernel.units import GIB, format_bytes
from ultralab.machine.macos import default_wired_limit
from ultralab.machine.named import NamedMachine, find_named, named_machines
from ultralab.machine.types import Machine
from ultralab.planner.hardware import Hardware

THIS: Final = "this"
"""The name that means the machine one is on."""


def places() -> tuple[Place, ...]:
    """Every Mac that has a name, in the order of the chips."""
    return tuple(_named(machine) for machine in named_machines())


def place(name: str) -> Place:
    """The Mac of a name, whatever its case: ``m3-ultra-512``, or with its GPU cores ``m3-ultra-512-60``.

    Raises UnknownChoice, with names that are near.
    """
    found = find_named(name)
    if found is None:
        raise UnknownChoice.among(_("machine"), name, (machine.name for machine in named_machines()))
    return _named(found)


def this_place(machine: Machine, limit: int, reserved: int, free: int, reading: float = 0.0) -> Place:
    """The machine that this runs on. ``limit``: what the lab's ledger lets models take in all; ``reserved``: what reservations hold of
    that; ``free``: physical memory that is free now (``machine.available_memory``); bytes. ``reading``: bytes/s that a
    calibration measured here, 0 for none.
    """
    return Place(
        name=THIS,
        hardware=hardware_of(machine, reading),
        memory_bytes=machine.memory_bytes,
        limit_bytes=limit,
        basis=_limit_basis(machine, limit),
        in_use_bytes=reserved,
        free_bytes=free,
    )


def hardware_of(machine: Machine, reading: float = 0.0) -> Hardware:
    """What speed depends on, of a machine. A bandwidth that a copy test measured is no maker's figure: it stands for the
    measured one until a calibration has read memory here (``reading``, bytes/s).
    """
    bandwidth = machine.bandwidth
    copied = bandwidth.bytes_per_second if bandwidth.basis == "measured" else 0.0
    return Hardware(
        chip=machine.chip,
        bandwidth=bandwidth.bytes_per_second if bandwidth.basis == "table" else 0.0,
        gpu=machine.unified_memory and machine.vendor == "Apple",
        gpu_cores=machine.gpu_cores,
        cpu_cores=machine.performance_cores,
        measured_bandwidth=reading or copied,
    )


def _named(machine: NamedMachine) -> Place:
    return Place(
        name=machine.name,
        hardware=Hardware(
            chip=f"Apple {machine.variant.chip}",
            bandwidth=machine.bandwidth,
            gpu=True,
            gpu_cores=machine.gpu_cores,
            cpu_cores=machine.performance_cores,
        ),
        memory_bytes=machine.memory_bytes,
        limit_bytes=default_wired_limit(machine.memory_bytes),
        basis=_default_basis(machine.memory_bytes),
    )


def _default_basis(memory_bytes: int) -> str:
    """Sources: ``default_wired_limit``; 107.52 of 128 GiB in antirez/ds4#893, 464 of 512 GiB in llama.cpp's log of an M3
    Ultra (``recommendedMaxWorkingSetSize = 498216.21 MB``).
    """
    if memory_bytes < 36 * GIB:
        return _("two thirds of the memory: what macOS lets the GPU keep at least, where nobody set a limit")
    return _(
        "three quarters of the memory: what macOS lets the GPU keep at least, where nobody set a limit; newer versions "
        "allow more (107 of 128 GiB, 464 of 512 GiB), and iogpu.wired_limit_mb raises it"
    )


def _limit_basis(machine: Machine, limit: int) -> str:
    wired = machine.gpu_memory_limit_bytes
    if not (machine.unified_memory and wired > 0):
        return _("the memory less what the system and the lab's settings keep back")
    said = _("what macOS lets the GPU keep: {limit}").format(limit=format_bytes(wired))
    if limit >= wired:
        return said
    return _("{said}, less what the lab's settings keep back").format(said=said)
