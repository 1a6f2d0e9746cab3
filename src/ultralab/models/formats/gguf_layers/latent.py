"""Multi-head latent attention (DeepSeek V2, V3, R1; Kimi K2)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ultralab.models.formats.gguf_layers.facts import Facts
from ultralab.planner.types import CacheLayers

READERS: Final[dict[str, Callable[[Facts], tuple[CacheLayers, ...] | None]]] = {}
