"""What the head of an HTTP answer says of a file, and what follows from it. Pure: strings in, values out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from ultralab.models.download.partial import Identity, usable_validator

_RANGE: Final = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)", re.IGNORECASE)
_NOTHING: Final = re.compile(r"bytes \*/(\d{1,18})", re.IGNORECASE)
_BUSY: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
_REFUSED: Final = frozenset({401, 403, 404, 410})


@dataclass(frozen=True)
class Head:
    """The head of an answer. ``first`` is the part's first byte, ``total`` the whole file's size; None where not said.

    ``covers`` is whether a part is the whole file, ``tag`` a strong entity tag, ``changed`` the Last-Modified date, ``encoded`` a content coding that was not asked for.
    """

    status: int
    first: int | None = None
    total: int | None = None
    covers: bool = False
    tag: str = ""
    changed: str = ""
    encoded: str = ""


def read_head(status: int, headers: Mapping[str, str]) -> Head:
    """Read a status and headers (asked for in lower case)."""
    tag = headers.get("etag", "").strip()
    first, total, covers = None, None, False
    if status == 206 and (match := _RANGE.fullmatch(headers.get("content-range", "").strip())):
        first = int(match[1])
        total = int(match[3]) if match[3] != "*" else None
        if total is not None and not first <= int(match[2]) < total:
            first = None
        covers = first == 0 and total == int(match[2]) + 1
    elif status == 416 and (match := _NOTHING.fullmatch(headers.get("content-range", "").strip())):
        total = int(match[1])
    elif status == 200 and re.fullmatch(r"\d{1,18}", length := headers.get("content-length", "").strip()):
        total = int(length)
    coding = headers.get("content-encoding", "").strip().lower()
    return Head(
        status,
        first,
        total,
        covers,
        usable_validator("" if tag.upper().startswith("W/") else tag),
        usable_validator(headers.get("last-modified", "").strip()),
        "" if coding == "identity" else coding,
    )


class Verdict(Enum):
    """What to do with an answer to a request for a part."""

    TAKE = auto()  # its body is the part, from its first byte on
    CHANGED = auto()  # it is of another version of the file: everything starts over
    WRONG_PART = auto()  # a part, but not the one that was asked for: ask again
    BUSY = auto()  # ask again later
    REFUSED = auto()  # no access, or no such file
    FAILED = auto()  # any other status


def judge_part(head: Head, start: int, known: Identity) -> Verdict:
    """Judge an answer to a request for the bytes from ``start`` of a file that is known."""
    if (trouble := judge_status(head)) is not None:
        return trouble
    if head.status in (200, 416) or head.encoded:
        return Verdict.CHANGED
    if head.first is None or head.total is None or head.first != start:
        return Verdict.WRONG_PART
    if head.total != known.size:
        return Verdict.CHANGED
    if known.validator and known.validator not in (head.tag, head.changed):
        return Verdict.CHANGED
    return Verdict.TAKE


def judge_status(head: Head) -> Verdict | None:
    """What a status alone decides; None where the rest of the head has to be looked at."""
    if head.status in _BUSY:
        return Verdict.BUSY
    if head.status in _REFUSED:
        return Verdict.REFUSED
    return None if head.status in (200, 206, 416) else Verdict.FAILED


class Way(Enum):
    """How a file is fetched that nothing is known of yet."""

    PARTS = auto()  # by ranges; this answer is the first part
    WHOLE = auto()  # by one stream; this answer is it
    AGAIN = auto()  # by one stream; it must be asked for without a range
    EMPTY = auto()  # there is nothing to fetch


def choose_way(head: Head, *, hashed: bool) -> Way:
    """Judge the answer to the first request, for the first part. ``hashed``: the SHA-256 is known.

    Without a hash, and without a word of the server that tells versions apart, parts might be of different files.
    """
    if head.status == 416:
        return Way.EMPTY if head.total == 0 else Way.AGAIN
    if head.status == 200:
        return Way.WHOLE
    parts = head.first == 0 and head.total is not None and not head.encoded
    if parts and (hashed or head.tag or head.changed):
        return Way.PARTS
    return Way.WHOLE if parts and head.covers else Way.AGAIN


def identity_of(head: Head, address: str, *, hashed: bool) -> Identity:
    """What to remember of a file that comes by parts. A date is a weak word: it counts only where nothing better is."""
    return Identity(head.total or 0, address, head.tag or ("" if hashed else head.changed))
