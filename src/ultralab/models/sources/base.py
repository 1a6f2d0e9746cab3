"""The seam of a model source: a reference becomes a list of files. Fetching them is the downloader's work."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol


@dataclass(frozen=True)
class RemoteFile:
    """A file to fetch. ``url`` is http(s) or file. ``sha256`` is empty where the source knows none.

    ``name`` is relative to the model, with ``/``, and safe (``records.is_safe_path``): a source refuses others.
    ``member`` names a member inside an archive (a wheel is a zip): then ``url`` and ``sha256`` are the archive's.
    ``realm`` names whose token ``url`` may be given; ``mirrors`` are other addresses of the same bytes, which get none.
    """

    name: str
    url: str
    size: int | None
    sha256: str
    member: str = ""
    realm: str = ""
    mirrors: tuple[str, ...] = ()


@dataclass(frozen=True)
class Resolution:
    """What a reference stands for: a proposed library name, a licence if known, and the files.

    ``ref`` is the reference in full, but for what changes by itself (a branch's name stays; a package is pinned);
    ``version`` is what it stood for (a commit, a tag, a package's version). ``files`` are all that fit the reference:
    which of them make one model is decided above (``ultralab.models.pulling.grouping``).
    """

    ref: str
    name: str
    version: str
    licence: str
    homepage: str
    files: tuple[RemoteFile, ...]
    base_models: tuple[str, ...] = ()


def no_token(_realm: str) -> str:
    """Nobody's token."""
    return ""


@dataclass(frozen=True)
class Access:
    """What a source may use of the user's: ``token`` gives a realm's (empty: none), ``endpoints`` a realm's addresses.

    The first endpoint is asked first, the others when it cannot be reached; a realm that is missing has its own
    default. A token goes only to an endpoint that the user named by a variable, or to the realm's default.
    """

    token: Callable[[str], str] = no_token
    endpoints: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


NOBODY: Final = Access()
"""No token, every realm at its default."""


class Source(Protocol):
    """One kind of source. Resolving may use the network; it writes nothing, is idempotent and is not retried."""

    scheme: str

    def resolve(self, rest: str, access: Access = NOBODY) -> Resolution:
        """Resolve what follows ``scheme:`` in a reference.

        Raises NotFound (no such package, file or revision), RequestError (malformed reference, a name that is no safe
        path, no access without a token), FetchFailed (network), Unsupported (found, but holds no model file that we know).
        """
