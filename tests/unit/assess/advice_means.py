"""Means for tests of advice: the planner's own memory, and speeds of a rule that is simple enough to reckon with."""

from __future__ import annotations

from ultralab.assess.advice.types import Means, Speeds
from ultralab.assess.types import Place, Question
from ultralab.kernel.units import GIB
from ultralab.planner.hardware import Hardware, Speed
from ultralab.planner.llamacpp import llamacpp_memory
from ultralab.planner.types import ModelShape, Prediction

BANDWIDTH = 819e9


def speeds(shape: ModelShape, question: Question, _quantization: str) -> Speeds:
    """Half of the bandwidth, 20 TFLOPS."""
    decode = BANDWIDTH / 2 / shape.bytes_per_token
    prefill = 10e12 / (shape.active_parameters or shape.parameters)
    return Speed(_band(decode)), Speed(_band(prefill)), _band(question.prompt / prefill + 1 / decode)


MEANS = Means(
    memory=lambda shape, demand, _engine: llamacpp_memory(shape, demand),
    speeds=speeds,
    engines=lambda form: {"gguf": ("llamacpp",), "mlx": ("mlx",)}.get(form, ()),
)


def studio(gib: int, chip: str = "Apple M3 Ultra") -> Place:
    """An M3 Ultra with so much memory, three quarters of it for models."""
    hardware = Hardware(chip, BANDWIDTH, gpu=True, gpu_cores=80, cpu_cores=24)
    return Place(f"m3-ultra-{gib}", hardware, gib * GIB, gib * GIB * 3 // 4, "75 % of the memory")


def _band(value: float) -> Prediction:
    return Prediction(value, value * 0.8, value * 1.2, "a rule for tests")
