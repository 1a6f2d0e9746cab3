"""llama.cpp's compute buffer: the largest set of tensors of its graph that live at one time, for one micro-batch."""

from __future__ import annotations

from typing import Final

from ultralab.kernel.language import N_
from ultralab.planner.kv_cache import F32, padded
from ultralab.planner.types import Amount, Demand, ModelShape

_BASIS: Final = N_("llama.cpp's graph for this architecture on the CPU backend; a GPU's backend may differ")


def compute_buffer(shape: ModelShape, demand: Demand) -> Amount:
    """Bytes of the compute buffer."""
    cells = padded(demand.context) * (demand.sequences if demand.unified else 1)
    tokens = min(demand.ubatch, cells)
    mask = tokens * cells * 2
    feed_forward = tokens * F32 * (5 * shape.embedding + 3 * shape.feed_forward)
    outputs = demand.outputs or tokens
    logits = tokens * F32 * 5 * shape.embedding + F32 * shape.vocabulary * outputs
    return Amount(mask + max(feed_forward, logits), 0.05, _BASIS)
