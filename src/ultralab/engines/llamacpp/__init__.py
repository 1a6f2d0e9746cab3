"""llama.cpp: embedded (``xllamacpp``), or an installed ``llama-server``. The engine is ``ENGINE``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ultralab.engines.llamacpp.engine import ENGINE

__all__ = ["ENGINE"]


def __getattr__(name: str) -> Any:
    """Import the engine when it is asked for: its own processes, which live in this package, do without it."""
    if name == "ENGINE":
        from ultralab.engines.llamacpp.engine import ENGINE

        return ENGINE
    raise AttributeError(name)
