"""A Mac and a PC, as values."""

import dataclasses

from ultralab.kernel.units import GIB
from ultralab.machine import Bandwidth, Machine
from ultralab.machine.chips import nominal_bandwidth

MAC = Machine(
    chip="Apple M3 Ultra",
    vendor="Apple",
    architecture="arm64",
    os_name="macOS",
    os_version="26.5.1",
    performance_cores=24,
    efficiency_cores=8,
    logical_cores=32,
    memory_bytes=512 * GIB,
    gpu_cores=80,
    gpu_memory_limit_bytes=464 * GIB,
    unified_memory=True,
    bandwidth=nominal_bandwidth("Apple M3 Ultra", 80),
)
PC = dataclasses.replace(
    MAC,
    chip="AMD EPYC",
    vendor="AMD",
    unified_memory=False,
    gpu_cores=0,
    gpu_memory_limit_bytes=0,
    bandwidth=Bandwidth(24e9, "measured", "copied"),
)
