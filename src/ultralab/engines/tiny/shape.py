"""The tiny model's numbers. Each one that an engine may have a default for differs from that default, so that an engine
which forgets to read it says other tokens: that is what the model is for.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Shape:
    """A llama: RMSNorm, rotary positions, grouped-query attention, SwiGLU. Widths in numbers, ``eps`` of the norms."""

    layers: int = 3
    hidden: int = 64
    inner: int = 160
    heads: int = 4
    kv_heads: int = 2
    context: int = 4096
    eps: float = 1e-3  # the usual ones are 1e-5 and 1e-6
    theta: float = 50_000.0  # the usual one is 10 000

    @property
    def head(self) -> int:
        """The width of one head."""
        return self.hidden // self.heads

    @property
    def kv(self) -> int:
        """The width of all keys (or values) of a place."""
        return self.kv_heads * self.head


SHAPE = Shape()
