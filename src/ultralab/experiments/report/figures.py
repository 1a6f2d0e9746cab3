"""Figures as a report writes them: signed changes with a true minus, a dash for what is not known."""

from __future__ import annotations

import math

from ultralab.kernel.units import format_bytes

MISSING = "–"


def percent(share: float | None, digits: int = 1) -> str:
    """``0.861`` becomes ``86.1%``."""
    return MISSING if share is None or not math.isfinite(share) else f"{100 * share:.{digits}f}%"


def change(share: float | None) -> str:
    """A relative change: ``-0.0823`` becomes ``−8.2%``."""
    return MISSING if share is None or not math.isfinite(share) else f"{signed(100 * share, 1)}%"


def signed(value: float | None, digits: int = 3) -> str:
    """A difference with its sign: ``0.07`` becomes ``+0.070``, what rounds to nothing ``±0.000``."""
    if value is None or not math.isfinite(value):
        return MISSING
    size = f"{abs(value):.{digits}f}"
    if float(size) == 0:
        return f"±{size}"
    return f"+{size}" if value > 0 else f"\N{MINUS SIGN}{size}"


def number(value: float | None) -> str:
    """Three significant digits without an exponent where people read it easily: speeds, perplexities."""
    if value is None or not math.isfinite(value):
        return MISSING
    size = abs(value)
    if size >= 1e6:
        return f"{value:.2e}"
    digits = 0 if size >= 100 else 1 if size >= 10 else 2
    return f"{value:.{digits}f}"


def fixed(value: float | None, digits: int) -> str:
    """A figure with a fixed count of decimals."""
    return MISSING if value is None or not math.isfinite(value) else f"{value:.{digits}f}"


def size(count: float | None) -> str:
    """Bytes in binary units; nothing known for None or zero."""
    return format_bytes(count) if count else MISSING


def day(moment: str) -> str:
    """The date of an ISO 8601 moment."""
    return moment[:10] or MISSING


def minute(moment: str) -> str:
    """An ISO 8601 moment without fractions of a second: ``2026-11-23 04:15:07+00:00``."""
    head, dot, tail = moment.replace("T", " ", 1).partition(".")
    return (head + tail.lstrip("0123456789") if dot else head) or MISSING
