"""Which tools of quantization and conversion are on this machine, by the names that derivations record."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from ultralab.kernel.errors import Unsupported
from ultralab.models.conversion import llama_quantize, quantize, to_gguf


def available_tools(llama_cpp: Path | None = None) -> frozenset[str]:
    """The names. ``llama_cpp``: llama.cpp's folder, where its programs are not on PATH."""
    found = {quantize.TOOL, "ultralab"}
    if importlib.util.find_spec("mlx_lm") is not None:
        found.add("mlx_lm")
    for name, look in ((llama_quantize.PROGRAM, llama_quantize.find_program), (to_gguf.PROGRAM, to_gguf.command)):
        try:
            look(llama_cpp)
        except Unsupported:
            continue
        found.add(name)
    return frozenset(found)
