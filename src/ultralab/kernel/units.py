"""Quantities as people read them. Bytes are exact integers inside; text appears only at the edge."""

from __future__ import annotations

import re

KIB = 1024
MIB = 1024**2
GIB = 1024**3

_STEPS = ((1024**4, "TiB"), (GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB"))
_UNITS = {
    "": 1, "b": 1,
    "k": KIB, "kib": KIB, "kb": 1000,
    "m": MIB, "mib": MIB, "mb": 1000**2,
    "g": GIB, "gib": GIB, "gb": 1000**3,
    "t": 1024**4, "tib": 1024**4, "tb": 1000**4,
}  # fmt: skip
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]*)\s*\Z")


def format_bytes(count: float) -> str:
    """``98362432`` becomes ``93.8 MiB``: binary units, three significant digits."""
    for step, name in _STEPS:
        if abs(count) >= step:
            return f"{_three_digits(count / step)} {name}"
    return f"{count:.0f} B"


def parse_bytes(text: str) -> int:
    """``48G``, ``1.5 GiB`` or ``1000000`` as bytes; ``GB`` is decimal. Raises ValueError."""
    match = _SIZE.match(text)
    unit = _UNITS.get(match.group(2).lower()) if match else None
    if match is None or unit is None:
        raise ValueError(text)
    size = float(match.group(1)) * unit
    if size >= 2**63:
        raise ValueError(text)
    return int(size)


def format_rate(per_second: float) -> str:
    """A throughput in bytes per second as GB/s (decimal, as chip makers state it)."""
    return f"{_three_digits(per_second / 1e9)} GB/s"


def format_count(count: float) -> str:
    """``134515008`` becomes ``135M``: parameters and tokens."""
    for step, name in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "K")):
        if abs(count) >= step:
            return f"{_three_digits(count / step)}{name}"
    return f"{count:.0f}"


def format_seconds(seconds: float) -> str:
    """``0.0123`` becomes ``12.3 ms``; ``75`` becomes ``1 min 15 s``."""
    if seconds < 1:
        return f"{_three_digits(seconds * 1000)} ms"
    if seconds < 60:
        return f"{_three_digits(seconds)} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min"


def _three_digits(value: float) -> str:
    magnitude = abs(value)
    if magnitude >= 99.95:
        return f"{value:.0f}"
    return f"{value:.1f}" if magnitude >= 9.995 else f"{value:.2f}"
