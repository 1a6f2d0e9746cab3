"""A model's files as a bundle: from a path on this machine, or from what a source resolved."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from functools import lru_cache, partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final
from urllib.parse import unquote_to_bytes, urlsplit

from ultralab.kernel.errors import FileAccess, FileDamaged, NotFound, RequestError
from ultralab.kernel.language import _
from ultralab.kernel.text import printable
from ultralab.models.far.bounds import Budget, Kept
from ultralab.models.far.files import FIRST, FarFile, RangedFile
from ultralab.models.far.members import Archive
from ultralab.models.formats.base import USUAL_LIMITS, Bundle, Item, Limits
from ultralab.models.sources.base import NOBODY, Access, RemoteFile
from ultralab.models.types import Staged
from ultralab.system import files

if TYPE_CHECKING:
    import httpx

MOST_FILES: Final = 10_000
DEEPEST: Final = 4
MOST_SHARDS: Final = 2000
"""As many files have a first request of their own beside what all headers together may cost."""

_PART: Final = re.compile(r"(.*-)(\d{5})(-of-)(\d{5})(\.[a-z]+)", re.IGNORECASE)


def from_path(path: Path, limits: Limits = USUAL_LIMITS) -> Bundle:
    """A file (with the other parts of what it is a part of), or everything under a folder.

    Only regular files count; links are followed to files, not to folders, so nothing loops and nothing blocks. Raises
    NotFound, FileAccess (no such file, no regular file, more than MOST_FILES files).
    """
    with files.explained(path):
        mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        found = _regular(path)
        return Bundle(str(path), tuple(_item(each, each.relative_to(path).as_posix()) for each in found), limits)
    return Bundle(str(path), tuple(_item(part, part.name) for part in _parts(path)), limits)


def from_staged(staged: Sequence[Staged], limits: Limits = USUAL_LIMITS) -> Bundle:
    """Files that are about to become a model, under the names that they will have. Raises NotFound, FileAccess."""
    where = staged[0].name if len(staged) == 1 else str(staged[0].path.parent)
    return Bundle(where, tuple(_item(file.path, file.name) for file in staged), limits)


@contextmanager
def far(
    remote: Sequence[RemoteFile], where: str, access: Access = NOBODY, limits: Limits = USUAL_LIMITS
) -> Iterator[Bundle]:
    """What a source resolved, as a bundle that is read by ranges while the block runs; its one client closes with it.

    All that is read together is bounded by ``limits.header_bytes`` and a first request to each file. ``file:`` addresses are read in place. Streams may
    be used by several threads at once. Raises FetchFailed, NotFound, FileAccess (already here where a size is to be
    learned), RequestError (two files of one name, an address of another kind, no access).
    """
    from ultralab.system import http  # httpx

    names = [file.name for file in remote]
    if len(set(names)) != len(names):
        raise RequestError(
            _("{where} names a file twice.").format(where=where),
            hint=_("Its source is at fault: take the files from another one."),
            where=where,
        )
    with http.internet_client() as client:
        opener = _Opener(client, access, _budget(len(remote), limits), limits)
        yield Bundle(where, tuple(opener.item(file) for file in remote), limits)


def _budget(count: int, limits: Limits) -> Budget:
    return Budget(limits.header_bytes + FIRST * min(count, MOST_SHARDS))


class _Opener:
    """Makes items of what a source resolved. Several members of one archive share its table."""

    def __init__(self, client: httpx.Client, access: Access, budget: Budget, limits: Limits) -> None:
        self._client = client
        self._budget = budget
        self._limits = limits
        self._kept = Kept()
        self._token = lru_cache(access.token)  # a keychain may ask its owner each time
        self._archives: dict[str, Archive] = {}

    def item(self, file: RemoteFile) -> Item:
        """One file."""
        scheme = urlsplit(file.url).scheme
        if scheme == "file":
            path = Path(os.fsdecode(unquote_to_bytes(urlsplit(file.url).path)))
            if not file.member:
                return _item(path, file.name)
            return self._member(file, partial(_opened, path), lambda: _size_of(path))
        if scheme not in ("http", "https"):
            raise RequestError(
                _("{url} is no http, https or file address.").format(url=printable(file.url)),
                hint=_("Its source is at fault: take the files from another one."),
                url=file.url,
            )
        token = self._token(file.realm) if file.realm else ""
        size = None if file.member else file.size
        source = FarFile(
            self._client,
            (file.url, *file.mirrors),
            size=size,
            token=token,
            realm=file.realm,
            budget=self._budget,
            kept=self._kept,
        )
        if file.member:
            return self._member(file, partial(_ranged, source), source.size)
        return Item(file.name, source.size(), file.url, partial(_ranged, source))

    def _member(
        self, file: RemoteFile, opened: Callable[[], AbstractContextManager[IO[bytes]]], size: Callable[[], int]
    ) -> Item:
        archive = self._archives.setdefault(file.url, Archive(opened, size, file.url, self._limits.header_bytes))
        found = archive.member(file.member)
        if file.size not in (None, found.size):
            raise FileDamaged(
                _("{member} in {url} has {size} bytes instead of {expected}.").format(
                    member=printable(file.member, 80), url=file.url, size=found.size, expected=file.size
                ),
                hint=_("Try again; if it stays so, its source is at fault."),
                url=file.url,
            )
        return Item(file.name, found.size, f"{file.url}#{file.member}", partial(archive.open, file.member))


@contextmanager
def _ranged(source: FarFile) -> Iterator[IO[bytes]]:
    with closing(RangedFile(source)) as stream:
        yield stream  # type: ignore[misc]  # a RawIOBase is an IO[bytes] in use


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    with files.explained(path), path.open("rb") as stream:
        yield stream


def _size_of(path: Path) -> int:
    with files.explained(path):
        return path.stat().st_size


def _item(path: Path, name: str) -> Item:
    with files.explained(path):
        mode = path.stat().st_mode
    if not stat.S_ISREG(mode):
        raise FileAccess(
            _("{path} is not a regular file.").format(path=path),
            hint=_("Give a model's file or folder."),
            path=str(path),
        )
    return Item(name, _size_of(path), str(path), partial(_opened, path))


def _regular(folder: Path) -> list[Path]:
    found: list[Path] = []
    for place, folders, names in os.walk(folder, onerror=_refuse):
        if len(Path(place).relative_to(folder).parts) >= DEEPEST:
            folders.clear()
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(place) / name
            with files.explained(path):
                if not name.startswith(".") and path.is_file():
                    found.append(path)
        if len(found) > MOST_FILES:
            raise FileAccess(
                _("{path} holds more than {most} files.").format(path=folder, most=MOST_FILES),
                hint=_("Name the model's own folder."),
                path=str(folder),
            )
    return found


def _refuse(error: OSError) -> None:
    """A folder that cannot be read is told, not passed over: a model without its shards would look whole."""
    raise files.explain(error, Path(error.filename or "?")) from error


def _parts(path: Path) -> list[Path]:
    """The file, or all parts that lie beside it and belong to the same whole."""
    match = _PART.fullmatch(path.name)
    if match is None or not 1 < int(match[4]) <= MOST_FILES:
        return [path]
    named = (
        path.with_name(f"{match[1]}{number:05d}{match[3]}{match[4]}{match[5]}")
        for number in range(1, int(match[4]) + 1)
    )
    return [part for part in named if part == path or part.is_file()]


def require_items(bundle: Bundle) -> None:
    """Raise NotFound for a bundle without files."""
    if not bundle.items:
        raise NotFound(_("{path} holds no files.").format(path=bundle.where), path=bundle.where)
