"""A far file as a seekable stream, by HTTP range requests: for reading headers and tables of contents, not weights."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from ultralab.kernel.errors import FetchFailed
from ultralab.kernel.language import _
from ultralab.models.far.bounds import Budget, Kept
from ultralab.models.far.parts import Flow, Part, ask, failed, may_be_elsewhere, open_flow

if TYPE_CHECKING:
    import httpx

TAIL: Final = 64 * 1024
WHOLE: Final = 4 * 1024 * 1024
"""A file up to this size is read whole where a server sends no parts."""
FIRST: Final = 128 * 1024
"""Bytes of the first request: the whole header of one of DeepSeek-V3's 163 shards, and of nearly every other shard."""
_MOST_AHEAD: Final = 4 * 1024 * 1024
_MOST_AT_ONCE: Final = 16 * 1024 * 1024
"""More than what follows the first request in any usual GGUF header: gpt-oss's, with 446,189 merges, has 13 MB."""
_USUAL: Final = 64 * 1024 * 1024


class FarFile:
    """One file behind one or several addresses, and the parts of it that were fetched last.

    The ``token`` of ``realm`` goes to the first address only; httpx takes it off when a redirect leads to another host.
    The other addresses are tried in turn when one cannot be reached. ``size`` None is learned from the first answer.
    """

    def __init__(
        self,
        client: httpx.Client,
        urls: tuple[str, ...],
        *,
        size: int | None = None,
        token: str = "",
        realm: str = "",
        budget: Budget | None = None,
        kept: Kept | None = None,
    ) -> None:
        self._client = client
        self._urls = urls
        self._token = token
        self._realm = realm
        self._budget = budget or Budget(_USUAL)
        self._kept = kept or Kept()
        self._size = size
        self._answered = 0
        self._etags: dict[str, str] = {}

    @property
    def url(self) -> str:
        """The first address."""
        return self._urls[0]

    def size(self) -> int:
        """Bytes. Raises FetchFailed."""
        if self._size is None:
            self.load(0, FIRST)
        if self._size is None:
            raise failed(self.url, _("does not say how long it is"))
        return self._size

    def kept(self, at: int) -> tuple[int, bytes] | None:
        """The kept part (its start and bytes) in which byte ``at`` lies."""
        return self._kept.find(self, at)

    def load(self, start: int, count: int) -> tuple[int, bytes]:
        """Fetch ``count`` bytes from ``start``, or the whole of a small file whose server sends no parts."""
        if self._size is not None:
            count = min(count, self._size - start)
        self._budget.take(count, self.url)
        part = self._from_somewhere(f"bytes={start}-{start + count - 1}", start, count)
        self._agree(part)
        if part.is_whole:
            self._budget.take(max(0, len(part.content) - count), self.url)
        self._kept.put(self, part.start, part.content)
        return part.start, part.content

    def flow(self, start: int) -> tuple[Flow, int] | None:
        """Begin to fetch from ``start`` on, and how many bytes may come; None where :meth:`load` has to be tried.

        Whoever takes the answer hands back what did not come, and keeps what did (:meth:`keep`).
        """
        url, token, _realm = self._address(self._answered)
        count = self._budget.take_up_to(min(_MOST_AT_ONCE, self.size() - start), url)
        try:
            flow = open_flow(self._client, url, start, count, token=token)
        except FetchFailed as error:
            self._budget.give_back(count)
            if not may_be_elsewhere(error):
                raise
            return None
        if flow is None:
            self._budget.give_back(count)
            return None
        try:
            self._same_version(url, flow.part)
            self._agree(flow.part)
        except FetchFailed:
            flow.close()
            raise
        return flow, count

    def keep(self, start: int, content: bytes, unused: int) -> None:
        """Keep what came of a flow; ``unused`` bytes of it did not come."""
        self._budget.give_back(unused)
        self._kept.put(self, start, content)

    def _address(self, index: int) -> tuple[str, str, str]:
        """An address with the token and the realm that it may be told."""
        return (self._urls[index], "", "") if index else (self.url, self._token, self._realm)

    def load_tail(self) -> bool:
        """Fetch the end, where a zip archive has its table; False where the server sends no parts of a large file."""
        self._budget.take(TAIL, self.url)
        with_parts = ask(self._client, self.url, f"bytes=-{TAIL}", None, TAIL, token=self._token, realm=self._realm)
        if with_parts is None or with_parts.total is None:
            return False
        self._agree(with_parts)
        self._kept.put(self, with_parts.start, with_parts.content)
        return True

    def _from_somewhere(self, span: str, start: int, count: int) -> Part:
        """The part from the address that answered last, else from the next ones. Raises what the first one gave."""
        reasons: list[FetchFailed] = []
        order = (*range(self._answered, len(self._urls)), *range(self._answered))
        for index in (number for number in order for _attempt in range(2)):
            url, token, realm = self._address(index)
            try:
                part = ask(self._client, url, span, start, count, token=token, realm=realm, whole=WHOLE)
            except FetchFailed as error:
                if not may_be_elsewhere(error):
                    raise
                reasons.append(error)
                continue
            if part is None:
                raise failed(url, _("sends no parts of files"), _("Fetch the file first, then look at it."))
            self._answered = index
            self._same_version(url, part)
            return part
        raise reasons[0]

    def _same_version(self, url: str, part: Part) -> None:
        known = self._etags.setdefault(url, part.etag)
        if known != part.etag:
            raise failed(url, _("changed while it was read"))

    def _agree(self, part: Part) -> None:
        if part.total is None:
            return
        if self._size is not None and part.total != self._size:
            raise failed(self.url, _("has {total} bytes instead of {size}").format(total=part.total, size=self._size))
        self._size = part.total


class Seekable(io.RawIOBase):
    """A read-only stream of a known size; ``_read_at`` gives exactly what is asked for."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self._size = size
        self._at = 0

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def tell(self) -> int:
        """The current position, bytes."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move without reading."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        if start + offset < 0:
            raise ValueError(offset)
        self._at = start + offset
        return self._at

    def read(self, size: int | None = -1) -> bytes:
        """Bytes from here, as many as asked for or as there are. Raises FetchFailed."""
        end = self._size if size is None or size < 0 else min(self._size, self._at + size)
        if self._at >= end:
            return b""
        content = self._read_at(self._at, end - self._at)
        self._at += len(content)
        return content

    def read1(self, size: int) -> bytes:
        """Bytes from here, at most ``size``, as many as are to be had at once; empty at the end. Raises FetchFailed.

        For who reads forward to an end that is not known: what is far away comes as it is taken.
        """
        return self.read(size)

    def _read_at(self, at: int, count: int) -> bytes:
        raise NotImplementedError


class _Coming:
    """A flow, and what came of it so far."""

    def __init__(self, far: FarFile, start: int, flow: Flow, count: int) -> None:
        self._far = far
        self._start = start
        self._flow = flow
        self._count = count
        self._blocks: list[bytes] = []
        self._size = 0

    @property
    def end(self) -> int:
        """The next byte that will come."""
        return self._start + self._size

    @property
    def is_whole(self) -> bool:
        """Whether all that was asked for came."""
        return self._size == self._count

    def block(self) -> bytes:
        """The next bytes, empty where none come any more: another request may bring them."""
        try:
            block = self._flow.block()
        except FetchFailed as error:
            if not may_be_elsewhere(error):
                raise
            return b""
        self._blocks.append(block)
        self._size += len(block)
        return block

    def close(self) -> None:
        """Take no more, and keep what came."""
        self._flow.close()
        self._far.keep(self._start, b"".join(self._blocks), self._count - self._size)


class RangedFile(Seekable):
    """Reads parts of a far file: what was fetched is kept a while, and reading on fetches more and more ahead.

    ``read1`` reads on in one request, which is ended as soon as nobody wants more of it.
    """

    def __init__(self, far: FarFile) -> None:
        super().__init__(far.size())
        self._far = far
        self._ahead = FIRST
        self._next = -1
        self._start = 0
        self._content = b""
        self._coming: _Coming | None = None

    def close(self) -> None:
        """Fetch no more. Idempotent."""
        self._stop()
        super().close()

    def read1(self, size: int) -> bytes:
        """As :class:`Seekable` says. Only who reads on, behind what was fetched, keeps a request open."""
        at = self.tell()
        if at >= self._size:
            return b""
        if not self._start <= at < self._start + len(self._content):
            self._start, self._content = self._far.kept(at) or self._on(at) or self._fetched(at, min(size, FIRST))
        return self.read(min(size, self._start + len(self._content) - at))

    def _on(self, at: int) -> tuple[int, bytes] | None:
        """The next block of the open request, or the first one of another; None where another way has to be tried.

        What is passed over on the way is taken too: asking anew takes longer, and the next reader may want it.
        """
        held = self._coming.end if self._coming else self._start + len(self._content)
        if not held or not held <= at < held + _MOST_AHEAD:
            return None
        if self._coming is None:
            begun = self._far.flow(held)
            if begun is None:
                return None
            self._coming = _Coming(self._far, held, *begun)
        while block := self._coming.block():
            end = self._coming.end
            if at < end:
                return end - len(block), block
        end, is_whole = self._coming.end, self._coming.is_whole
        self._stop()
        if not is_whole:
            return None
        self._start, self._content = end, b""
        return self._on(at)

    def _stop(self) -> None:
        if self._coming is not None:
            self._coming.close()
            self._coming = None

    def _read_at(self, at: int, count: int) -> bytes:
        pieces: list[bytes] = []
        while count:
            if not self._start <= at < self._start + len(self._content):
                self._start, self._content = self._far.kept(at) or self._fetched(at, count)
            piece = self._content[at - self._start : at - self._start + count]
            if not piece:
                raise failed(self._far.url, _("sent another part than it was asked for"))
            pieces.append(piece)
            at, count = at + len(piece), count - len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _fetched(self, at: int, count: int) -> tuple[int, bytes]:
        if at == self._next:
            self._ahead = min(2 * self._ahead, _MOST_AHEAD)
        else:
            self._ahead = FIRST
        wanted = max(self._ahead, min(count, _MOST_AT_ONCE))
        start = at
        if self._size - at < FIRST and at != self._next:  # an archive is read from its end
            start = max(0, self._size - FIRST)
        start, content = self._far.load(start, wanted + at - start)
        self._next = start + len(content)
        return start, content


@contextmanager
def open_ranged(url: str) -> Iterator[RangedFile | None]:
    """Open an address for reading in parts, its end first; None where its server sends no parts. Raises FetchFailed."""
    from ultralab.system import http  # httpx

    with http.internet_client() as client:
        far = FarFile(client, (url,))
        yield RangedFile(far) if far.load_tail() else None
