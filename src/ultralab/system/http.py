"""The one door to HTTP: clients with the system's certificates, sane time limits and translated errors."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import httpx
import truststore

from ultralab import __version__
from ultralab.kernel.errors import FetchFailed
from ultralab.kernel.language import _

_AGENT: Final = {"User-Agent": f"ultralab/{__version__}"}


def internet_client() -> httpx.Client:
    """A client for public servers: system certificates, the user's proxies, redirects followed."""
    return httpx.Client(
        headers=_AGENT,
        verify=truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
        follow_redirects=True,
        timeout=httpx.Timeout(30, read=60),
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


@contextmanager
def explained(url: str) -> Iterator[None]:
    """Turn httpx's errors about ``url`` into FetchFailed."""
    try:
        yield
    except httpx.HTTPStatusError as error:
        raise FetchFailed(
            _("{url} answered {status}.").format(url=url, status=error.response.status_code),
            hint=_("Check the address; if it is right, the server may be at fault: try later."),
            url=url,
            status=error.response.status_code,
        ) from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise FetchFailed(
            _("{url} cannot be reached: {error}").format(url=url, error=str(error) or type(error).__name__),
            hint=_("Check the network connection and the proxy settings, then try again."),
            url=url,
        ) from error
