"""How ``huggingface_hub`` speaks to a hub on our behalf: with the system's certificates, a time limit, and bounded answers.

It has an HTTP client of its own (``httpx2``) and reads every answer whole; ``set_client_factory`` is its documented
place for another one. The bounds hold inside :func:`bounded` only: other parts of this process may use the library too.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from ultralab.models.sources.answers import MOST_BYTES, MOST_SECONDS, not_understood, too_much, too_slow
from ultralab.system import clock

if TYPE_CHECKING:
    import httpx2

_bounded: ContextVar[bool] = ContextVar("_bounded", default=False)


@contextmanager
def bounded() -> Iterator[None]:
    """While the block runs, ``huggingface_hub`` uses our client; its connections are closed at the end."""
    from huggingface_hub import close_session, set_client_factory

    set_client_factory(_client)
    token = _bounded.set(True)
    try:
        yield
    finally:
        _bounded.reset(token)
        close_session()


def _client() -> httpx2.Client:
    import httpx2
    import truststore

    return httpx2.Client(
        headers={"Accept-Encoding": "identity"},
        verify=truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
        follow_redirects=True,
        timeout=httpx2.Timeout(30, read=60),
        event_hooks={"request": [_require_online], "response": [_bound]},
    )


def _require_online(request: httpx2.Request) -> None:
    """``HF_HUB_OFFLINE`` holds, as it does with the library's own client."""
    from huggingface_hub import is_offline_mode
    from huggingface_hub.errors import OfflineModeIsEnabled

    if is_offline_mode():
        raise OfflineModeIsEnabled(str(request.url))


def _bound(response: httpx2.Response) -> None:
    import httpx2

    if not _bounded.get() or not isinstance(response.stream, httpx2.SyncByteStream):
        return
    url = str(response.request.url)
    if response.headers.get("content-encoding", "identity").lower() not in ("", "identity"):
        raise not_understood(url)  # what it unpacks to is not bounded by what arrives
    inner = response.stream

    class Bounded(httpx2.SyncByteStream):
        """The same bytes, up to the limits."""

        def __iter__(self) -> Iterator[bytes]:
            left, end = MOST_BYTES, clock.monotonic() + MOST_SECONDS
            for block in inner:
                left -= len(block)
                if left < 0:
                    raise too_much(url)
                if clock.monotonic() > end:
                    raise too_slow(url)
                yield block

        def close(self) -> None:
            inner.close()

    response.stream = Bounded()
