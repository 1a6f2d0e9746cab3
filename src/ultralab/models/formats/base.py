"""The seam of a model format: recognise files, and read a header without trusting it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ultralab.planner.types import ModelShape


@dataclass(frozen=True)
class ModelHeader:
    """What a model's files say of themselves, weights unread.

    ``tensor_types`` maps a tensor type's name to the bytes stored in it; ``quantization`` is the type of most
    weight bytes. ``metadata`` holds the scalar entries as the file spells them; long lists are left out.
    """

    format: str
    title: str
    licence: str
    quantization: str
    bits_per_weight: float
    tensor_types: Mapping[str, int]
    shape: ModelShape
    metadata: Mapping[str, str | int | float | bool]


class Format(Protocol):
    """One format. Stateless; every method only reads, is idempotent, and holds no file open."""

    name: str

    def recognises(self, path: Path) -> bool:
        """Whether ``path`` (a file or a directory) looks like this format: by its first bytes, not its name.

        Never raises for a file that is there and readable; reads at most a few bytes.
        """

    def read_header(self, path: Path) -> ModelHeader:
        """Read the header in bounded time and memory, whatever the file claims.

        Raises FileDamaged (truncated, inconsistent or hostile), Unsupported (a version or an architecture
        entry we cannot read), NotFound, FileAccess.
        """
