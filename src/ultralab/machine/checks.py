"""What ``doctor`` and ``selftest`` ask about the machine.

Each ``judge_…`` is a pure function of what was read, so that the verdicts on a Mac are tested without one.
"""

from __future__ import annotations

import functools
import os

import psutil

from ultralab.kernel.checks import Check, Finding
from ultralab.kernel.language import N_, _
from ultralab.kernel.units import GIB, format_bytes, format_rate
from ultralab.machine import available_memory, footprint, read_machine
from ultralab.machine.chips import find_variant
from ultralab.machine.macos import default_wired_limit, read_metal_limit
from ultralab.machine.types import Bandwidth, Machine, memory_limit

_LEAST_SHARE, _MOST_SHARE = 0.40, 1.10


def doctor_checks() -> tuple[Check, ...]:
    """Is this machine understood? Fast, no measurement."""
    machine = functools.cache(lambda: read_machine(measure=False))
    return (
        Check("machine.read", N_("The machine can be read"), lambda: judge_read(machine())),
        Check("machine.memory", N_("There is memory for models"), lambda: judge_memory(machine(), available_memory())),
        Check("machine.chip", N_("The chip's bandwidth is known"), lambda: judge_chip(machine())),
    )


def selftest_checks() -> tuple[Check, ...]:
    """Do the claims about reading a machine hold here? Those that only a Mac can show are skipped elsewhere."""
    machine = functools.cache(lambda: read_machine(measure=False))
    return (
        Check("machine.chip_in_table", N_("The Apple chip is in the table"), lambda: judge_table(machine())),
        Check("machine.gpu_cores", N_("The GPU cores are read"), lambda: judge_gpu_cores(machine())),
        Check("machine.wired_limit", N_("The GPU memory limit is read"), lambda: judge_wired_limit(machine())),
        Check("machine.metal", N_("Metal tells its own limit"), lambda: _metal(machine())),
        Check("machine.footprint", N_("A process's memory is read"), _own_footprint),
        Check("machine.bandwidth", N_("The copy test agrees with the table"), lambda: _copy_test(machine())),
    )


def judge_read(machine: Machine) -> Finding:
    """Whether every fact that planning needs was read."""
    if machine.memory_bytes <= 0 or machine.performance_cores <= 0:
        return Finding(
            "fail",
            _("Cores or memory of this machine could not be read."),
            _("Run `ultralab machine --json` and report its output as an issue."),
        )
    detail = _("{chip}, {cores} cores, {memory}, {system} {version}").format(
        chip=machine.chip,
        cores=machine.performance_cores + machine.efficiency_cores,
        memory=format_bytes(machine.memory_bytes),
        system=machine.os_name,
        version=machine.os_version,
    )
    return Finding("pass", detail)


def judge_memory(machine: Machine, available: int) -> Finding:
    """Whether models fit at all: the limit, and what is free now, in bytes."""
    limit = memory_limit(machine)
    detail = _("models may take {limit} of {memory}, {free} are free now").format(
        limit=format_bytes(limit), memory=format_bytes(machine.memory_bytes), free=format_bytes(available)
    )
    if limit < GIB or available < GIB:
        return Finding("warn", detail, _("Less than 1 GiB is left: close other programs, or use a larger machine."))
    return Finding("pass", detail)


def judge_chip(machine: Machine) -> Finding:
    """Whether the bandwidth comes from the table; a measured one is good enough to plan with."""
    bandwidth = machine.bandwidth
    if bandwidth.basis == "table":
        detail = _("{chip}: {rate} nominal ({source})").format(
            chip=machine.chip, rate=format_rate(bandwidth.bytes_per_second), source=bandwidth.source
        )
        return Finding("pass", detail)
    detail = _("{chip} has no figure in the table: its memory bandwidth is measured when it is needed").format(
        chip=machine.chip
    )
    return Finding("warn" if machine.vendor == "Apple" else "pass", detail)


def judge_table(machine: Machine) -> Finding:
    """Whether the table knows this very chip: name, CPU and GPU core counts."""
    if skipped := _only_on_a_mac(machine):
        return skipped
    seen = _("{chip} with {fast} + {slow} CPU cores and {gpu} GPU cores").format(
        chip=machine.chip, fast=machine.performance_cores, slow=machine.efficiency_cores, gpu=machine.gpu_cores
    )
    row = find_variant(machine.chip, machine.gpu_cores)
    if row is None:
        return Finding("fail", seen, _("The table of chips has no such chip: report this line as an issue."))
    if (machine.performance_cores, machine.efficiency_cores) not in row.cpus or machine.gpu_cores not in row.gpus:
        return Finding("warn", seen, _("The table knows the chip but not these core counts: report this line."))
    return Finding("pass", seen)


def judge_gpu_cores(machine: Machine) -> Finding:
    """Whether ``system_profiler`` told the GPU cores."""
    if skipped := _only_on_a_mac(machine):
        return skipped
    if machine.gpu_cores == 0:
        hint = _("Run `system_profiler SPDisplaysDataType -json` and report its output as an issue.")
        return Finding("fail", _("no GPU core count was read"), hint)
    return Finding("pass", _("{count} GPU cores").format(count=machine.gpu_cores))


def judge_wired_limit(machine: Machine) -> Finding:
    """Whether the limit lies where a limit can lie: at least half of the memory, at most all of it."""
    if skipped := _only_on_a_mac(machine):
        return skipped
    limit, memory = machine.gpu_memory_limit_bytes, machine.memory_bytes
    detail = _("the GPU may keep {limit} of {memory} wired").format(
        limit=format_bytes(limit), memory=format_bytes(memory)
    )
    if not 0 < limit <= memory:
        return Finding("fail", detail, _("Run `sysctl iogpu.wired_limit_mb hw.memsize` and report its output."))
    if limit < memory // 2:
        return Finding("warn", detail, _("It is set low: see `sysctl iogpu.wired_limit_mb` (0 is the default)."))
    return Finding("pass", detail)


def judge_metal(machine: Machine, metal_bytes: int) -> Finding:
    """Whether Metal answered. Without an answer a rule on the safe side stands in, and large models may be refused."""
    if metal_bytes <= 0:
        detail = _("Metal gave no answer; a cautious rule is used: {limit}").format(
            limit=format_bytes(default_wired_limit(machine.memory_bytes))
        )
        return Finding("warn", detail, _("Set the limit yourself: `sudo sysctl iogpu.wired_limit_mb=…`."))
    return Finding("pass", _("recommended working set: {limit}").format(limit=format_bytes(metal_bytes)))


def judge_footprint(held: int, resident: int) -> Finding:
    """Whether a footprint is plausible against the resident set of the same process, both in bytes."""
    detail = _("footprint {held}, resident {resident}").format(held=format_bytes(held), resident=format_bytes(resident))
    # Clean file pages are only in the resident set, compressed and GPU pages only in the footprint.
    plausible = held > 0 and resident / 10 <= held <= resident * 10
    return Finding("pass" if plausible else "fail", detail)


def judge_copy(machine: Machine, measured: Bandwidth) -> Finding:
    """Whether a measured copy lies between 40 % and 110 % of the table's figure; CPU cores do not reach all of it."""
    nominal = machine.bandwidth.bytes_per_second
    if nominal <= 0:
        return Finding("fail", _("the table has no figure for {chip}").format(chip=machine.chip))
    share = measured.bytes_per_second / nominal
    detail = _("{measured} measured, {share:.0%} of {nominal}").format(
        measured=format_rate(measured.bytes_per_second), share=share, nominal=format_rate(nominal)
    )
    if _LEAST_SHARE <= share <= _MOST_SHARE:
        return Finding("pass", detail)
    return Finding("fail", detail, _("Close other programs and try again; if it stays so, report this line."))


def _own_footprint() -> Finding:
    return judge_footprint(footprint(os.getpid()), int(psutil.Process().memory_info().rss))


def _copy_test(machine: Machine) -> Finding:
    from ultralab.machine.bandwidth import measured_bandwidth

    if skipped := _only_on_a_mac(machine):
        return skipped
    return judge_copy(machine, measured_bandwidth(machine.performance_cores, machine.memory_bytes))


def _metal(machine: Machine) -> Finding:
    return _only_on_a_mac(machine) or judge_metal(machine, read_metal_limit())


def _only_on_a_mac(machine: Machine) -> Finding | None:
    if machine.unified_memory:
        return None
    return Finding("skip", _("only Apple silicon can show this; here is {chip}").format(chip=machine.chip))
