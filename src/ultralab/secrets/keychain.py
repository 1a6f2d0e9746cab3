"""Secrets in the system's keychain, through ``keyring`` (a dependency on macOS only).

keyring's documentation, “Using the keyring”: ``get_password``, ``set_password``, ``delete_password`` by service and user
name. It cannot list: the names, which are no secret, are kept in ``keychain.json`` beside the file of the other store.
"""

from __future__ import annotations

import importlib
import json
import platform
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol, TypeVar, cast

from ultralab.kernel.errors import FileAccess, NotFound, ToolFailed
from ultralab.kernel.language import _
from ultralab.secrets.file import make_private_folder
from ultralab.system import files, locks

SERVICE: Final = "ultralab"
_NAMES: Final = "keychain.json"

Result = TypeVar("Result")


class Backend(Protocol):
    """What is used of ``keyring`` (the module itself has these functions)."""

    def get_password(self, service_name: str, username: str) -> str | None:
        """The value, None where there is none."""

    def set_password(self, service_name: str, username: str, password: str) -> None:
        """Keep it."""

    def delete_password(self, service_name: str, username: str) -> None:
        """Remove it."""


def system_backend() -> Backend | None:
    """The system's keychain, None where this system has none that we use."""
    if platform.system() != "Darwin":
        return None
    try:
        return cast("Backend", importlib.import_module("keyring"))
    except ImportError:
        return None


@dataclass(frozen=True)
class KeychainStore:
    """A keychain, with the names of what is in it under ``folder``."""

    backend: Backend
    folder: Path
    name: str = "keychain"

    def read(self, name: str) -> str:
        """The value, empty where there is none: a name that was never noted is not asked for. Raises ToolFailed."""
        if name not in self.names():
            return ""
        return _asked(lambda: self.backend.get_password(SERVICE, name)) or ""

    def write(self, name: str, value: str) -> None:
        """Keep a value, then note its name. Raises ToolFailed."""
        _asked(lambda: self.backend.set_password(SERVICE, name, value))
        self._note(lambda names: names | {name})

    def forget(self, name: str) -> bool:
        """Remove a value and its name; whether there was one. Raises ToolFailed."""
        if name not in self.names():
            return False
        if _asked(lambda: self.backend.get_password(SERVICE, name)) is not None:
            _asked(lambda: self.backend.delete_password(SERVICE, name))
        self._note(lambda names: names - {name})
        return True

    def names(self) -> tuple[str, ...]:
        """What was put here, sorted."""
        try:
            listed = json.loads(files.read_text(self.folder / _NAMES))
        except (NotFound, FileAccess, ValueError, RecursionError):
            return ()
        return tuple(sorted(name for name in listed if isinstance(name, str))) if isinstance(listed, list) else ()

    def _note(self, change: Callable[[set[str]], set[str]]) -> None:
        make_private_folder(self.folder)
        with locks.exclusive(self.folder / "secrets.lock", _("the secrets")):
            changed = sorted(change(set(self.names())))
            files.write(self.folder / _NAMES, json.dumps(changed) + "\n", mode=0o600)


def _asked(question: Callable[[], Result]) -> Result:
    """The keychain's answer; whatever it raises (locked, nobody to ask, none there) becomes ToolFailed, without its text."""
    try:
        return question()
    except Exception as error:  # noqa: BLE001 - each system's keychain raises its own
        kind = type(error).__name__
    raise ToolFailed(
        _("The system's keychain cannot be used now ({kind}).").format(kind=kind),
        hint=_("Unlock it (over SSH: security unlock-keychain), or: ultralab config set secrets.store file"),
        program="keychain",
        problem=kind,
    )
