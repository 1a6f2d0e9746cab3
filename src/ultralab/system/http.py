"""The one door to HTTP: clients with the system's certificates, sane time limits and translated errors."""

from __future__ import annotations

import socket
import ssl
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import httpx
import truststore

from ultralab import __version__
from ultralab.kernel.errors import FetchFailed
from ultralab.kernel.language import _
from ultralab.system import addresses

_AGENT: Final = {"User-Agent": f"ultralab/{__version__}"}


def internet_client(*, connections: int = 10, read_timeout: float = 60) -> httpx.Client:
    """A client for public servers: system certificates, the user's proxies, redirects followed.

    ``connections`` are kept open at most; ``read_timeout`` seconds without a byte are too long.
    """
    return httpx.Client(
        headers=_AGENT,
        verify=truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
        follow_redirects=True,
        timeout=httpx.Timeout(30, connect=min(30, read_timeout), read=read_timeout),
        limits=httpx.Limits(max_connections=None, max_keepalive_connections=connections),
    )


def loopback_client(base_url: str, secret: str = "", read_timeout: float = 600) -> httpx.Client:
    """A client for a server on this machine: never through a proxy, with a bearer secret if one is given."""
    headers = {**_AGENT, **({"Authorization": f"Bearer {secret}"} if secret else {})}
    return httpx.Client(
        base_url=base_url,
        headers=headers,
        trust_env=False,
        timeout=httpx.Timeout(10, read=read_timeout),
    )


def server_client(base_url: str, secret: str = "", *, timeout: float = 0, read_timeout: float = 1800) -> httpx.Client:
    """A client for a model server, with a bearer secret if one is given. Redirects are not followed.

    On this machine or in the own network never through a proxy; elsewhere with the system's certificates and the user's
    proxies. Connecting is quick or fails (5 s); ``read_timeout`` seconds without a byte are a long prompt being read.
    ``timeout`` is for each of these, where it is given.
    """
    return httpx.Client(
        base_url=base_url,
        headers={**_AGENT, **({"Authorization": f"Bearer {secret}"} if secret else {})},
        trust_env=not addresses.is_near(base_url),
        verify=truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if base_url.startswith("https:") else False,
        timeout=httpx.Timeout(timeout) if timeout else httpx.Timeout(60, connect=5, read=read_timeout),
    )


def limit_receiving(answer: httpx.Response, most: int) -> None:
    """Let the system hold at most about ``most`` bytes of an answer that nobody has read: they are lost when we die."""
    if (connection := _socket_of(answer)) is not None:
        asked = most // 2 if sys.platform == "linux" else most  # Linux doubles it: socket(7), SO_RCVBUF
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, asked)


def hang_up(answer: httpx.Response) -> None:
    """End a connection from another thread: whoever waits for its next byte gets an error instead."""
    if (connection := _socket_of(answer)) is not None:
        try:
            socket.socket.shutdown(connection, socket.SHUT_RDWR)  # SSLSocket's own would pull its state from the reader
        except OSError:
            return  # it ended by itself


def same_origin(one: str, other: str) -> bool:
    """Whether two addresses have the same scheme, host and port: only then may one be told the other's secrets."""
    try:
        first, second = httpx.URL(one), httpx.URL(other)
    except httpx.InvalidURL:
        return False
    usual = {"http": 80, "https": 443}
    return (first.scheme, first.host, first.port or usual.get(first.scheme)) == (
        second.scheme,
        second.host,
        second.port or usual.get(second.scheme),
    )


def is_wrongly_packed(error: BaseException) -> bool:
    """Whether a body was not compressed in the way that its head said."""
    return isinstance(error, httpx.DecodingError)


def _socket_of(answer: httpx.Response) -> socket.socket | None:
    """The connection below an answer (httpx, "Extensions": network_stream); None once it is closed."""
    stream = answer.extensions.get("network_stream")
    found = stream.get_extra_info("socket") if stream is not None else None
    return found if isinstance(found, socket.socket) and found.fileno() >= 0 else None


@contextmanager
def explained(url: str) -> Iterator[None]:
    """Turn httpx's errors about ``url`` into FetchFailed.

    Its data has ``status`` where the server answered with one, and ``cause`` where trying again is of no use:
    ``certificate`` or ``redirects``.
    """
    try:
        yield
    except httpx.HTTPStatusError as error:
        raise FetchFailed(
            _("{url} answered {status}.").format(url=url, status=error.response.status_code),
            hint=_("Check the address; if it is right, the server may be at fault: try later."),
            url=url,
            status=error.response.status_code,
        ) from error
    except httpx.TooManyRedirects as error:
        raise FetchFailed(
            _("{url} leads from one address to the next without an end.").format(url=url),
            hint=_("The server is at fault. Check the address, or use another source."),
            url=url,
            cause="redirects",
        ) from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        if _is_about_certificates(error):
            raise FetchFailed(
                _("{url} shows a certificate that this system does not trust: {error}").format(url=url, error=error),
                hint=_("Check the date of this machine; behind a proxy that opens TLS, trust its certificate first."),
                url=url,
                cause="certificate",
            ) from error
        raise FetchFailed(
            _("{url} cannot be reached: {error}").format(url=url, error=str(error) or type(error).__name__),
            hint=_("Check the network connection and the proxy settings, then try again."),
            url=url,
        ) from error


def _is_about_certificates(error: BaseException | None) -> bool:
    for _step in range(8):
        if error is None:
            return False
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False
