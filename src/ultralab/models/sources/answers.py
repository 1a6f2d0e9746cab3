"""What a hub answers, distrusted: bounded in bytes and time, never compressed, never an endless chain of redirects."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from ultralab.kernel.errors import FetchFailed, RequestError
from ultralab.kernel.language import _
from ultralab.kernel.text import printable
from ultralab.kernel.units import format_bytes
from ultralab.system import clock

if TYPE_CHECKING:
    import httpx

MOST_BYTES: Final = 64 * 1024 * 1024
MOST_SECONDS: Final = 120
_MOST_TEXT: Final = 10_000
BUSY: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Statuses that say nothing of what was asked for: a mirror may know it."""


@dataclass(frozen=True)
class Answer:
    """A whole answer: status, headers (names in lower case), body, and the address that it came from in the end."""

    url: str
    status: int
    headers: Mapping[str, str]
    body: bytes


def ask(
    url: str,
    *,
    token: str = "",
    headers: Mapping[str, str] | None = None,
    most: int = MOST_BYTES,
    beginning: bool = False,
) -> Answer:
    """GET an address. ``token`` goes to its host alone: a redirect to another host does not carry it.

    ``most`` bounds the body in bytes; with ``beginning`` the rest is left unread instead. Statuses are the caller's
    business, but for those in BUSY. Raises FetchFailed (unreachable, busy, too slow), RequestError (too much, a redirect loop).
    """
    from ultralab.system import http  # httpx

    sent = {"Accept-Encoding": "identity", **(headers or {})}
    if token:
        sent["Authorization"] = f"Bearer {token}"
    try:
        with (
            http.internet_client() as client,
            http.explained(url),
            client.stream("GET", url, headers=sent) as answer,
        ):
            body = b"" if answer.status_code in BUSY else _body(answer, url, most, beginning=beginning)
            found = Answer(str(answer.url), answer.status_code, dict(answer.headers), body)
    except FetchFailed as error:
        if type(error.__cause__).__name__ == "TooManyRedirects":
            raise looping(url) from error
        raise
    if found.status in BUSY:
        raise busy(url, found.status, found.headers)
    return found


def ask_object(url: str, *, token: str = "", headers: Mapping[str, str] | None = None) -> tuple[Answer, dict[str, Any]]:
    """The answer, and the JSON object that it holds where its status is 200 (else empty). Raises what :func:`ask` does."""
    answer = ask(url, token=token, headers={"Accept": "application/json", **(headers or {})})
    return answer, (read_object(answer.body, url) if answer.status == 200 else {})


def read_object(body: bytes, url: str) -> dict[str, Any]:
    """The JSON object in an answer. Raises FetchFailed."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise not_understood(url) from error
    if not isinstance(found, dict):
        raise not_understood(url)
    return found


def failed(url: str, status: int) -> FetchFailed:
    """The error for a status that nobody expected."""
    return FetchFailed(
        _("{url} answered {status}.").format(url=url, status=status),
        hint=_("Check the address; if it is right, the server may be at fault: try later."),
        url=url,
        status=status,
    )


def busy(url: str, status: int, headers: Mapping[str, str]) -> FetchFailed:
    """The error for a server that has no time."""
    wait = headers.get("retry-after", "")
    hint = (
        _("It asks to wait {seconds} seconds.").format(seconds=int(wait))
        if wait.isdecimal() and len(wait) < 7
        else _("The server may be at fault: try again later.")
    )
    return FetchFailed(_("{url} answered {status}.").format(url=url, status=status), hint=hint, url=url, status=status)


def not_understood(url: str) -> FetchFailed:
    """The error for an answer of another shape than documented."""
    return FetchFailed(
        _("The answer of {url} cannot be understood.").format(url=url),
        hint=_("The address may not be such a server, or a proxy or a login page stands between."),
        url=url,
    )


def too_much(url: str) -> RequestError:
    """The error for an answer without end."""
    return RequestError(
        _("{url} answered with more than {most}: refused.").format(url=url, most=format_bytes(MOST_BYTES)),
        hint=_("No list of files is that long. Check that the address is such a server."),
        url=url,
    )


def too_slow(url: str) -> FetchFailed:
    """The error for an answer that drips."""
    return FetchFailed(
        _("{url} did not finish its answer in {seconds} seconds.").format(url=url, seconds=MOST_SECONDS),
        hint=_("Try again later."),
        url=url,
    )


def looping(url: str) -> RequestError:
    """The error for redirects that lead nowhere."""
    return RequestError(
        _("{url} only leads from one address to the next: refused.").format(url=url),
        hint=_("Check the address; if it is right, the server or a proxy is set up wrong."),
        url=url,
    )


def host_of(url: str) -> str:
    """The host in an address, in lower case; empty where there is none."""
    try:
        return (urlsplit(url).hostname or "").lower()
    except ValueError:
        return ""


def text(value: object, most: int = 100) -> str:
    """A short foreign text made safe to show and to keep: the first line of a string, else empty."""
    if not isinstance(value, str):
        return ""
    return printable(value[:_MOST_TEXT].strip().split("\n")[0].strip()[: 4 * most], most)


def _body(answer: httpx.Response, url: str, most: int, *, beginning: bool) -> bytes:
    if answer.headers.get("content-encoding", "identity").lower() not in ("", "identity"):
        raise not_understood(url)  # what it unpacks to is not bounded by what arrives
    end = clock.monotonic() + MOST_SECONDS
    found = bytearray()
    for block in answer.iter_raw():
        found += block
        if len(found) >= most and beginning:
            break
        if len(found) > most:
            raise too_much(url)
        if clock.monotonic() > end:
            raise too_slow(url)
    return bytes(found)
