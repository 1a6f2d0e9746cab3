"""The seam of a place for secrets."""

from __future__ import annotations

from typing import Protocol


class Store(Protocol):
    """One place. Every method is idempotent, may block on the system's question to the user, and is not retried.

    All raise FileAccess, DiskFull, FileDamaged, Busy or ToolFailed (a locked keychain) where the place cannot be used. No
    error carries a value.
    """

    @property
    def name(self) -> str:
        """What people call it."""

    def read(self, name: str) -> str:
        """The value, empty where there is none."""

    def write(self, name: str, value: str) -> None:
        """Keep a value in place of the one before. It is there, whole, when this returns."""

    def forget(self, name: str) -> bool:
        """Remove a value; whether there was one."""

    def names(self) -> tuple[str, ...]:
        """What has a value here, sorted."""
