"""The error tree.

::

    UltralabError
    ├── RequestError            exit 2: what was asked for cannot be done as asked
    │   ├── NotFound            a name, a file or a reference that does not exist
    │   ├── AlreadyExists       a name that is taken
    │   ├── UnknownChoice       a value outside a known list (carries the nearest ones)
    │   ├── InvalidSpec         a file the user wrote is wrong (carries file, field, line)
    │   └── Unsupported         understood, but this machine, engine or format cannot do it
    ├── Failure                 exit 1: the request was right and something went wrong
    │   ├── FileDamaged         a file is truncated, hostile or not what its hash promised
    │   ├── FileAccess          the system refused to read or write a file
    │   ├── DiskFull            no space left where something had to be written
    │   ├── FetchFailed         a download or a remote answer failed
    │   ├── ToolFailed          an external program is missing, failed or was too slow
    │   ├── OutOfMemory         the memory ledger refused a reservation
    │   ├── Busy                another process holds what is needed (a port, a lock)
    │   ├── EngineFailed        an engine could not load or answer
    │   │   └── EngineDied      the engine's process ended while it was needed
    │   └── ChecksFailed        doctor or selftest found something wrong
    └── Interrupted             exit 130: the user pressed Ctrl-C or sent SIGTERM

Every error carries one sentence that says what is wrong and where (``message``), a second that says
what to do (``hint``), and the values behind them (``data``, JSON-serializable). Only
``ultralab.cli.outcome`` turns an error into output and an exit status.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import ClassVar

from ultralab.kernel.language import _

Value = str | int | float | bool | None | list[str]


class UltralabError(Exception):
    """Base of every error that ultralab raises on purpose."""

    exit_status: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str = "", **data: Value) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.data: Mapping[str, Value] = data

    @property
    def kind(self) -> str:
        """The class name, stable: scripts may branch on it in ``--json`` output."""
        return type(self).__name__


class RequestError(UltralabError):
    """What was asked for cannot be done as asked."""

    exit_status: ClassVar[int] = 2


class NotFound(RequestError):
    """A name, a file or a reference that does not exist."""


class AlreadyExists(RequestError):
    """A name that is taken."""


class Unsupported(RequestError):
    """Understood, but this machine, engine or format cannot do it."""


class UnknownChoice(RequestError):
    """A value outside a known list; its hint names the nearest ones."""

    @classmethod
    def among(cls, what: str, given: str, choices: Iterable[str]) -> UnknownChoice:
        """Build the error for ``given``, a bad ``what`` (already translated noun), from the ``choices``."""
        known = sorted(choices)
        folded = {choice.casefold(): choice for choice in known}
        near = [folded[match] for match in difflib.get_close_matches(given.casefold(), folded, n=3)]
        listed = ", ".join(known)
        hint = (
            _("Did you mean {near}? Known: {known}.").format(near=", ".join(near), known=listed)
            if near
            else _("Known: {known}.").format(known=listed or "-")
        )
        message = _("Unknown {what}: {given!r}.").format(what=what, given=given)
        return cls(message, hint=hint, given=given, known=known, near=near)


class InvalidSpec(RequestError):
    """A file the user wrote is wrong: carries the file, the field and the line (1-based, 0 unknown)."""

    def __init__(self, path: Path | str, problem: str, *, field: str = "", line: int = 0, hint: str = "") -> None:
        where = f"{path}:{line}" if line else str(path)
        message = f"{where}: {field}: {problem}" if field else f"{where}: {problem}"
        super().__init__(message, hint=hint, path=str(path), field=field, line=line)


class Failure(UltralabError):
    """The request was right and something went wrong."""


class FileDamaged(Failure):
    """A file is truncated, hostile or not what its hash promised."""


class FileAccess(Failure):
    """The system refused to read or write a file."""


class DiskFull(Failure):
    """No space left where something had to be written."""


class FetchFailed(Failure):
    """A download or a remote answer failed."""


class ToolFailed(Failure):
    """An external program is missing, failed or was too slow."""


class OutOfMemory(Failure):
    """The memory ledger refused a reservation."""


class Busy(Failure):
    """Another process holds what is needed."""


class EngineFailed(Failure):
    """An engine could not load or answer."""


class EngineDied(EngineFailed):
    """The engine's process ended while it was needed."""


class ChecksFailed(Failure):
    """doctor or selftest found something wrong."""


class Interrupted(UltralabError):
    """The user pressed Ctrl-C or sent SIGTERM."""

    exit_status: ClassVar[int] = 130

    def __init__(self, message: str = "", *, hint: str = "", **data: Value) -> None:
        super().__init__(message or _("Interrupted."), hint=hint, **data)
