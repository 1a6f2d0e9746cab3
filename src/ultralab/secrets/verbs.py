"""Read, write, forget and list secrets, wherever they are kept."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from ultralab.kernel.errors import NotFound, RequestError, ToolFailed, Unsupported
from ultralab.kernel.language import _
from ultralab.secrets.base import Store
from ultralab.secrets.file import FileStore
from ultralab.secrets.keychain import Backend, KeychainStore, system_backend
from ultralab.system import folders

Choice = Literal["auto", "keychain", "file"]
CHOICES: Final[tuple[Choice, ...]] = ("auto", "keychain", "file")

_NAME: Final = re.compile(r"[a-z0-9._-]{1,100}")
_LONGEST: Final = 65_536


@dataclass(frozen=True)
class Secrets:
    """Where this user's secrets are: ``choice`` is the setting ``secrets.store``. A value: it holds no secret.

    ``auto`` is the keychain where the system has one that answers, else the file.
    """

    folder: Path = field(default_factory=folders.machine_config)
    choice: str = "auto"
    backend: Backend | None = field(default_factory=system_backend, repr=False)

    @property
    def file(self) -> FileStore:
        """The file."""
        return FileStore(self.folder)

    @property
    def keychain(self) -> KeychainStore | None:
        """The keychain, None where the system has none."""
        return KeychainStore(self.backend, self.folder) if self.backend is not None else None


@dataclass(frozen=True)
class Kept:
    """Where a secret was put. ``note`` is a sentence where that is not the first choice."""

    store: str
    note: str = ""


def read(secrets: Secrets, name: str) -> str:
    """The value, empty where there is none.

    Raises RequestError (a name that is none), FileAccess (the file can be read by others), ToolFailed (the keychain is
    the choice and does not answer).
    """
    require_name(name)
    for store in reversed(_stores(secrets)):  # what is in the file is newer: the keychain did not take it
        try:
            if value := store.read(name):
                return value
        except ToolFailed:
            if secrets.choice == "keychain":
                raise
    return ""


def write(secrets: Secrets, name: str, value: str) -> Kept:
    """Keep a value. An older one in the other place goes away, so that one answer holds.

    Raises RequestError, FileAccess, DiskFull, ToolFailed (the keychain is the choice and does not answer).
    """
    require_name(name)
    _require_value(value)
    first, *others = _stores(secrets)
    try:
        first.write(name, value)
    except ToolFailed as error:
        if secrets.choice == "keychain" or not others:
            raise
        others[0].write(name, value)
        note = _("{problem} It is in the file {path} instead.").format(problem=error.message, path=secrets.file.path)
        return Kept(others[0].name, note)
    for other in others:
        other.forget(name)
    return Kept(first.name)


def forget(secrets: Secrets, name: str) -> tuple[str, ...]:
    """Remove a secret everywhere; the names of the places that had it. Raises NotFound, ToolFailed."""
    require_name(name)
    had = tuple(store.name for store in _every(secrets) if store.forget(name))
    if not had:
        raise NotFound(
            _("There is no secret {name}.").format(name=name),
            hint=_("See what there is: ultralab secrets list"),
            name=name,
        )
    return had


def names(secrets: Secrets) -> dict[str, str]:
    """What has a value, and where, sorted by name. Never a value."""
    found: dict[str, str] = {}
    for store in _every(secrets):
        found |= dict.fromkeys(store.names(), store.name)
    return dict(sorted(found.items()))


def require_name(name: str) -> None:
    """Raise RequestError for what cannot be a secret's name."""
    if not _NAME.fullmatch(name):
        raise RequestError(
            _("{name!r} cannot be the name of a secret.").format(name=name[:100]),
            hint=_("Use lower-case letters, digits and “._-”. Known to ultralab: {names}.").format(
                names="hf, modelscope, github"
            ),
        )


def _require_value(value: str) -> None:
    if not value or len(value) > _LONGEST or not value.isprintable() or value != value.strip():
        raise RequestError(
            _("That cannot be a secret: it is empty, too long, or holds spaces at its ends or line breaks."),
            hint=_("Give one line, by the prompt or on standard input."),
        )


def _stores(secrets: Secrets) -> tuple[Store, ...]:
    """The places of the choice, first choice first."""
    if secrets.choice == "file":
        return (secrets.file,)
    keychain = secrets.keychain
    if secrets.choice == "keychain":
        if keychain is None:
            raise Unsupported(
                _("This system has no keychain that ultralab can use."),
                hint=_("Use the file: ultralab config set secrets.store auto"),
            )
        return (keychain,)
    return (keychain, secrets.file) if keychain is not None else (secrets.file,)


def _every(secrets: Secrets) -> tuple[Store, ...]:
    """Every place that may hold something, whatever is the choice now."""
    return tuple(store for store in (secrets.keychain, secrets.file) if store is not None)
