"""Reading a Mac: which commands to ask, and pure functions that understand their answers.

An answer that is missing or has another form leaves its field at 0 or empty; nothing here raises for one.
"""

from __future__ import annotations

import json
import platform
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ultralab.kernel.errors import ToolFailed
from ultralab.kernel.units import GIB, MIB
from ultralab.machine.chips import nominal_bandwidth
from ultralab.machine.types import Machine
from ultralab.system import process

if TYPE_CHECKING:
    from collections.abc import Mapping

# Whole paths: under launchd the PATH may be short.
_LEVELS: Final = 4
SYSCTL: Final = (
    "/usr/sbin/sysctl",
    "machdep.cpu.brand_string",
    "hw.memsize",
    "hw.physicalcpu",
    "hw.logicalcpu",
    "iogpu.wired_limit_mb",
    *(f"hw.perflevel{level}.{key}" for level in range(_LEVELS) for key in ("name", "physicalcpu")),
)
"""Exits non-zero where a key is unknown (levels that a chip does not have), and still answers the others."""
DISPLAYS: Final = ("/usr/sbin/system_profiler", "SPDisplaysDataType", "-json")
VERSION: Final = ("/usr/bin/sw_vers",)
METAL_LIMIT: Final = (sys.executable, "-I", "-S", str(Path(__file__).with_name("metal_limit.py")))

_PAIR: Final = re.compile(r"\s*([\w.]+):[ \t]*(.*?)\s*\Z")


def parse_pairs(text: str) -> dict[str, str]:
    """The ``key: value`` lines of ``sysctl`` or ``sw_vers``; other lines are passed over."""
    matches = (_PAIR.match(line) for line in text.splitlines())
    return {match.group(1): match.group(2) for match in matches if match}


def parse_gpu_cores(text: str) -> int:
    """``sppci_cores`` of ``system_profiler SPDisplaysDataType -json``; 0 where there is none."""
    try:
        devices = json.loads(text)["SPDisplaysDataType"]
        counts = [_number(str(device.get("sppci_cores", ""))) for device in devices]
    except (ValueError, KeyError, TypeError, AttributeError):
        return 0
    return max(counts, default=0)


def core_counts(pairs: Mapping[str, str]) -> tuple[int, int]:
    """(performance, efficiency) cores from ``hw.perflevelN``.

    The level's name decides: M5 Pro and Max have ``Super`` and ``Performance`` and no ``Efficiency``. Before macOS
    named them, level 0 was performance and level 1 efficiency. Without levels (an Intel Mac) all are alike.
    """
    performance = efficiency = 0
    for level in range(_LEVELS):
        count = _number(pairs.get(f"hw.perflevel{level}.physicalcpu", ""))
        name = pairs.get(f"hw.perflevel{level}.name", "Performance" if level == 0 else "Efficiency")
        if name == "Efficiency":
            efficiency += count
        else:
            performance += count
    return (performance, efficiency) if performance else (_number(pairs.get("hw.physicalcpu", "")), 0)


def default_wired_limit(memory_bytes: int) -> int:
    """What the GPU may keep wired where nobody set a limit and Metal gave no answer: a figure on the safe side.

    Three quarters of the memory from 36 GiB on, two thirds below (llama.cpp discussion 2182; logs of llama.cpp and
    mlx-lm show 27 of 36 GiB and 10.7 of 16 GiB). Apple documents no rule, and newer versions of macOS allow more:
    107.5 of 128 GiB (antirez/ds4#893), 464 of 512 GiB. That is why Metal is asked first.
    """
    return memory_bytes * 3 // 4 if memory_bytes >= 36 * GIB else memory_bytes * 2 // 3


def wired_limit(memory_bytes: int, explicit_mb: int, metal_bytes: int) -> int:
    """Bytes that the GPU may keep wired: ``iogpu.wired_limit_mb`` where it was set (0 means it was not), else Metal's
    ``recommendedMaxWorkingSetSize``, else :func:`default_wired_limit`.
    """
    if explicit_mb > 0:
        return explicit_mb * MIB
    return metal_bytes if metal_bytes > 0 else default_wired_limit(memory_bytes)


def machine_from(*, sysctl: str, displays: str, version: str, metal_limit: str, architecture: str) -> Machine:
    """The machine that these answers describe: of :data:`SYSCTL`, :data:`DISPLAYS`, :data:`VERSION` and
    :data:`METAL_LIMIT`; each may be empty.
    """
    pairs, release = parse_pairs(sysctl), parse_pairs(version)
    chip = pairs.get("machdep.cpu.brand_string", "")
    apple = architecture == "arm64"
    performance, efficiency = core_counts(pairs)
    memory = _number(pairs.get("hw.memsize", ""))
    gpu_cores = parse_gpu_cores(displays)
    explicit = _number(pairs.get("iogpu.wired_limit_mb", ""))
    return Machine(
        chip=chip or architecture,
        vendor="Apple" if apple else "Intel",
        architecture=architecture,
        os_name=release.get("ProductName", "macOS"),
        os_version=release.get("ProductVersion", ""),
        performance_cores=performance,
        efficiency_cores=efficiency,
        logical_cores=_number(pairs.get("hw.logicalcpu", "")) or performance + efficiency,
        memory_bytes=memory,
        gpu_cores=gpu_cores,
        gpu_memory_limit_bytes=wired_limit(memory, explicit, _number(metal_limit)) if apple else 0,
        unified_memory=apple,
        bandwidth=nominal_bandwidth(chip, gpu_cores),
    )


def read() -> Machine:
    """Read this Mac; runs four short programs."""
    return machine_from(
        sysctl=_answer(SYSCTL),
        displays=_answer(DISPLAYS),
        version=_answer(VERSION),
        metal_limit=_answer(METAL_LIMIT),
        architecture=platform.machine(),
    )


def read_metal_limit() -> int:
    """Metal's own figure in bytes, 0 where it gives none."""
    return _number(_answer(METAL_LIMIT))


def _answer(argv: tuple[str, ...]) -> str:
    try:
        return process.run(argv, timeout=30, check=False).stdout
    except ToolFailed:
        return ""


def _number(text: str) -> int:
    """A whole number, 0 for anything else."""
    stripped = text.strip()
    return int(stripped) if stripped.isascii() and stripped.isdigit() else 0
