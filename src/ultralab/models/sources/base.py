"""The seam of a model source: a reference becomes a list of files. Fetching them is the downloader's work."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class RemoteFile:
    """A file to fetch. ``url`` is http(s) or file. ``sha256`` is empty where the source knows none.

    ``member`` names a member inside an archive (a wheel is a zip): then ``url`` and ``sha256`` are the archive's.
    """

    name: str
    url: str
    size: int | None
    sha256: str
    member: str = ""


@dataclass(frozen=True)
class Resolution:
    """What a reference stands for: a proposed library name, a licence if known, and the files."""

    ref: str
    name: str
    version: str
    licence: str
    homepage: str
    files: tuple[RemoteFile, ...]


class Source(Protocol):
    """One kind of source. Resolving may use the network; it writes nothing, is idempotent and is not retried."""

    scheme: str

    def resolve(self, rest: str) -> Resolution:
        """Resolve what follows ``scheme:`` in a reference.

        Raises NotFound (no such package, file or revision), RequestError (malformed reference), FetchFailed
        (network), Unsupported (found, but holds no model file that we know).
        """
