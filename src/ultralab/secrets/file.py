"""Secrets in a file: ``secrets.json``, readable by its owner only (0600), in a folder that only its owner can enter (0700)."""

from __future__ import annotations

import json
import os
import shlex
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ultralab.kernel.errors import FileAccess, FileDamaged
from ultralab.kernel.language import _
from ultralab.system import files, locks

FILE: Final = "secrets.json"
_SCHEMA: Final = 1
_MOST: Final = 1024 * 1024
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


@dataclass(frozen=True)
class FileStore:
    """The file in ``folder``. A value: it holds nothing open and no secret."""

    folder: Path
    name: str = "file"

    @property
    def path(self) -> Path:
        """The file."""
        return self.folder / FILE

    def read(self, name: str) -> str:
        """The value, empty where there is none. Raises FileAccess for a file that others can read, FileDamaged."""
        return self._load().get(name, "")

    def write(self, name: str, value: str) -> None:
        """Keep a value; the file appears whole, or stays as it was."""
        with self._changing() as found:
            found[name] = value
            self._save(found)

    def forget(self, name: str) -> bool:
        """Remove a value; whether there was one."""
        if not self.path.exists():
            return False
        with self._changing() as found:
            if name not in found:
                return False
            del found[name]
            self._save(found)
            return True

    def names(self) -> tuple[str, ...]:
        """What has a value here, sorted."""
        return tuple(sorted(self._load()))

    @contextmanager
    def _changing(self) -> Iterator[dict[str, str]]:
        """What the file holds, while this process alone may change it."""
        make_private_folder(self.folder)
        with locks.exclusive(self.folder / "secrets.lock", _("the secrets")):
            yield self._load()

    def _load(self) -> dict[str, str]:
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise files.explain(error, self.path) from None
        with files.explained(self.path), os.fdopen(descriptor, "rb") as stream:
            require_private(self.path, os.fstat(stream.fileno()))
            content = stream.read(_MOST + 1)
        return self._parse(content)

    def _parse(self, content: bytes) -> dict[str, str]:
        try:
            data = json.loads(content) if len(content) <= _MOST else None
        except (ValueError, RecursionError):
            data = None  # the exception holds the text: it must not travel
        found = data.get("secrets") if isinstance(data, dict) and data.get("schema") == _SCHEMA else None
        if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
            raise FileDamaged(
                _("{path} cannot be understood.").format(path=self.path),
                hint=_("Delete it and set the secrets again: ultralab secrets set NAME"),
                path=str(self.path),
            )
        return found

    def _save(self, found: dict[str, str]) -> None:
        text = json.dumps({"schema": _SCHEMA, "secrets": found}, indent=2, sort_keys=True)
        files.write(self.path, text + "\n", mode=0o600)


def make_private_folder(folder: Path) -> None:
    """Make the folder so that only its owner can enter it, and see to it where it is there. Raises FileAccess."""
    with files.explained(folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if stat.S_IMODE(folder.stat().st_mode) & _OTHERS:
            folder.chmod(0o700)


def require_private(path: Path, status: os.stat_result) -> None:
    """Raise FileAccess unless this is a regular file of this user that nobody else can read or write."""
    if not stat.S_ISREG(status.st_mode):
        raise FileAccess(_("{path} is not a regular file.").format(path=path), hint=_("Move it away."), path=str(path))
    if status.st_uid != os.geteuid():
        raise FileAccess(
            _("{path} belongs to another user: it is not used.").format(path=path),
            hint=_("Move it away and set the secrets again: ultralab secrets set NAME"),
            path=str(path),
        )
    if stat.S_IMODE(status.st_mode) & _OTHERS:
        raise FileAccess(
            _("Others can read {path} (mode {mode}): it is not used.").format(
                path=path, mode=f"{stat.S_IMODE(status.st_mode):04o}"
            ),
            hint=_("Run: {command} — and replace the tokens in it if others use this machine.").format(
                command=f"chmod 600 {shlex.quote(str(path))}"
            ),
            path=str(path),
        )
