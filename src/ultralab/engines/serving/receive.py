"""The body of one HTTP request, read whole: of a known length, or in chunks (RFC 9112, "Message Body Length")."""

from __future__ import annotations

import re
from collections.abc import Iterator
from email.message import Message
from typing import Final, Protocol

from ultralab.engines.serving.answer import Gone
from ultralab.engines.serving.fields import Refused

LONGEST: Final = 64 * 1024 * 1024
"""The most bytes of a body."""

_LONGEST_LINE: Final = 4096
_MOST_TRAILERS: Final = 100
_SIZE: Final = re.compile(rb"([0-9a-fA-F]{1,15})[ \t]*(?:;.*)?\r?\n", re.DOTALL)


class Source(Protocol):
    """Where bytes come from: a file-like object that waits for them."""

    def read(self, size: int, /) -> bytes:
        """So many bytes, fewer only at the end."""

    def readline(self, size: int, /) -> bytes:
        """A line with its end, of so many bytes at most."""


def content(headers: Message, source: Source, needed: bool) -> bytes:
    """The body; ``needed``: a request without one is refused. Raises Refused, and Gone where it ends too soon.

    What says its length in two ways is refused: servers in front of us and we might read it differently.
    """
    coding = headers.get_all("Transfer-Encoding", [])
    lengths = set(headers.get_all("Content-Length", []))
    if coding:
        if lengths or [one.strip().lower() for one in coding] != ["chunked"]:
            raise Refused("Transfer-Encoding must be chunked, without a Content-Length.")
        return b"".join(_chunks(source))
    if not lengths:
        if needed:
            raise Refused("Content-Length is missing.", status=411)
        return b""
    length = lengths.pop()
    if lengths or not (length.isascii() and length.isdigit()):
        raise Refused("Content-Length is no number.")
    size = int(length) if len(length) < 20 else LONGEST + 1
    _require_room(size)
    return _exactly(source, size)


def _chunks(source: Source) -> Iterator[bytes]:
    total = 0
    while size := _size(source.readline(_LONGEST_LINE)):
        total += size
        _require_room(total)
        yield _exactly(source, size)
        if source.readline(2).strip(b"\r\n"):
            raise Refused("A chunk of the body is longer than it says.")
    for _number in range(_MOST_TRAILERS):
        if not source.readline(_LONGEST_LINE).strip(b"\r\n"):
            return
    raise Refused("The body has too many trailers.")


def _size(line: bytes) -> int:
    if not line:
        raise Gone
    found = _SIZE.fullmatch(line)
    if found is None:
        raise Refused("A chunk of the body does not say its size.")
    return int(found[1], 16)


def _require_room(size: int) -> None:
    if size > LONGEST:
        raise Refused(f"The body is larger than {LONGEST} bytes.", status=413)


def _exactly(source: Source, size: int) -> bytes:
    found = source.read(size)
    if len(found) < size:
        raise Gone
    return found
