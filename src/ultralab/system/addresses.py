"""Where a network address leads: this machine, the own network, or out into the world. Nothing is looked up."""

from __future__ import annotations

import ipaddress
from typing import Final
from urllib.parse import urlsplit

_SHARED: Final = ipaddress.ip_network("100.64.0.0/10")  # RFC 6598; Tailscale gives its machines addresses of it
_NEAR: Final = ("localhost", "local", "ts.net")  # RFC 6761; RFC 6762 (Bonjour); Tailscale's MagicDNS


def is_loopback(url: str) -> bool:
    """Whether an address is this machine itself."""
    host = _host(url)
    address = _address(host)
    return address.is_loopback if address else host == "localhost" or host.endswith(".localhost")


def is_near(url: str) -> bool:
    """Whether an address is this machine, of the own network, or of the own Tailscale network (which is encrypted).

    By its text alone: private and link-local addresses (RFC 1918, 4193, 3927), 100.64.0.0/10, names without a dot, and
    those below ``.local`` and ``.ts.net``.
    """
    host = _host(url)
    if address := _address(host):
        return address.is_private or address.is_loopback or address.is_link_local or _is_shared(address)
    return bool(host) and ("." not in host or any(host.endswith(f".{end}") for end in _NEAR))


def _host(url: str) -> str:
    try:
        return (urlsplit(url).hostname or "").rstrip(".").lower()
    except ValueError:
        return ""


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        found = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found


def _is_shared(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    return address.version == 4 and address in _SHARED
