"""What the planner takes and gives: plain values."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ModelShape:
    """What a model's header says, as far as memory and speed depend on it.

    ``weight_bytes``: all tensor data. ``bytes_per_token``: weight bytes that decoding one token reads (a lookup
    table that is not also the output matrix is read one row at a time, so it does not count). ``attention`` is
    ``grouped`` where grouped-query attention over the whole context explains the KV cache, else ``unknown``.
    """

    architecture: str
    layers: int
    embedding: int
    feed_forward: int
    heads: int
    kv_heads: int
    key_dim: int
    value_dim: int
    vocabulary: int
    trained_context: int
    parameters: int
    weight_bytes: int
    bytes_per_token: int
    attention: str


@dataclass(frozen=True)
class Prediction:
    """A predicted quantity with the band it should fall into, and where it comes from (a message id)."""

    value: float
    low: float
    high: float
    basis: str


@dataclass(frozen=True)
class MemoryPlan:
    """Bytes that a loaded model will hold: exact parts, and what the engine's process itself needs."""

    weights: int
    kv_cache: int
    compute: int
    overhead: int
    error_band: float
    basis: str

    @property
    def total(self) -> int:
        """All parts together, bytes."""
        return self.weights + self.kv_cache + self.compute + self.overhead
