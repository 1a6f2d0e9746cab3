"""Layers with a recurrent state, alone or between attention layers (Mamba, Jamba, Falcon-H1, Qwen3-Next, Granite)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ultralab.models.formats.gguf_layers.facts import Facts
from ultralab.planner.types import CacheLayers

READERS: Final[dict[str, Callable[[Facts], tuple[CacheLayers, ...] | None]]] = {}
