"""A remote file as a seekable stream, by HTTP range requests: for reading an archive's table of contents."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from ultralab.kernel.errors import FetchFailed
from ultralab.kernel.language import _

if TYPE_CHECKING:
    import httpx

_TAIL: Final = 64 * 1024
_MOST: Final = 64 * 1024 * 1024
_TOTAL: Final = re.compile(r"bytes (\d+)-(\d+)/(\d+)")


class RangedFile(io.RawIOBase):
    """Reads parts of one address. Its last 64 KiB, where a zip keeps its contents, are fetched once."""

    def __init__(self, client: httpx.Client, url: str, tail: bytes, size: int) -> None:
        super().__init__()
        self._client = client
        self._url = url
        self._tail = tail
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

    def read(self, size: int = -1) -> bytes:
        """Bytes from here: out of the tail, else by one request. Raises FetchFailed."""
        end = self._size if size < 0 else min(self._size, self._at + size)
        if self._at >= end:
            return b""
        tail_start = self._size - len(self._tail)
        if self._at >= tail_start:
            taken = self._tail[self._at - tail_start : end - tail_start]
        else:
            taken = self._request(self._at, end)
        self._at += len(taken)
        return taken

    def _request(self, start: int, end: int) -> bytes:
        if end - start > _MOST:
            raise ValueError(end - start)
        answer = _part(self._client, self._url, f"bytes={start}-{end - 1}")
        if answer is None or len(answer[0]) != end - start:
            raise FetchFailed(
                _("{url} sent another part than it was asked for.").format(url=self._url),
                hint=_("Try again later."),
                url=self._url,
            )
        return answer[0]


@contextmanager
def open_ranged(url: str) -> Iterator[RangedFile | None]:
    """Open an address for reading in parts; None where its server does not send parts. Raises FetchFailed."""
    from ultralab.system import http  # httpx

    with http.internet_client() as client, http.explained(url):
        answer = _part(client, url, f"bytes=-{_TAIL}")
        yield None if answer is None else RangedFile(client, url, *answer)


def _part(client: httpx.Client, url: str, span: str) -> tuple[bytes, int] | None:
    """The bytes of a range and the file's total size; None, without reading on, where a whole file would come."""
    with client.stream("GET", url, headers={"Range": span, "Accept-Encoding": "identity"}) as answer:
        match = _TOTAL.match(answer.headers.get("content-range", ""))
        if answer.status_code == 416 or (answer.is_success and answer.status_code != 206):
            return None
        answer.raise_for_status()
        if match is None or int(match[2]) - int(match[1]) >= _MOST:
            return None
        return answer.read(), int(match[3])
