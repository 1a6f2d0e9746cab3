"""One member of a zip archive (a wheel is one), unpacked as a stream and distrusted."""

from __future__ import annotations

import fnmatch
import hashlib
import io
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Final, cast

from ultralab.kernel.errors import FileDamaged, RequestError, Unsupported
from ultralab.kernel.language import _
from ultralab.kernel.progress import Progress
from ultralab.models.sources.base import RemoteFile
from ultralab.system import files

_BLOCK: Final = 1024 * 1024


def matching(archive: IO[bytes] | io.RawIOBase | Path, pattern: str) -> tuple[zipfile.ZipInfo, ...]:
    """The files in an archive whose path or base name fits a shell pattern. Raises BadZipFile, OSError."""
    with zipfile.ZipFile(cast("IO[bytes]", archive)) as opened:
        return tuple(
            info
            for info in opened.infolist()
            if not info.is_dir()
            and (info.filename == pattern or fnmatch.fnmatchcase(base_name(info.filename), pattern))
        )


def base_name(member: str) -> str:
    """The last part of a member's path: all that is ever used of it, so that no member can leave its folder."""
    return PurePosixPath(member.replace("\\", "/")).name


def extract(archive: Path, remote: RemoteFile, target: Path, progress: Progress) -> tuple[str, int, str]:
    """Unpack the one member that fits ``remote.member`` to ``target``: its base name, its bytes, its SHA-256.

    Raises FileDamaged (a broken archive, more or fewer bytes than declared), Unsupported, RequestError (several
    members fit), DiskFull. On any error ``target`` is removed.
    """
    with _explained(archive, remote):
        found = matching(archive, remote.member)
    info = _only(found, remote)
    name = base_name(info.filename)
    if info.flag_bits & 1:
        raise Unsupported(_("{member} in {url} is encrypted.").format(member=name, url=remote.url), url=remote.url)
    if remote.size is not None and remote.member == info.filename and info.file_size != remote.size:
        raise _damaged(remote, _("its size is not the announced one"))
    files.require_space(target.parent, info.file_size)
    try:
        return name, info.file_size, _unpack(archive, info, remote, target, progress)
    except BaseException:
        target.unlink(missing_ok=True)
        raise


def _unpack(archive: Path, info: zipfile.ZipInfo, remote: RemoteFile, target: Path, progress: Progress) -> str:
    digest = hashlib.sha256()
    left = info.file_size
    label = _("Unpacking {name}").format(name=base_name(info.filename))
    with (
        _explained(archive, remote),
        files.explained(target),
        zipfile.ZipFile(archive) as opened,
        opened.open(info) as reading,
        target.open("wb") as writing,
        progress.step(label, info.file_size, "bytes") as step,
    ):
        while block := reading.read(_BLOCK):
            left -= len(block)
            if left < 0:
                break
            writing.write(block)
            digest.update(block)
            step.advance(len(block))
    if left:
        raise _damaged(remote, _("{member} has not the declared size").format(member=info.filename))
    return digest.hexdigest()


def _only(found: tuple[zipfile.ZipInfo, ...], remote: RemoteFile) -> zipfile.ZipInfo:
    if len(found) == 1:
        return found[0]
    if not found:
        raise Unsupported(
            _("{url} holds no file {pattern}.").format(url=remote.url, pattern=remote.member),
            hint=_("Give another reference: this archive holds no model file that ultralab knows."),
            url=remote.url,
        )
    raise RequestError(
        _("{url} holds {count} files {pattern}.").format(url=remote.url, count=len(found), pattern=remote.member),
        hint=_("Choose one by its name: {names}.").format(names=", ".join(base_name(info.filename) for info in found)),
        url=remote.url,
    )


@contextmanager
def _explained(archive: Path, remote: RemoteFile) -> Iterator[None]:
    try:
        with files.explained(archive):
            yield
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError) as error:
        raise _damaged(remote, str(error)) from error
    except NotImplementedError as error:
        raise Unsupported(
            _("{url} is packed in a way that cannot be unpacked: {error}").format(url=remote.url, error=error),
            url=remote.url,
        ) from error


def _damaged(remote: RemoteFile, problem: str) -> FileDamaged:
    return FileDamaged(
        _("The archive {url} is damaged: {problem}.").format(url=remote.url, problem=problem),
        hint=_("Nothing of it was kept. Try again; if it stays so, its maker packed it wrong."),
        url=remote.url,
    )
