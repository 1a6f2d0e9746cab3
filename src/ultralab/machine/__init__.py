"""The machine: what this computer is, what it has, and what a process holds of it.

Its names are imported when they are asked for: every engine's process lives beside this package and starts without it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ultralab.machine.footprints import available_memory, footprint
    from ultralab.machine.reading import read_machine
    from ultralab.machine.types import Bandwidth, Machine, memory_limit

__all__ = [
    "Bandwidth",
    "Machine",
    "available_memory",
    "footprint",
    "memory_limit",
    "read_machine",
]
_PLACES = {"available_memory": "footprints", "footprint": "footprints", "read_machine": "reading"}


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module(f"{__name__}.{_PLACES.get(name, 'types')}"), name)
    raise AttributeError(name)
