"""Which engine can load which format, and what each would hold: one entry per engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from ultralab.kernel.errors import UnknownChoice, Unsupported
from ultralab.kernel.language import _
from ultralab.planner.llamacpp import llamacpp_memory
from ultralab.planner.mlx import mlx_memory
from ultralab.planner.torch import torch_memory
from ultralab.planner.types import Demand, MemoryPlan, ModelShape

Memory = Callable[[ModelShape, Demand], MemoryPlan]

MEMORY: Final[Mapping[str, Memory]] = {
    "llamacpp": llamacpp_memory,
    "ollama": llamacpp_memory,  # it runs llama.cpp's code on the same file
    "mlx": mlx_memory,
    "torch": torch_memory,
}

BY_FORMAT: Final[Mapping[str, tuple[str, ...]]] = {
    "gguf": ("llamacpp", "ollama"),
    "mlx": ("mlx",),
    "safetensors": ("mlx", "torch"),
    "gptq": ("torch",),
    "awq": ("torch", "mlx"),
    "pytorch": (),
}
"""The first is the one that is planned for where none is asked for. A pickle is loaded by no engine here."""


def engine_for(format_name: str, wanted: str = "") -> str:
    """The engine to plan for. Raises UnknownChoice, Unsupported (that engine cannot load this format)."""
    if wanted and wanted not in MEMORY:
        raise UnknownChoice.among(_("engine"), wanted, MEMORY)
    able = BY_FORMAT.get(format_name, ())
    if wanted in able:
        return wanted
    if able and not wanted:
        return able[0]
    if not able:
        raise Unsupported(
            _("No engine here loads the format {format}.").format(format=format_name),
            hint=_("Convert the model: ultralab models convert, or take it in GGUF or SafeTensors."),
            format=format_name,
        )
    raise Unsupported(
        _("The engine {engine} cannot load the format {format}.").format(engine=wanted, format=format_name),
        hint=_("Engines that can: {names}.").format(names=", ".join(able)),
        engine=wanted,
        format=format_name,
        able=list(able),
    )
