"""``ultralab machine``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ultralab.cli.frame import Command, Request
from ultralab.kernel.language import _
from ultralab.kernel.units import format_bytes, format_rate

if TYPE_CHECKING:
    from rich.console import RenderableType

    from ultralab.machine import Machine


@click.command(
    cls=Command,
    help=_("Say what this machine is and has: chip, cores, memory, GPU, bandwidth, limits."),
    examples=("ultralab machine", "ultralab machine --json"),
)
@click.pass_obj
def machine(request: Request) -> None:
    """Read this machine."""
    from ultralab.cli.output import pairs, show
    from ultralab.cli.progress import progress_for
    from ultralab.machine import read_machine

    with progress_for(request).step(_("Reading the machine")):
        found = read_machine()
    show(request, found.as_json(), lambda console: console.print(pairs(machine_rows(found))))


def machine_rows(found: Machine) -> list[tuple[str, RenderableType]]:
    """What to say of a machine, line by line."""
    from ultralab.machine import memory_limit

    cores = (
        _("{fast} performance, {slow} efficiency").format(fast=found.performance_cores, slow=found.efficiency_cores)
        if found.efficiency_cores
        else str(found.performance_cores)
    )
    gpu = str(found.gpu_cores) if found.gpu_cores else _("none that an engine here uses")
    bandwidth = found.bandwidth
    speed = {
        "table": _("{rate} nominal ({source})"),
        "measured": _("{rate} measured by copying"),
        "unknown": _("unknown"),
    }[bandwidth.basis].format(rate=format_rate(bandwidth.bytes_per_second), source=bandwidth.source)
    return [
        (_("Chip"), f"{found.chip} ({found.architecture})"),
        (_("Cores"), cores),
        (_("Memory"), format_bytes(found.memory_bytes)),
        (_("Memory bandwidth"), speed),
        (_("GPU cores"), gpu),
        (_("GPU memory limit"), format_bytes(found.gpu_memory_limit_bytes) if found.gpu_memory_limit_bytes else "–"),
        (_("Models may take"), format_bytes(memory_limit(found))),
        (_("System"), f"{found.os_name} {found.os_version}"),
    ]
