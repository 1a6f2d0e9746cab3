"""What a followed pickle puts on its stack: as much of a value as judging it needs."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

from ultralab.models.formats.pickle_allowed import ALLOWED


class Blank(enum.Enum):
    """Values whose content is not kept."""

    PLAIN = "data"
    """A number, a long text, a container: nothing that could run."""
    UNKNOWN = "unknown"
    """What a call gave that is not on the list, or something that cannot be followed."""


PLAIN: Final = Blank.PLAIN
UNKNOWN: Final = Blank.UNKNOWN


@dataclass(frozen=True, slots=True)
class Global:
    """A class or function that unpickling would import."""

    module: str
    name: str

    @property
    def path(self) -> str:
        """``module.name``."""
        return f"{self.module}.{self.name}"

    @property
    def allowed(self) -> bool:
        """Whether a state dict needs it."""
        return (self.module, self.name) in ALLOWED


@dataclass(frozen=True, slots=True)
class Made:
    """What calling an allowed class or function gave."""

    maker: Global


@dataclass(frozen=True, slots=True)
class Storage:
    """A block of numbers outside the pickle: torch's persistent id. ``numel`` elements of ``kind`` (a storage class)."""

    kind: str
    key: str
    numel: int


@dataclass(frozen=True, slots=True)
class Tensor:
    """A view of a storage. ``dtype`` is a name of torch's, empty where the storage's class says it."""

    storage: Storage
    shape: tuple[int, ...]
    dtype: str = ""


Value = Blank | Global | Made | Storage | Tensor | str | int | tuple["Value", ...]
