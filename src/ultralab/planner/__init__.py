"""The planner: pure functions from a model's shape and a machine's figures to memory and speed. No I/O."""

from ultralab.planner.memory import kv_cache_bytes, llamacpp_memory
from ultralab.planner.speed import decode_speed
from ultralab.planner.types import MemoryPlan, ModelShape, Prediction

__all__ = ["MemoryPlan", "ModelShape", "Prediction", "decode_speed", "kv_cache_bytes", "llamacpp_memory"]
