"""What servers say of files is hostile until it was looked at: names, sizes, digests. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from ultralab.kernel.errors import RequestError
from ultralab.kernel.language import _
from ultralab.kernel.text import printable
from ultralab.models.records import is_safe_path
from ultralab.models.sources.base import RemoteFile

MOST_FILES: Final = 100_000
LARGEST: Final = 2**53
"""Bytes: beyond it, JSON's numbers are not exact any more, and no disk is that large."""

_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


def safe_name(value: object, where: str) -> str:
    """``value`` if it is a safe relative path. Raises RequestError naming it."""
    if not isinstance(value, str) or not is_safe_path(value):
        raise refused(
            where, _("it has a file with the unsafe name {name}").format(name=shown(value)), name=shown(value)
        )
    return value


def size(value: object, name: str, where: str) -> int | None:
    """``value`` if it is a size in bytes, or None where none is given. Raises RequestError."""
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= LARGEST:
        raise refused(where, _("its file {name} has the impossible size {size}").format(name=name, size=shown(value)))
    return value


def digest(value: object, name: str, where: str) -> str:
    """``value`` as 64 lower-case hex digits, empty where none is given. Raises RequestError."""
    if value is None or value == "":
        return ""
    if not isinstance(value, str) or not _DIGEST.fullmatch(value.lower()):
        raise refused(
            where, _("its file {name} has a SHA-256 that is none: {digest}").format(name=name, digest=shown(value))
        )
    return value.lower()


def listing(entries: object, where: str) -> list[object]:
    """``entries`` if it is a list of a length that can be. Raises RequestError."""
    if not isinstance(entries, list):
        raise refused(where, _("its list of files is none"))
    require_count(len(entries), where)
    return entries


def require_count(count: int, where: str) -> None:
    """Raise RequestError for more files than any model has."""
    if count > MOST_FILES:
        raise refused(where, _("it lists more than {most} files").format(most=MOST_FILES))


def require_distinct(files: Sequence[RemoteFile], where: str) -> tuple[RemoteFile, ...]:
    """The files by name, if no name is there twice and none is a folder of another. Raises RequestError."""
    names = {file.name for file in files}
    if len(names) != len(files):
        raise refused(where, _("it lists a file twice"))
    folders = {name[:at] for name in names for at, char in enumerate(name) if char == "/"}
    if both := sorted(folders & names):
        raise refused(where, _("its file {name} is a folder too").format(name=both[0]))
    return tuple(sorted(files, key=lambda file: file.name))


def refused(where: str, problem: str, **data: str) -> RequestError:
    """The one error for a listing that must not be followed."""
    return RequestError(
        _("{where} is refused: {problem}.").format(where=where, problem=problem),
        hint=_("Nothing was fetched. Whoever made this list is at fault or means harm: take the model from elsewhere."),
        ref=where,
        **data,
    )


def shown(value: object) -> str:
    """A foreign value for a message: what cannot be printed is spelled out, and no more than 120 columns of it."""
    spelled = value if isinstance(value, str) and value.isprintable() and value else ascii(value)
    return printable(spelled[:1000], 120)
