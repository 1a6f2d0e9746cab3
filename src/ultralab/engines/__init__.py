"""Inference engines behind one seam. ``engines.base`` is the seam, ``engines.host`` runs what an engine says.

An engine is one module and one entry point in the group ``ultralab.engines``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from ultralab.engines.base import (
    Availability,
    Client,
    Engine,
    Generation,
    Launch,
    LoadOptions,
    ModelFile,
    Timings,
    TokenScore,
)
from ultralab.kernel import plugins
from ultralab.kernel.language import _

if TYPE_CHECKING:
    from ultralab.kernel.plugins import Plugin

__all__ = [
    "Availability",
    "Client",
    "Engine",
    "Generation",
    "Launch",
    "LoadOptions",
    "ModelFile",
    "Timings",
    "TokenScore",
    "engine",
    "engine_plugins",
]


def engine(name: str) -> Engine:
    """The engine registered as ``name``. Raises UnknownChoice, Failure (it cannot be imported)."""
    return cast("Engine", plugins.load("ultralab.engines", name, _("engine")))


def engine_plugins() -> tuple[Plugin, ...]:
    """Every registered engine, nothing imported."""
    return plugins.installed("ultralab.engines")
