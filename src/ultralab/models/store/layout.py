"""Where everything of a model library lies. A value: it holds nothing open."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ultralab.kernel.ids import slug
from ultralab.models.store.volumes import AUTOMATIC, HOME, Placement, Volume
from ultralab.models.types import ModelRecord


@dataclass(frozen=True)
class Library:
    """The model library of the lab at ``home``. A value: it holds nothing open.

    ``volumes`` are the disks besides the lab's own, plugged in or not.
    """

    home: Path
    volumes: tuple[Volume, ...] = ()
    placement: Placement = AUTOMATIC

    @property
    def store(self) -> Volume:
        """The lab's own volume."""
        return Volume(HOME, self.home / "store")

    @property
    def blobs(self) -> Path:
        """Where the bytes lie, by hash."""
        return self.store.blobs

    @property
    def tree(self) -> Path:
        """Where the bytes have names."""
        return self.home / "store" / "tree"

    @property
    def partial(self) -> Path:
        """Where half-written files lie on the lab's own volume."""
        return self.store.partial

    @property
    def metadata(self) -> Path:
        """One JSON file per model."""
        return self.home / "models" / "metadata"

    @property
    def catalog(self) -> Path:
        """The index."""
        return self.home / "state" / "catalog.db"

    @property
    def knowledge(self) -> Path:
        """What is known of the bytes without reading them again: a cache."""
        return self.home / "state" / "store.db"

    def folder(self, record: ModelRecord) -> Path:
        """Where the files of a model have their names."""
        return self.tree / slug(record.family, "other") / record.name / record.variant

    def lock(self, what: str) -> Path:
        """The lock file of one thing that only one process may do at a time."""
        return self.home / "state" / "locks" / f"{what}.lock"
