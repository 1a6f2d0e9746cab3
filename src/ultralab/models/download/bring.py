"""One remote file into its partial file, whole and checked: from its address, else from a mirror."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ultralab.kernel.errors import FetchFailed, FileDamaged, RequestError, UltralabError
from ultralab.kernel.language import _
from ultralab.models.download.leftovers import forget
from ultralab.models.download.local import check, copy, local_path
from ultralab.models.download.order import Order
from ultralab.models.download.partial import hold, journal_of
from ultralab.models.download.patience import Patience
from ultralab.models.download.tally import Tally
from ultralab.models.download.transfer import from_address
from ultralab.models.sources.base import Access, RemoteFile
from ultralab.system import files

if TYPE_CHECKING:
    import httpx


@dataclass(frozen=True)
class Terms:
    """What holds for all files of one call."""

    access: Access
    patience: Patience
    connections: int
    keep_free: int


@dataclass(frozen=True)
class Arrived:
    """A file that is here and checked, or an archive of which a member is to be unpacked."""

    path: Path
    size: int
    sha256: str


def key_of(remote: RemoteFile) -> str:
    """What names this download among others: stable, so that an interrupted one is found again."""
    identity = f"{remote.url}\n{remote.sha256}\n{remote.member}"
    return hashlib.sha256(identity.encode()).hexdigest()[:24]


def require_fetchable(remote: RemoteFile) -> None:
    """Raise RequestError for an address that is neither http, https nor file."""
    if urlsplit(remote.url).scheme not in ("http", "https", "file"):
        raise RequestError(
            _("{url} is no http, https or file address.").format(url=remote.url),
            hint=_("Name the file by one of these."),
            url=remote.url,
        )


def bring(
    remote: RemoteFile, into: Path, client: httpx.Client, tally: Tally, terms: Terms, connections: int
) -> Arrived:
    """Bring one file. What arrived before an error stays for the next call, but for what is wrong.

    Raises FetchFailed, NotFound, RequestError, FileDamaged, DiskFull, FileAccess, Busy, Stopped.
    """
    path = into / f"{key_of(remote)}.partial"
    if (source := local_path(remote)) is not None:
        if remote.member:
            return Arrived(source, *check(remote, source, tally))
        target = path.with_suffix(".ready")
        return Arrived(target, *copy(remote, source, target, tally, terms.keep_free))
    with _held(path) as descriptor:
        token = terms.access.token(remote.realm) if remote.realm else ""
        order = Order(
            remote, path, descriptor, client, tally, terms.patience, max(1, connections), terms.keep_free, token
        )
        if (size := _complete_already(order)) is not None:
            return Arrived(path, size, remote.sha256.lower())
        return Arrived(path, *_from_anywhere(order))


@contextmanager
def _held(path: Path) -> Iterator[int]:
    """Hold the partial file; after an error what nobody could take up is removed."""
    descriptor = hold(path)
    try:
        yield descriptor
    except FileDamaged:
        forget(path)
        raise
    except BaseException:
        if not journal_of(path).exists():
            path.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)


def _complete_already(order: Order) -> int | None:
    """The size of what a call left that ended well but whose caller did not; None where there is no such thing."""
    remote, path = order.remote, order.path
    size = os.fstat(order.held).st_size
    wanted = size if remote.member or remote.size is None else remote.size
    if not remote.sha256 or not size or size != wanted or journal_of(path).exists():
        return None
    order.tally.learn(size)
    if files.sha256_of(path, order.tally.add) == remote.sha256.lower():
        return size
    order.tally.add(-size)
    return None


def _from_anywhere(order: Order) -> tuple[int, str]:
    first: UltralabError | None = None
    mirrors = [address for address in order.remote.mirrors if urlsplit(address).scheme in ("http", "https")]
    for address in (order.remote.url, *mirrors):
        try:
            return from_address(order, address)
        except FileDamaged as error:
            forget_bytes(order)
            first = first or error
        except (FetchFailed, RequestError) as error:
            first = first or error
    assert first is not None
    raise first


def forget_bytes(order: Order) -> None:
    """Nothing has arrived, but the file stays held."""
    with files.explained(order.path):
        journal_of(order.path).unlink(missing_ok=True)
        os.ftruncate(order.held, 0)
