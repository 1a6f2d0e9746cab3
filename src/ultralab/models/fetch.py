"""The downloader: one file from http(s) or from a path into a folder, resumed, checked, and only then handed over."""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote_to_bytes, urlsplit

from ultralab.kernel.errors import FetchFailed, FileDamaged, RequestError
from ultralab.kernel.language import _
from ultralab.kernel.progress import Progress, Step
from ultralab.models.members import extract
from ultralab.models.sources.base import RemoteFile
from ultralab.models.types import Staged
from ultralab.system import clock, files

if TYPE_CHECKING:
    import httpx

_BLOCK: Final = 1024 * 1024
_RETRIED: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
_RANGE: Final = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")


@dataclass(frozen=True)
class Patience:
    """How often to try without receiving a byte, and seconds to wait: doubled each time, up to ``longest``."""

    tries: int = 5
    first_wait: float = 0.5
    longest: float = 60.0


class _TryAgain(Exception):
    """A try failed in a way that another one may not."""

    def __init__(self, reason: FetchFailed, wait: float | None = None) -> None:
        super().__init__()
        self.reason = reason
        self.wait = wait


def key_of(remote: RemoteFile) -> str:
    """What names this download among others: stable, so that an interrupted one is found again."""
    identity = f"{remote.url}\n{remote.sha256}\n{remote.member}"
    return hashlib.sha256(identity.encode()).hexdigest()[:24]


def local_path(remote: RemoteFile) -> Path | None:
    """The path behind a ``file:`` address, None for any other."""
    parts = urlsplit(remote.url)
    return Path(os.fsdecode(unquote_to_bytes(parts.path))) if parts.scheme == "file" else None


def fetch(remote: RemoteFile, into: Path, progress: Progress, patience: Patience = Patience()) -> Staged:
    """Bring one file into the folder ``into`` and check it.

    The caller holds a lock on :func:`key_of` and moves :attr:`Staged.path` away. An interrupted download leaves
    ``<key>.partial``, which the next call resumes. Raises FetchFailed, FileDamaged (wrong hash or archive; nothing of it is kept), DiskFull, NotFound.
    """
    target = into / f"{key_of(remote)}.ready"
    source = local_path(remote)
    with files.explained(into):
        into.mkdir(parents=True, exist_ok=True)
    if source is not None:
        if not remote.member:
            return _copy(remote, source, target, progress)
        _check_hash(remote, _hash_of(source, remote.name, progress))
        return Staged(target, *extract(source, remote, target, progress))
    if urlsplit(remote.url).scheme not in ("http", "https"):
        raise RequestError(_("{url} is no http, https or file address.").format(url=remote.url), url=remote.url)
    partial = into / f"{key_of(remote)}.partial"
    size, digest = _Download(remote, partial, progress, patience).run()
    try:
        _check_hash(remote, digest)
        if not remote.member:
            return Staged(partial, remote.name, size, digest)
        fetched = Staged(target, *extract(partial, remote, target, progress))
    except FileDamaged:
        _forget(partial)
        raise
    _forget(partial)
    return fetched


def _copy(remote: RemoteFile, source: Path, target: Path, progress: Progress) -> Staged:
    """Copy a local file while hashing it; a file that changes meanwhile is refused."""
    with files.explained(source):
        before = source.stat()
    files.require_space(target.parent, before.st_size)
    digest = hashlib.sha256()
    copied = 0
    label = _("Copying {name}").format(name=remote.name)
    try:
        with (
            files.explained(source),
            source.open("rb") as reading,
            files.explained(target),
            target.open("wb") as writing,
            progress.step(label, before.st_size, "bytes") as step,
        ):
            while copied <= before.st_size and (block := reading.read(_BLOCK)):
                writing.write(block)
                digest.update(block)
                copied += len(block)
                step.advance(len(block))
            after = os.fstat(reading.fileno())
        _require_unchanged(source, before, after, copied)
        _check_hash(remote, digest.hexdigest())
    except BaseException:
        target.unlink(missing_ok=True)
        raise
    return Staged(target, remote.name, copied, digest.hexdigest())


def _require_unchanged(path: Path, before: os.stat_result, after: os.stat_result, copied: int) -> None:
    if copied != before.st_size or (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
        raise FileDamaged(
            _("{path} changed while it was copied.").format(path=path),
            hint=_("Wait until nothing writes to it any more and try again."),
            path=str(path),
        )


class _Download:
    """One download under way: what has arrived lies in ``partial``, what the server said of it in a note beside it."""

    def __init__(self, remote: RemoteFile, partial: Path, progress: Progress, patience: Patience) -> None:
        self._remote = remote
        self._partial = partial
        self._note = partial.with_suffix(".note")
        self._progress = progress
        self._patience = patience
        self._digest = hashlib.sha256()
        self._have = 0

    def run(self) -> tuple[int, str]:
        """Bytes and SHA-256 of the whole file."""
        from ultralab.system import http  # httpx

        label = _("Downloading {name}").format(name=self._remote.name)
        with http.internet_client() as client, self._progress.step(label, self._remote.size, "bytes") as step:
            self._take_up(step)
            failures = 0
            while True:
                before = self._have
                try:
                    self._once(client, step)
                    return self._have, self._digest.hexdigest()
                except _TryAgain as again:
                    failures = 1 if self._have > before else failures + 1
                    if failures >= self._patience.tries:
                        raise self._given_up(again.reason) from again
                    wait = self._patience.first_wait * 2 ** (failures - 1) if again.wait is None else again.wait
                    clock.sleep(min(wait, self._patience.longest))

    def _take_up(self, step: Step) -> None:
        """Hash what an earlier call left, if it can be trusted to be the beginning of the same file."""
        if not (self._remote.sha256 or self._validator()):
            self._start_over(step)
        elif self._partial.exists():
            with files.explained(self._partial), self._partial.open("rb") as stream:
                while block := stream.read(_BLOCK):
                    self._digest.update(block)
                    self._have += len(block)
                    step.advance(len(block))

    def _start_over(self, step: Step) -> None:
        step.advance(-self._have)
        self._have, self._digest = 0, hashlib.sha256()
        _forget(self._partial)

    def _once(self, client: httpx.Client, step: Step) -> None:
        from ultralab.system import http

        headers = {"Accept-Encoding": "identity"}
        if self._have:
            headers["Range"] = f"bytes={self._have}-"
            if validator := self._validator():
                headers["If-Range"] = validator
        try:
            with http.explained(self._remote.url), client.stream("GET", self._remote.url, headers=headers) as answer:
                total = self._accept(answer, step)
                if total is not None:
                    self._receive(answer, total, step)
        except FetchFailed as error:
            if "status" in error.data:
                raise
            raise _TryAgain(error) from error

    def _accept(self, answer: httpx.Response, step: Step) -> int | None:
        """Judge an answer's head: the file's total size (-1 unknown), or None where nothing is left to receive."""
        status = answer.status_code
        if status in _RETRIED:
            raise _TryAgain(self._failed(_("answered {status}").format(status=status)), _retry_after(answer))
        if status == 416:
            total = answer.headers.get("content-range", "").rpartition("/")[2]
            if total == str(self._have):
                return None
            self._start_over(step)
            raise _TryAgain(self._failed(_("answered {status}").format(status=status)), 0)
        answer.raise_for_status()
        match = _RANGE.match(answer.headers.get("content-range", "")) if status == 206 else None
        if status == 206 and (match is None or int(match.group(1)) != self._have):
            self._start_over(step)
            raise _TryAgain(self._failed(_("sent another part than it was asked for")))
        if match is None:
            self._start_over(step)
            length = answer.headers.get("content-length", "")
            total_size = int(length) if length.isdecimal() else -1
        else:
            total_size = int(match.group(2)) if match.group(2) != "*" else -1
        etag = answer.headers.get("etag", "")
        files.write(self._note, json.dumps({"validator": "" if etag.startswith("W/") else etag}))
        return total_size

    def _receive(self, answer: httpx.Response, total: int, step: Step) -> None:
        if total >= 0:
            files.require_space(self._partial.parent, total - self._have)
        with files.explained(self._partial), self._partial.open("ab") as stream:
            for block in answer.iter_raw():  # as it arrives: gathering would lose the last part of a dropped connection
                stream.write(block)
                self._digest.update(block)
                self._have += len(block)
                step.advance(len(block))
        if 0 <= total != self._have:
            raise _TryAgain(self._failed(_("ended after {have} of {total} bytes").format(have=self._have, total=total)))

    def _validator(self) -> str:
        try:
            return str(json.loads(self._note.read_text())["validator"])
        except (OSError, ValueError, KeyError, TypeError):
            return ""

    def _failed(self, what: str) -> FetchFailed:
        return FetchFailed(
            _("{url} {what}.").format(url=self._remote.url, what=what),
            hint=_("The server may be at fault: try again later."),
            url=self._remote.url,
        )

    def _given_up(self, reason: FetchFailed) -> FetchFailed:
        if not self._have:
            return reason
        hint = _("Try again later: what has arrived is kept and the download goes on from there.")
        return FetchFailed(reason.message, hint=hint, **reason.data)


def _retry_after(answer: httpx.Response) -> float | None:
    value = answer.headers.get("retry-after", "").strip()
    return float(value) if value.isdecimal() else None


def _hash_of(path: Path, name: str, progress: Progress) -> str:
    with files.explained(path):
        size = path.stat().st_size
    with progress.step(_("Checking {name}").format(name=name), size, "bytes") as step:
        return files.sha256_of(path, step.advance)


def _check_hash(remote: RemoteFile, found: str) -> None:
    if remote.sha256 and found != remote.sha256.lower():
        raise FileDamaged(
            _("{url} is not what its source promised: SHA-256 {found}, expected {expected}.").format(
                url=remote.url, found=found, expected=remote.sha256
            ),
            hint=_("Nothing of it was kept. Try again; if it stays so, a proxy or a mirror delivers wrong bytes."),
            url=remote.url,
            found=found,
            expected=remote.sha256,
        )


def _forget(partial: Path) -> None:
    partial.unlink(missing_ok=True)
    partial.with_suffix(".note").unlink(missing_ok=True)
