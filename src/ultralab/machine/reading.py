"""Reading this machine, whichever system it runs."""

from __future__ import annotations

import dataclasses
import sys

from ultralab.kernel.errors import Unsupported
from ultralab.kernel.language import _
from ultralab.machine.types import Machine


def read_machine(measure: bool = True) -> Machine:
    """Read this machine. With ``measure``, a bandwidth that no table has is measured, which takes half a second.

    Raises Unsupported on a system other than macOS and Linux. What a command does not answer is left at 0 or empty.
    """
    name: str = sys.platform
    if name == "darwin":
        from ultralab.machine import macos

        machine = macos.read()
    elif name == "linux":
        from ultralab.machine import linux

        machine = linux.read()
    else:
        raise Unsupported(
            _("ultralab runs on macOS and Linux, not on {system}.").format(system=name),
            hint=_("On Windows, use it inside WSL 2."),
            system=name,
        )
    if not measure or machine.bandwidth.basis != "unknown":
        return machine
    from ultralab.machine.bandwidth import measured_bandwidth

    return dataclasses.replace(machine, bandwidth=measured_bandwidth(machine.performance_cores, machine.memory_bytes))
