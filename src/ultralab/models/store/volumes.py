"""The disks that model bytes may lie on: the lab's own, and others that may be unplugged."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

HOME: Final = "home"
"""The name of the lab's own store."""


@dataclass(frozen=True)
class Volume:
    """A folder for model bytes on one disk. The lab's own is ``<home>/store``; others are named in ``lab.toml``."""

    name: str
    root: Path

    @property
    def blobs(self) -> Path:
        """Where the bytes lie, by hash."""
        return self.root / "blobs" / "sha256"

    @property
    def partial(self) -> Path:
        """Where half-written files lie: on the same disk, so that a rename publishes them."""
        return self.root / "partial"


@dataclass(frozen=True)
class Placement:
    """Where new models go. ``volume`` names one, or is ``auto``: the lab's own disk while ``keep_free`` bytes stay free
    there, else the volume with the most free space.
    """

    volume: str = "auto"
    keep_free: int = 0


AUTOMATIC: Final = Placement()
