"""How many bytes the elements of a KV cache take, by type."""

from __future__ import annotations

from fractions import Fraction
from typing import Final

from ultralab.kernel.errors import UnknownChoice
from ultralab.kernel.language import _

BYTES: Final = {
    "f32": Fraction(4),
    "f16": Fraction(2),
    "bf16": Fraction(2),
    "q8_0": Fraction(34, 32),
    "q5_1": Fraction(24, 32),
    "q5_0": Fraction(22, 32),
    "q4_1": Fraction(20, 32),
    "q4_0": Fraction(18, 32),
    "iq4_nl": Fraction(18, 32),
}
"""llama.cpp's types: a block of 32 elements with its scale (ggml's ``ggml-common.h``: ``block_q8_0`` and so on)."""


def element_bytes(name: str) -> Fraction:
    """Bytes per element, exact. Raises UnknownChoice."""
    if name not in BYTES:
        raise UnknownChoice.among(_("KV cache type"), name, BYTES)
    return BYTES[name]
