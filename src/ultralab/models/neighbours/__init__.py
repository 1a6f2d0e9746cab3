"""Other tools' models on this machine: what they hold, and how the library's models are shown to them."""

from __future__ import annotations

from typing import Final

from ultralab.kernel.errors import UnknownChoice
from ultralab.kernel.language import _
from ultralab.models.neighbours.base import HeldFile, Holding, Layout, Link, Neighbour, Text
from ultralab.models.neighbours.folder import FOLDER
from ultralab.models.neighbours.huggingface import HUGGING_FACE
from ultralab.models.neighbours.llamacpp import LLAMA_CPP
from ultralab.models.neighbours.lmstudio import LM_STUDIO
from ultralab.models.neighbours.ollama import OLLAMA

NEIGHBOURS: Final[tuple[Neighbour, ...]] = (HUGGING_FACE, OLLAMA, LM_STUDIO, LLAMA_CPP)
"""The tools whose models are looked for. ``FOLDER`` is none of them: it reads what somebody names."""

__all__ = ["FOLDER", "NEIGHBOURS", "HeldFile", "Holding", "Layout", "Link", "Neighbour", "Text", "neighbour"]


def neighbour(name: str) -> Neighbour:
    """The tool of that name (``hf``, ``ollama``, ``lmstudio``, ``llamacpp``). Raises UnknownChoice."""
    for known in NEIGHBOURS:
        if known.name == name:
            return known
    raise UnknownChoice.among(_("tool"), name, (known.name for known in NEIGHBOURS))
