"""One file to bring, and everything that stays the same while it is brought."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ultralab.models.download.patience import Patience
from ultralab.models.download.tally import Tally
from ultralab.models.sources.base import RemoteFile

if TYPE_CHECKING:
    import httpx

RECEIVE_BUFFER: Final = 1024 * 1024
"""Bytes per connection that the system may hold unread. They are fetched again after kill -9, so they are few; enough for
30 MB/s per connection at a round trip of 30 ms."""


@dataclass(frozen=True)
class Order:
    """``path`` is the partial file, ``held`` its descriptor. ``token`` is for the origin of the file's own address."""

    remote: RemoteFile
    path: Path
    held: int
    client: httpx.Client
    tally: Tally
    patience: Patience
    connections: int
    keep_free: int
    token: str = ""

    def headers(self, address: str) -> dict[str, str]:
        """What is sent to ``address``: the token to the origin of ``remote.url`` only."""
        from ultralab.system import http

        plain = {"Accept-Encoding": "identity"}
        if self.token and http.same_origin(address, self.remote.url):
            return {**plain, "Authorization": f"Bearer {self.token}"}
        return plain
