"""Inference engines behind one seam. ``engines.base`` is the seam, ``engines.host`` runs what an engine says.

An engine is one module and one entry point in the group ``ultralab.engines``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
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


def __getattr__(name: str) -> Any:
    """Import the seam when somebody asks for it: the processes of engines live in this package and start without it."""
    if name in __all__:
        return getattr(import_module("ultralab.engines.base"), name)
    raise AttributeError(name)


def engine(name: str) -> Engine:
    """The engine registered as ``name``. Raises UnknownChoice, Failure (it cannot be imported)."""
    from ultralab.kernel import plugins
    from ultralab.kernel.language import _

    return cast("Engine", plugins.load("ultralab.engines", name, _("engine")))


def engine_plugins() -> tuple[Plugin, ...]:
    """Every registered engine, nothing imported."""
    from ultralab.kernel import plugins

    return plugins.installed("ultralab.engines")
