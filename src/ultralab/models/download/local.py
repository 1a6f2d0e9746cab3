"""A file that is on this machine already: copied while it is hashed, and refused when it changes meanwhile."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Final
from urllib.parse import unquote_to_bytes, urlsplit

from ultralab.kernel.errors import FileDamaged
from ultralab.kernel.language import _
from ultralab.models.download.failures import check_hash
from ultralab.models.download.tally import Tally
from ultralab.models.sources.base import RemoteFile
from ultralab.system import files

_CHUNK: Final = 1024 * 1024


def local_path(remote: RemoteFile) -> Path | None:
    """The path behind a ``file:`` address, None for any other."""
    parts = urlsplit(remote.url)
    return Path(os.fsdecode(unquote_to_bytes(parts.path))) if parts.scheme == "file" else None


def copy(remote: RemoteFile, source: Path, target: Path, tally: Tally, keep_free: int) -> tuple[int, str]:
    """Copy a file: its size, its SHA-256. On any error ``target`` is removed.

    Raises NotFound, FileAccess, FileDamaged (it changed, or is not what was promised), DiskFull, Stopped.
    """
    with files.explained(source):
        before = source.stat()
    files.require_space(target.parent, before.st_size + keep_free)
    digest, copied = hashlib.sha256(), 0
    try:
        with (
            files.explained(source),
            source.open("rb") as reading,
            files.explained(target),
            target.open("wb") as writing,
        ):
            while copied <= before.st_size and (chunk := reading.read(_CHUNK)):
                tally.require_wanted()
                writing.write(chunk)
                digest.update(chunk)
                copied += len(chunk)
                tally.add(len(chunk))
            after = os.fstat(reading.fileno())
        _require_unchanged(source, before, after, copied)
        check_hash(remote, remote.url, digest.hexdigest())
    except BaseException:
        target.unlink(missing_ok=True)
        raise
    return copied, digest.hexdigest()


def check(remote: RemoteFile, source: Path, tally: Tally) -> tuple[int, str]:
    """Hash an archive where it is: its size, its SHA-256. Raises NotFound, FileAccess, FileDamaged."""
    with files.explained(source):
        size = source.stat().st_size
    digest = files.sha256_of(source, tally.add)
    check_hash(remote, remote.url, digest)
    return size, digest


def _require_unchanged(path: Path, before: os.stat_result, after: os.stat_result, copied: int) -> None:
    if copied != before.st_size or (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
        raise FileDamaged(
            _("{path} changed while it was copied.").format(path=path),
            hint=_("Wait until nothing writes to it any more and try again."),
            path=str(path),
        )
