"""Exact mode: llama.cpp itself is asked what a model would take, without one of its weights.

Cheap to import: the process that asks (``child``) imports it at each start.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ultralab.assess.exact.answers import DeviceShare, ExactAnswer

if TYPE_CHECKING:
    from ultralab.models.formats.base import Bundle
    from ultralab.planner.types import Demand

__all__ = ["DeviceShare", "ExactAnswer", "ask"]


def ask(bundle: Bundle, demand: Demand, program: str = "") -> ExactAnswer:
    """What llama.cpp says that this GGUF model takes, loaded like this. Only headers are read, here or far away.

    Asked is the llama.cpp of the embedded engine, else ``llama-fit-params`` on PATH; ``program`` names another one, which
    is asked then and nobody else. Nothing stays on the disk. Raises Unsupported (no GGUF model, no program whose version
    is known, a cache or an architecture that llama.cpp refuses, no room for a file that only looks large),
    RequestError, UnknownChoice, ToolFailed (too slow), and what reading a header raises.
    """
    from ultralab.assess.exact import asking

    return asking.ask(bundle, demand, program)
