"""Attention that looks back at a window in some layers (gemma 2 and 3, gpt-oss)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ultralab.models.formats.gguf_layers.facts import Facts
from ultralab.planner.types import CacheLayers

READERS: Final[dict[str, Callable[[Facts], tuple[CacheLayers, ...] | None]]] = {}
