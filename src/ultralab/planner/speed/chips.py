"""What an Apple chip's name says about the speed of its GPU."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal

from ultralab.planner.hardware import Hardware

Family = Literal["single", "ultra"]

# Fused multiply-adds: 128 per core and clock, two operations each, in FP32 and FP16 alike (philipturner/metal-benchmarks,
# "Apple GPU microarchitecture"; M3 Ultra with 80 cores: 32.8 TFLOPS FP32, waredb.com). M5 has a matrix unit in each core
# with "over 4x the peak GPU compute for AI" of M4 (Apple newsroom 2025-10: "Apple unleashes M5").
_PER_CLOCK: Final = 256
_MATRIX: Final = 4


@dataclass(frozen=True)
class _Generation:
    clock: float
    matrix: bool = False


# GPU clocks in Hz: M1 and M2 from philipturner/metal-benchmarks, M3 from waredb.com's 1.6 GHz for the M3 Ultra, M4 as in
# published core tables; M5's is not published and taken to be M4's.
_GENERATIONS: Final = {
    "M1": _Generation(1.296e9),
    "M2": _Generation(1.398e9),
    "M3": _Generation(1.6e9),
    "M4": _Generation(1.8e9),
    "M5": _Generation(1.8e9, matrix=True),
}
_REFERENCE_CLOCK: Final = 1.6e9


def family(hardware: Hardware) -> Family:
    """Whether the GPU is one die or two: two reach less of their bandwidth, and every step between them costs more."""
    return "ultra" if hardware.chip.strip().endswith("Ultra") else "single"


def has_matrix_units(hardware: Hardware) -> bool:
    """Whether each GPU core has a unit for matrices."""
    return _generation(hardware).matrix


def slowness(hardware: Hardware) -> float:
    """How much longer a step between layers takes than on an M3: by the clock; on two dies by its root.

    Two dies also wait for each other: a 7B in Q4_0 decodes 84, 94 and 92 tok/s on the M1, M2 and M3 Ultra, while the clock
    rises by 23 % and the bandwidth by 2 % (ggml-org/llama.cpp discussion 4167). Of the exponents 0, 1/2 and 1, the middle
    one predicts models that were left out best.
    """
    ratio = _REFERENCE_CLOCK / _generation(hardware).clock
    return math.sqrt(ratio) if family(hardware) == "ultra" else ratio


def flops(hardware: Hardware) -> float:
    """Peak operations per second of the GPU in the units that prefill uses; 0 where the number of cores is unknown."""
    generation = _generation(hardware)
    return hardware.gpu_cores * _PER_CLOCK * generation.clock * (_MATRIX if generation.matrix else 1)


def _generation(hardware: Hardware) -> _Generation:
    """The chip's; of a later chip, the latest that is known."""
    name = hardware.chip.removeprefix("Apple ").strip().split(" ")[0]
    return _GENERATIONS.get(name, _GENERATIONS["M5"])
