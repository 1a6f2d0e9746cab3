"""An engine without a model, for tests and for developing what stands above the engines. The engine is ``ENGINE``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ultralab.engines.fake.engine import ENGINE, Fake

__all__ = ["ENGINE", "Fake"]


def __getattr__(name: str) -> Any:
    """Import the engine when it is asked for: its process, which lives in this package, does without it."""
    if name in __all__:
        from ultralab.engines.fake import engine

        return getattr(engine, name)
    raise AttributeError(name)
