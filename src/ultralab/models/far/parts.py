"""One range request and its answer, judged: exactly the part that was asked for, or an error that says what came."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ultralab.kernel.errors import FetchFailed
from ultralab.kernel.language import _
from ultralab.models.download.failures import refused
from ultralab.system import clock

if TYPE_CHECKING:
    import httpx

_RANGE: Final = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)")
_BUSY: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
_REFUSED: Final = frozenset({401, 403, 404, 410})
_LONGEST_SECONDS: Final = 120


@dataclass(frozen=True)
class Part:
    """Bytes of a far file from ``start``; ``total`` is the file's size, None where the answer does not say it.

    ``is_whole``: the server sent everything, asked for a part. ``etag`` is its strong version mark, or empty.
    """

    start: int
    content: bytes
    total: int | None
    etag: str
    is_whole: bool = False


def ask(
    client: httpx.Client,
    url: str,
    span: str,
    start: int | None,
    count: int,
    *,
    token: str = "",
    realm: str = "",
    whole: int = 0,
) -> Part | None:
    """Ask for ``span`` (``count`` bytes from ``start``; None: counted from the end).

    None where the server would send the whole file and it is longer than ``whole`` bytes: nothing more of it is read.
    Raises FetchFailed; NotFound and RequestError (no access) in the downloader's words.
    """
    from ultralab.system import http  # httpx

    with http.explained(url), client.stream("GET", url, headers=_headers(span, token)) as answer:
        if answer.status_code == 416:
            return _beyond(answer, url, start)
        if answer.status_code in _REFUSED:
            raise refused(url, answer.status_code, realm=realm, with_token=bool(token))
        answer.raise_for_status()
        if answer.headers.get("content-encoding", "identity") != "identity":
            raise failed(url, _("sends the file packed although it was asked not to"))
        if answer.status_code != 206:
            return _everything(answer, url, whole)
        return _part(answer, url, start, count)


class Flow:
    """An answer that is still coming: a part of a far file, block by block. Whoever has enough closes it.

    Then its connection closes too: the rest of the part, but for what is on its way, is not sent.
    """

    def __init__(self, answer: httpx.Response, url: str, part: Part, count: int) -> None:
        self.part = part
        self._answer = answer
        self._url = url
        self._left = count
        self._blocks = answer.iter_raw()
        self._until = clock.monotonic() + _LONGEST_SECONDS

    def block(self) -> bytes:
        """What came next, empty at the part's end. Raises FetchFailed: it broke off, it sends too slowly or too much."""
        from ultralab.system import http  # httpx

        with http.explained(self._url):
            block = next(self._blocks, b"")
        self._left -= len(block)
        if self._left < 0 or (not block and self._left):
            raise failed(self._url, _("sent another part than it was asked for"))
        if clock.monotonic() > self._until:
            raise failed(self._url, _("sends too slowly"))
        return block

    def close(self) -> None:
        """Take no more of it. Idempotent."""
        self._answer.close()


def open_flow(client: httpx.Client, url: str, start: int, count: int, *, token: str = "") -> Flow | None:
    """Ask for ``count`` bytes from ``start``, to be taken as they come; None where no part is answered: :func:`ask` says why.

    Raises FetchFailed.
    """
    from ultralab.system import http  # httpx

    with http.explained(url):
        request = client.build_request("GET", url, headers=_headers(f"bytes={start}-{start + count - 1}", token))
        answer = client.send(request, stream=True)
    try:
        if answer.status_code != 206 or answer.headers.get("content-encoding", "identity") != "identity":
            answer.close()
            return None
        first, length, total = _span(answer, url, start, count)
        return Flow(answer, url, Part(first, b"", total, _etag(answer)), length)
    except BaseException:
        answer.close()
        raise


def may_be_elsewhere(error: FetchFailed) -> bool:
    """Whether another address may do: this one could not be reached, or is busy."""
    return "problem" not in error.data and error.data.get("status", 500) in _BUSY


def failed(url: str, what: str, hint: str = "") -> FetchFailed:
    """The error about an answer that is not what it should be."""
    return FetchFailed(
        _("{url} {what}.").format(url=url, what=what),
        hint=hint or _("The server may be at fault: try again later."),
        url=url,
        problem="answer",
    )


def _headers(span: str, token: str) -> dict[str, str]:
    headers = {"Range": span, "Accept-Encoding": "identity"}
    return {**headers, "Authorization": f"Bearer {token}"} if token else headers


def _part(answer: httpx.Response, url: str, start: int | None, count: int) -> Part:
    first, length, total = _span(answer, url, start, count)
    content = _body(answer, url, length)
    if content is None or len(content) != length:
        raise failed(url, _("sent another part than it was asked for"))
    return Part(first, content, total, _etag(answer))


def _span(answer: httpx.Response, url: str, start: int | None, count: int) -> tuple[int, int, int | None]:
    """The part that the answer says it is: its first byte, its length, and the file's size."""
    match = _RANGE.fullmatch(answer.headers.get("content-range", "").strip())
    if match is None:
        raise failed(url, _("sent another part than it was asked for"))
    first, last = int(match[1]), int(match[2])
    total = None if match[3] == "*" else int(match[3])
    length = last - first + 1
    fits = first == start if start is not None else total == last + 1
    if not fits or not 0 < length <= count or (total is not None and last >= total):
        raise failed(url, _("sent another part than it was asked for"))
    return first, length, total


def _everything(answer: httpx.Response, url: str, whole: int) -> Part | None:
    length = answer.headers.get("content-length", "")
    if not whole or (length.isdecimal() and int(length[:18]) > whole):
        return None
    content = _body(answer, url, whole)
    return None if content is None else Part(0, content, len(content), _etag(answer), is_whole=True)


def _beyond(answer: httpx.Response, url: str, start: int | None) -> Part | None:
    """The answer 416: an empty file has no first byte."""
    total = answer.headers.get("content-range", "").strip()
    if start in (0, None) and total == "bytes */0":
        return Part(0, b"", 0, _etag(answer))
    if start is None:
        return None
    raise failed(url, _("is shorter than it was said to be"))


def _body(answer: httpx.Response, url: str, most: int) -> bytes | None:
    """The body, None as soon as it is longer than ``most``."""
    content = bytearray()
    until = clock.monotonic() + _LONGEST_SECONDS
    for block in answer.iter_raw():
        content += block
        if len(content) > most:
            return None
        if clock.monotonic() > until:
            raise failed(url, _("sends too slowly"))
    return bytes(content)


def _etag(answer: httpx.Response) -> str:
    etag = str(answer.headers.get("etag", ""))
    return "" if etag.startswith("W/") else etag
