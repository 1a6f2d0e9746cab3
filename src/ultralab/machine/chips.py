"""Apple's chips for the Mac, M1 to M5: nominal memory bandwidth, core configurations, maximum memory.

Each row names the document that states its figures: Apple's newsroom article on the chip, or the technical
specifications of a Mac that has it. Gigabytes per second are decimal, as Apple states them.

How sure each figure is (the documents were compared through articles and tables that quote them):

- M1: Apple never stated a figure. 68.25 GB/s is what 128 bits of LPDDR4X-4266 give; it agrees with Apple's sentence
  that the M2's 100 GB/s are 50 % more.
- M5 Ultra: Apple states "1.2 TB/s", a rounded figure (two M5 Max would be 1,228 GB/s). It was read from a table that
  cites Apple's page and from a discussion, not from the page itself, and so was its memory of up to 512 GB.
- M6 and later: not in this table; such a chip is measured.

M5 chips call their fastest cores "super"; M5 Pro and M5 Max pair them with "performance" cores and have no efficiency
cores. Both kinds count as performance cores here, as in ``Machine``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ultralab.machine.types import UNKNOWN_BANDWIDTH, Bandwidth


@dataclass(frozen=True)
class Variant:
    """Chips of one name and one bandwidth.

    ``cpus``: the (performance, efficiency) core counts that were sold; ``gpus``: the GPU core counts; ``memory_gb``:
    the most memory that was sold with it.
    """

    chip: str
    gb_per_second: float
    cpus: tuple[tuple[int, int], ...]
    gpus: tuple[int, ...]
    memory_gb: int
    source: str


_M1 = "LPDDR4X-4266 at 128 bits; Apple newsroom 2022-06 'Apple unveils M2': 100 GB/s are 50 % more than M1"
_M1_PRO_MAX = "Apple newsroom 2021-10: 'Introducing M1 Pro and M1 Max'"
_M1_ULTRA = "Apple newsroom 2022-03: 'Apple unveils M1 Ultra'"
_M2 = "Apple newsroom 2022-06: 'Apple unveils M2'"
_M2_PRO_MAX = "Apple newsroom 2023-01: 'Apple unveils M2 Pro and M2 Max'"
_M2_ULTRA = "Apple newsroom 2023-06: 'Apple introduces M2 Ultra'"
_M3 = "Apple, MacBook Air (13-inch, M3, 2024): technical specifications"
_M3_PRO_MAX = "Apple, MacBook Pro (14-inch, M3 Pro or M3 Max, Nov 2023): technical specifications"
_M3_ULTRA = "Apple, Mac Studio (2025): technical specifications"
_M4 = "Apple newsroom 2024-05: 'Apple introduces M4 chip'"
_M4_PRO = "Apple newsroom 2024-10: 'Apple introduces M4 Pro and M4 Max'"
_M4_MAX = "Apple, Mac Studio (2025): technical specifications"
_M5 = "Apple newsroom 2025-10: 'Apple unleashes M5'"
_M5_PRO_MAX = "Apple newsroom 2026-03: 'Apple debuts M5 Pro and M5 Max'; support.apple.com/en-us/126318"
_M5_ULTRA = "Apple newsroom 2026-08: 'Apple introduces new Mac Studio with M5 Max and M5 Ultra' (rounded: 1.2 TB/s)"

TABLE: Final = (
    Variant("M1", 68.25, ((4, 4),), (7, 8), 16, _M1),
    Variant("M1 Pro", 200, ((6, 2), (8, 2)), (14, 16), 32, _M1_PRO_MAX),
    Variant("M1 Max", 400, ((8, 2),), (24, 32), 64, _M1_PRO_MAX),
    Variant("M1 Ultra", 800, ((16, 4),), (48, 64), 128, _M1_ULTRA),
    Variant("M2", 100, ((4, 4),), (8, 10), 24, _M2),
    Variant("M2 Pro", 200, ((6, 4), (8, 4)), (16, 19), 32, _M2_PRO_MAX),
    Variant("M2 Max", 400, ((8, 4),), (30, 38), 96, _M2_PRO_MAX),
    Variant("M2 Ultra", 800, ((16, 8),), (60, 76), 192, _M2_ULTRA),
    Variant("M3", 100, ((4, 4),), (8, 10), 24, _M3),
    Variant("M3 Pro", 150, ((5, 6), (6, 6)), (14, 18), 36, _M3_PRO_MAX),
    Variant("M3 Max", 300, ((10, 4),), (30,), 96, _M3_PRO_MAX),
    Variant("M3 Max", 400, ((12, 4),), (40,), 128, _M3_PRO_MAX),
    Variant("M3 Ultra", 819, ((20, 8), (24, 8)), (60, 80), 512, _M3_ULTRA),
    Variant("M4", 120, ((4, 4), (4, 6)), (8, 10), 32, _M4),
    Variant("M4 Pro", 273, ((8, 4), (10, 4)), (16, 20), 64, _M4_PRO),
    Variant("M4 Max", 410, ((10, 4),), (32,), 36, _M4_MAX),
    Variant("M4 Max", 546, ((12, 4),), (40,), 128, _M4_MAX),
    Variant("M5", 153, ((4, 6),), (8, 10), 32, _M5),
    Variant("M5 Pro", 307, ((15, 0), (18, 0)), (16, 20), 64, _M5_PRO_MAX),
    Variant("M5 Max", 460, ((18, 0),), (32,), 36, _M5_PRO_MAX),
    Variant("M5 Max", 614, ((18, 0),), (40,), 128, _M5_PRO_MAX),
    Variant("M5 Ultra", 1200, ((30, 0), (36, 0)), (64, 80), 512, _M5_ULTRA),
)


def variants(chip: str) -> tuple[Variant, ...]:
    """The rows of one chip, named as macOS does (``Apple M3 Ultra``); empty for one that is not in the table."""
    name = chip.removeprefix("Apple ").strip()
    return tuple(row for row in TABLE if row.chip == name)


def find_variant(chip: str, gpu_cores: int) -> Variant | None:
    """The row of a chip; where one name has several bandwidths, its GPU core count decides, and an unknown count
    finds none.
    """
    rows = variants(chip)
    if len(rows) == 1:
        return rows[0]
    return next((row for row in rows if gpu_cores in row.gpus), None)


def nominal_bandwidth(chip: str, gpu_cores: int) -> Bandwidth:
    """The table's figure for a chip, basis ``unknown`` where it has none."""
    row = find_variant(chip, gpu_cores)
    return Bandwidth(row.gb_per_second * 1e9, "table", row.source) if row else UNKNOWN_BANDWIDTH
