"""Answers of servers that speak HTTP, made into values, or into EngineFailed where they are none."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from ultralab.engines.clients import failures
from ultralab.kernel.errors import FetchFailed
from ultralab.kernel.language import _
from ultralab.system import http

if TYPE_CHECKING:
    import httpx

LONGEST_LINE: Final = 16 * 1024 * 1024
"""Bytes of one line of a stream: no server sends a piece of an answer that is larger."""

_LONGEST_ERROR: Final = 65_536


@contextmanager
def explained(path: str) -> Iterator[None]:
    """Turn transport errors and malformed answers into EngineFailed. ``path`` is what was asked."""
    try:
        with http.explained(path):
            yield
    except FetchFailed as error:
        raise failures.silent(error.message) from error
    except (AttributeError, KeyError, IndexError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise failures.unreadable(path, error) from error


def client(base_url: str, secret: str = "", *, timeout: float = 0) -> httpx.Client:
    """``system.http.server_client``. Raises EngineFailed for what is no address."""
    with explained(base_url):
        return http.server_client(base_url, secret, timeout=timeout)


def require_success(answer: httpx.Response) -> None:
    """Raise EngineFailed with the server's own reason unless it answered 200; its data has ``status``."""
    if answer.status_code == 200:
        return
    reason = ""
    if not answer.is_redirect:
        body = _start_of(answer)
        try:
            reason = reason_in(json.loads(body))
        except ValueError:
            reason = "" if _is_page(answer, body) else body.decode(errors="replace").strip()
    raise failures.refused(reason or f"{answer.status_code} {answer.reason_phrase}", answer.status_code)


def _is_page(answer: httpx.Response, body: bytes) -> bool:
    """Whether a page for a browser came: nothing in it says in a line what went wrong."""
    return "html" in answer.headers.get("content-type", "") or body.lstrip()[:1] == b"<"


def reason_in(found: object) -> str:
    """What went wrong, from an error object; empty where it holds none.

    ``{"error": {"message": …}}`` is OpenAI's, ``{"error": "…"}`` LM Studio's and Ollama's, ``{"message": …}`` an older
    vLLM's, ``{"detail": …}`` FastAPI's.
    """
    if not isinstance(found, dict):
        return ""
    inner = found.get("error") or found.get("detail")
    if isinstance(inner, dict):
        inner = inner.get("message") or inner
    if not inner and isinstance(found.get("message"), str):
        inner = found["message"]
    return str(inner) if inner else ""


def object_of(answer: httpx.Response) -> dict[str, Any]:
    """The JSON object that a successful answer holds, for use inside :func:`explained`."""
    require_success(answer)
    found = answer.json()
    if not isinstance(found, dict):
        raise TypeError(type(found).__name__)
    if "error" in found and (reason := reason_in(found)):  # LM Studio answers 200 to a path that it does not know
        raise failures.refused(reason)
    return found


def lines(answer: httpx.Response, most: int = LONGEST_LINE) -> Iterator[str]:
    """The lines of a stream, ended by line feeds alone. Raises ValueError for one that is longer than ``most`` bytes.

    Not httpx's own: those are split at U+2028 and its like, too, which JSON text may hold as they are.
    """
    rest = bytearray()
    for block in answer.iter_bytes():
        rest += block
        if b"\n" in block:
            *whole, last = rest.split(b"\n")
            rest = bytearray(last)
            for line in whole:
                yield line.decode().rstrip("\r")
        if len(rest) > most:
            raise ValueError(_("a line of more than {most} bytes").format(most=most))
    if rest:
        yield rest.decode().rstrip("\r")


def unit(vector: Sequence[float]) -> tuple[float, ...]:
    """The vector with length 1. Raises ValueError for one that has no direction."""
    numbers = [float(one) for one in vector]
    length = math.hypot(*numbers)
    if not math.isfinite(length) or length == 0:
        raise ValueError(_("a vector without a direction"))
    return tuple(one / length for one in numbers)


def count(found: Mapping[str, Any], name: str) -> int:
    """A number that may be missing or null: then 0."""
    return int(found.get(name) or 0)


def _start_of(answer: httpx.Response) -> bytes:
    kept = b""
    if answer.is_stream_consumed:
        return answer.content[:_LONGEST_ERROR]
    for block in answer.iter_bytes():
        kept += block
        if len(kept) >= _LONGEST_ERROR:
            break
    return kept[:_LONGEST_ERROR]
