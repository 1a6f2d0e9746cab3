"""The planner: pure functions from a model's shape and a machine's figures to memory and speed. No I/O."""

from ultralab.planner.kv_cache import kv_cache
from ultralab.planner.llamacpp import llamacpp_memory
from ultralab.planner.types import (
    Amount,
    AttentionLayers,
    Demand,
    Experts,
    MemoryPlan,
    ModelShape,
    Prediction,
    RecurrentLayers,
)

__all__ = [
    "Amount",
    "AttentionLayers",
    "Demand",
    "Experts",
    "MemoryPlan",
    "ModelShape",
    "Prediction",
    "RecurrentLayers",
    "kv_cache",
    "llamacpp_memory",
]
