"""Small files that must be true after a power cut, for the supervisor: standard library only, little of it.

:mod:`ultralab.system.files` is for everybody else; importing it costs more than the supervisor's whole start may.
"""

# Without pathlib, which costs milliseconds of the supervisor's start.
# ruff: noqa: PTH102, PTH104, PTH108, PTH118, PTH120

from __future__ import annotations

import fcntl
import os
from contextlib import suppress

RESERVED = 4096


def make_folder(path: bytes) -> None:
    """Make a folder (its parents exist), its entry on the disk; one that is there is fine."""
    with suppress(FileExistsError):
        os.mkdir(path, 0o700)
    sync_folder(os.path.dirname(path))  # who made it before us may not have


def reserve(path: bytes) -> None:
    """Take the space that :func:`put` will need for ``path`` (at most 4 KiB), while there is some."""
    file = os.open(_part(path), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        _write(file, bytes(RESERVED))
    finally:
        os.close(file)


def release(path: bytes) -> None:
    """Give back the space that was reserved for ``path``, if it still is."""
    with suppress(OSError):
        os.unlink(_part(path))


def put(path: bytes, content: bytes, *, synced: bool = True) -> None:
    """Write a whole file, atomically; over the reserved space, if there is some. Raises OSError, and may be repeated."""
    part = _part(path)
    file = os.open(part, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        _write(file, content)
        os.ftruncate(file, len(content))
        if synced:
            _sync(file)
    finally:
        os.close(file)
    os.rename(part, path)
    if synced:
        sync_folder(os.path.dirname(path))


def sync_folder(path: bytes) -> None:
    """Put a folder's entries on the disk."""
    folder = os.open(path or b".", os.O_RDONLY)
    try:
        _sync(folder)
    finally:
        os.close(folder)


def _part(path: bytes) -> bytes:
    folder, name = os.path.split(path)
    return os.path.join(folder, b"." + name + b".part")


def _write(file: int, content: bytes) -> None:
    while content:  # a disk that is nearly full takes a part first, and refuses then
        content = content[os.write(file, content) :]


def _sync(file: int) -> None:
    """On macOS ``fsync`` stops at the drive's cache (``fcntl(2)``, F_FULLFSYNC)."""
    full_sync: int | None = getattr(fcntl, "F_FULLFSYNC", None)
    if full_sync is not None:
        try:
            fcntl.fcntl(file, full_sync)
            return
        except OSError:  # a network or foreign file system does not know it
            pass
    os.fsync(file)
