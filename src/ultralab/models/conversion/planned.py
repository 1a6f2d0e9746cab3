"""What a quantization will be, before it is made: its header follows from the parent's alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ultralab.models.conversion.gguf_plan import plan
from ultralab.models.formats.base import ModelHeader
from ultralab.models.formats.gguf import summarize
from ultralab.models.formats.gguf_reader import read_gguf
from ultralab.models.formats.gguf_types import TENSOR_TYPE_NAMED


def planned_header(parent: Path, target: str) -> ModelHeader:
    """The header that ``quantize`` will give ``parent`` in the type ``target`` (one of ``QUANTIZATIONS``).

    Its sizes are exact. Raises what reading a header raises.
    """
    raw = read_gguf(parent)
    plans = plan(raw, TENSOR_TYPE_NAMED[target])
    return summarize(replace(raw, tensors=tuple(replace(one.tensor, type=one.type, size=one.size) for one in plans)))
