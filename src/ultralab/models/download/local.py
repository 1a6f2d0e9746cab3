"""A file that is on this machine already: cloned where the disk can, else copied while it is hashed.

One that changes meanwhile is refused.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final
from urllib.parse import unquote_to_bytes, urlsplit

from ultralab.kernel.errors import FileDamaged
from ultralab.kernel.language import _
from ultralab.models.download.failures import check_hash
from ultralab.models.download.tally import Tally
from ultralab.models.sources.base import RemoteFile
from ultralab.system import files, links

_CHUNK: Final = 1024 * 1024


def local_path(remote: RemoteFile) -> Path | None:
    """The path behind a ``file:`` address, None for any other."""
    parts = urlsplit(remote.url)
    return Path(os.fsdecode(unquote_to_bytes(parts.path))) if parts.scheme == "file" else None


def copy(remote: RemoteFile, source: Path, target: Path, tally: Tally, keep_free: int) -> tuple[int, str]:
    """Copy a file: its size, its SHA-256. On any error ``target`` is removed. A clone takes no time and no space.

    Raises NotFound, FileAccess, FileDamaged (it changed, or is not what was promised), DiskFull, Stopped.
    """
    try:
        with files.explained(target):
            target.unlink(missing_ok=True)
        found = _cloned(source, target, tally) or _copied(source, target, tally, keep_free)
        check_hash(remote, remote.url, found[1])
    except BaseException:
        target.unlink(missing_ok=True)
        raise
    return found


def _cloned(source: Path, target: Path, tally: Tally) -> tuple[int, str] | None:
    """A clone's size and hash, None where the disk makes none. Whatever happens to the source, a clone stays as it is."""
    with files.explained(source):
        real = source.resolve(strict=True)  # a link would be cloned as a link
    if not links.copy_shared(real, target):
        return None
    with files.explained(target):
        size = target.stat().st_size
    return size, files.sha256_of(target, _counted(tally))


def _copied(source: Path, target: Path, tally: Tally, keep_free: int) -> tuple[int, str]:
    with files.explained(source):
        before = source.stat()
    files.require_space(target.parent, before.st_size + keep_free)
    digest, copied, counted = hashlib.sha256(), 0, _counted(tally)
    with files.explained(source), source.open("rb") as reading, files.explained(target), target.open("wb") as writing:
        while copied <= before.st_size and (chunk := reading.read(_CHUNK)):
            writing.write(chunk)
            digest.update(chunk)
            copied += len(chunk)
            counted(len(chunk))
        after = os.fstat(reading.fileno())
    _require_unchanged(source, before, after, copied)
    return copied, digest.hexdigest()


def _counted(tally: Tally) -> Callable[[int], None]:
    """Counts bytes, and raises Stopped as soon as nobody wants the rest."""

    def count(read: int) -> None:
        tally.require_wanted()
        tally.add(read)

    return count


def check(remote: RemoteFile, source: Path, tally: Tally) -> tuple[int, str]:
    """Hash an archive where it is: its size, its SHA-256. Raises NotFound, FileAccess, FileDamaged."""
    with files.explained(source):
        size = source.stat().st_size
    digest = files.sha256_of(source, _counted(tally))
    check_hash(remote, remote.url, digest)
    return size, digest


def _require_unchanged(path: Path, before: os.stat_result, after: os.stat_result, copied: int) -> None:
    if copied != before.st_size or (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
        raise FileDamaged(
            _("{path} changed while it was copied.").format(path=path),
            hint=_("Wait until nothing writes to it any more and try again."),
            path=str(path),
        )
