"""What each layer keeps of earlier tokens, by a config.json's ``model_type``: one file per family, one table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from ultralab.models.formats.config_layers import grouped, latent, recurrent, windows
from ultralab.models.formats.config_layers.facts import Facts
from ultralab.planner.types import CacheLayers

Reader = Callable[[Facts], tuple[CacheLayers, ...] | None]

READERS: Final[Mapping[str, Reader]] = {**grouped.READERS, **windows.READERS, **latent.READERS, **recurrent.READERS}


def cache_of(facts: Facts) -> tuple[CacheLayers, ...] | None:
    """The groups of layers, or None where the architecture is not known or says something that its reader does not know.

    Raises FileDamaged where the file's numbers contradict each other.
    """
    reader = READERS.get(facts.kind)
    return reader(facts) if reader and facts.layers else None
