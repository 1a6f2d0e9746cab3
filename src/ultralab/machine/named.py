"""Macs that can be planned for by name: every chip of the table with the memory sizes that it was sold with.

A name is the chip and the memory in GB as Apple counts it (``m3-ultra-512``); a GPU core count behind it chooses among
those of the chip (``m3-ultra-512-60``), and without one it is the largest. Not every pair of a memory size and a GPU core
count was sold: 512 GB only came with 80 cores.

The sizes are those of Apple's technical specifications, read as other projects quote them with the page's number
(huggingface/huggingface.js#1937; a table of current Macs that cites apple.com/mac-studio/specs and
apple.com/mac-mini/specs of August 2026; theapplewiki.com on the Mac Studio of 2023). Apple announced 512 GB with the M5
Ultra for late October 2026.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Final

from ultralab.kernel.units import GIB
from ultralab.machine.chips import Variant, variants


@dataclass(frozen=True)
class Sold:
    """The memory sizes (GB) that chips of one name and one bandwidth were sold with; ``gpu_cores`` names the row of the
    table where one chip has several bandwidths: any count of that row.
    """

    chip: str
    gpu_cores: int
    memory_gb: tuple[int, ...]
    source: str


@dataclass(frozen=True)
class NamedMachine:
    """A Mac to plan for. ``memory_bytes``: what macOS calls ``hw.memsize``."""

    name: str
    variant: Variant
    gpu_cores: int
    performance_cores: int
    efficiency_cores: int
    memory_bytes: int
    source: str

    @property
    def bandwidth(self) -> float:
        """Nominal bytes/s."""
        return self.variant.gb_per_second * 1e9


_AIR_M1 = "Apple, MacBook Air (M1, 2020): technical specifications"
_PRO_14_2021 = "Apple, MacBook Pro (14-inch, 2021): support.apple.com/en-us/111902"
_PRO_16_2021 = "Apple, MacBook Pro (16-inch, 2021): support.apple.com/en-us/111901"
_STUDIO_2022 = "Apple, Mac Studio (2022): support.apple.com/en-us/111900"
_AIR_M2 = "Apple, MacBook Air (M2, 2022): technical specifications"
_PRO_14_2023 = "Apple, MacBook Pro (14-inch, 2023): support.apple.com/en-us/111340"
_STUDIO_2023 = "Apple, Mac Studio (2023): support.apple.com/en-us/111835"
_AIR_M3 = "Apple, MacBook Air (13-inch, M3, 2024): technical specifications"
_PRO_16_NOV_2023 = "Apple, MacBook Pro (16-inch, Nov 2023): support.apple.com/en-us/117737"
_STUDIO_2025 = "Apple, Mac Studio (2025): support.apple.com/en-us/122211"
_MINI_2024 = "Apple, Mac mini (2024): support.apple.com/en-us/121555"
_PRO_M5 = "Apple newsroom 2025-10: the 14-inch MacBook Pro with M5"
_MINI_2026 = "Apple, Mac mini (2026): apple.com/mac-mini/specs"
_STUDIO_2026 = "Apple, Mac Studio (2026): apple.com/mac-studio/specs"

SOLD: Final = (
    Sold("M1", 8, (8, 16), _AIR_M1),
    Sold("M1 Pro", 16, (16, 32), _PRO_14_2021),
    Sold("M1 Max", 32, (32, 64), _PRO_16_2021),
    Sold("M1 Ultra", 64, (64, 128), _STUDIO_2022),
    Sold("M2", 10, (8, 16, 24), _AIR_M2),
    Sold("M2 Pro", 19, (16, 32), _PRO_14_2023),
    Sold("M2 Max", 38, (32, 64, 96), _STUDIO_2023),
    Sold("M2 Ultra", 76, (64, 128, 192), _STUDIO_2023),
    Sold("M3", 10, (8, 16, 24), _AIR_M3),
    Sold("M3 Pro", 18, (18, 36), _PRO_16_NOV_2023),
    Sold("M3 Max", 30, (36, 96), _PRO_16_NOV_2023),
    Sold("M3 Max", 40, (48, 64, 128), _PRO_16_NOV_2023),
    Sold("M3 Ultra", 80, (96, 256, 512), _STUDIO_2025),
    Sold("M4", 10, (16, 24, 32), _MINI_2024),
    Sold("M4 Pro", 20, (24, 48, 64), _MINI_2024),
    Sold("M4 Max", 32, (36,), _STUDIO_2025),
    Sold("M4 Max", 40, (48, 64, 128), _STUDIO_2025),
    Sold("M5", 10, (16, 24, 32), _PRO_M5),
    Sold("M5 Pro", 20, (24, 48, 64), _MINI_2026),
    Sold("M5 Max", 32, (36,), _STUDIO_2026),
    Sold("M5 Max", 40, (48, 64, 128), _STUDIO_2026),
    Sold("M5 Ultra", 80, (96, 256, 512), _STUDIO_2026),
)


@cache
def named_machines() -> tuple[NamedMachine, ...]:
    """Every machine by its short name, in the table's order."""
    return tuple(_machine(sold, row, memory, row.gpus[-1]) for sold, row in _rows() for memory in sold.memory_gb)


def find_named(name: str) -> NamedMachine | None:
    """The machine of a name, whatever its case, with or without a GPU core count behind it; None for an unknown one."""
    wanted = name.strip().lower()
    for sold, row in _rows():
        for memory in sold.memory_gb:
            short = _name(row.chip, memory)
            if wanted == short:
                return _machine(sold, row, memory, row.gpus[-1])
            for cores in row.gpus:
                if wanted == f"{short}-{cores}":
                    return _machine(sold, row, memory, cores)
    return None


def _rows() -> tuple[tuple[Sold, Variant], ...]:
    return tuple((sold, row) for sold in SOLD for row in variants(sold.chip) if sold.gpu_cores in row.gpus)


def _name(chip: str, memory_gb: int) -> str:
    return f"{chip.lower().replace(' ', '-')}-{memory_gb}"


def _machine(sold: Sold, row: Variant, memory_gb: int, gpu_cores: int) -> NamedMachine:
    at = min(row.gpus.index(gpu_cores), len(row.cpus) - 1)  # more GPU cores come with more CPU cores
    fast, slow = row.cpus[at]
    short = _name(row.chip, memory_gb)
    return NamedMachine(
        name=short if gpu_cores == row.gpus[-1] else f"{short}-{gpu_cores}",
        variant=row,
        gpu_cores=gpu_cores,
        performance_cores=fast,
        efficiency_cores=slow,
        memory_bytes=memory_gb * GIB,
        source=sold.source,
    )
