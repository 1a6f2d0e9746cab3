"""The one door to files that matter: written whole or not at all, and every refusal explained."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from ultralab.kernel.errors import DiskFull, FileAccess, NotFound
from ultralab.kernel.language import _
from ultralab.kernel.units import format_bytes

_BLOCK = 1024 * 1024


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn an OSError about ``path`` into NotFound, DiskFull or FileAccess."""
    try:
        yield
    except FileNotFoundError as error:
        raise NotFound(
            _("There is no such file: {path}").format(path=error.filename or path),
            hint=_("Check the spelling, and the folder you are in."),
            path=str(path),
        ) from error
    except OSError as error:
        raise explain(error, path) from error


def explain(error: OSError, path: Path) -> DiskFull | FileAccess:
    """The ultralab error for an OSError about ``path``."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFull(
            _("The disk is full: {path} could not be written.").format(path=path),
            hint=_("Free some space there and run the command again; nothing half-written was left behind."),
            path=str(path),
        )
    reason = os.strerror(error.errno) if error.errno else str(error)
    return FileAccess(
        _("{path}: {reason}").format(path=path, reason=reason),
        hint=_("Check the path and its permissions."),
        path=str(path),
    )


@contextmanager
def new_file(path: Path, mode: int = 0o644) -> Iterator[IO[bytes]]:
    """A binary file that appears at ``path`` whole, by an atomic rename, when the block ends without error.

    Its bytes and its directory entry are on the disk before this returns. On any error nothing is left.
    """
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:60]}.", suffix=".part")
        try:
            with os.fdopen(handle, "wb") as stream:
                yield stream
                stream.flush()
                os.fchmod(stream.fileno(), mode)
                _sync(stream.fileno())
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        sync_directory(path.parent)


def write(path: Path, content: str | bytes, mode: int = 0o644) -> None:
    """Write a whole file atomically; text is UTF-8. Raises DiskFull, FileAccess."""
    with new_file(path, mode) as stream:
        stream.write(content.encode() if isinstance(content, str) else content)


def append_line(path: Path, line: str, *, synced: bool = False) -> None:
    """Add one line to a log-like file of one writer. It is written by one call, so readers see it whole.

    With ``synced`` it is on the disk before this returns. Raises DiskFull, FileAccess; then nothing of the line stays.
    """
    content = line.rstrip("\n").encode() + b"\n"
    with explained(path):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            written = os.write(descriptor, content)
            if written < len(content):  # the disk took a part: the next line must not be glued to it
                os.ftruncate(descriptor, os.fstat(descriptor).st_size - written)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            if synced:
                _sync(descriptor)
        finally:
            os.close(descriptor)


def read_text(path: Path) -> str:
    """A whole UTF-8 text. Raises NotFound, FileAccess."""
    with explained(path):
        try:
            return path.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise FileAccess(
                _("{path} is not UTF-8 text (byte {position}).").format(path=path, position=error.start),
                hint=_("Save the file as UTF-8."),
                path=str(path),
            ) from error


def sha256_of(path: Path, advance: Callable[[int], None] = lambda _count: None) -> str:
    """The SHA-256 of a file, lower-case hex; ``advance`` is told the bytes of each block."""
    digest = hashlib.sha256()
    with explained(path), path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
            advance(len(block))
    return digest.hexdigest()


def require_space(directory: Path, needed: int) -> None:
    """Raise DiskFull unless the file system of ``directory`` has ``needed`` bytes free."""
    existing = next(folder for folder in (directory, *directory.parents) if folder.exists())
    free = shutil.disk_usage(existing).free
    if free < needed:
        raise DiskFull(
            _("{need} are needed in {path}, {free} are free.").format(
                need=format_bytes(needed), path=directory, free=format_bytes(free)
            ),
            hint=_("Free some space there, or use a lab on another disk (--home)."),
            path=str(directory),
            needed=needed,
            free=free,
        )


def sync_directory(directory: Path) -> None:
    """Put a directory's entries on the disk, so that a rename survives a power cut."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        _sync(descriptor)
    finally:
        os.close(descriptor)


def _sync(descriptor: int) -> None:
    """Reach the disk itself: on macOS ``fsync`` stops at the drive's cache (``fcntl(2)``, F_FULLFSYNC)."""
    full_sync: int | None = getattr(fcntl, "F_FULLFSYNC", None)
    if full_sync is None:
        os.fsync(descriptor)
        return
    try:
        fcntl.fcntl(descriptor, full_sync)
    except OSError:  # a network or foreign file system does not know it
        os.fsync(descriptor)
