"""What bounds the reading of far files: how much is fetched, and how much of it is kept."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Final

from ultralab.kernel.errors import FetchFailed
from ultralab.kernel.language import _
from ultralab.kernel.units import format_bytes

_KEPT: Final = 32 * 1024 * 1024


class Budget:
    """How many bytes may still be fetched. Shared by the files of one bundle, and by threads."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._left = most
        self._lock = threading.Lock()

    def take(self, count: int, url: str) -> None:
        """Spend ``count`` bytes before they are asked for. Raises FetchFailed."""
        with self._lock:
            self._left -= count
            if self._left >= 0:
                return
        raise FetchFailed(
            _("{url}: the headers need more than {most}.").format(url=url, most=format_bytes(self._most)),
            hint=_("Nothing more was fetched. Raise the limit of a header if you trust the model."),
            url=url,
            problem="budget",
        )

    def take_up_to(self, count: int, url: str) -> int:
        """Spend as many of ``count`` bytes as are left, one at least. Raises FetchFailed: none is left."""
        with self._lock:
            given = min(count, self._left)
            if given > 0:
                self._left -= given
                return given
        self.take(1, url)
        return 1

    def give_back(self, count: int) -> None:
        """Bytes that were spent and did not come."""
        with self._lock:
            self._left += count


class Kept:
    """The parts that were fetched last, ``_KEPT`` bytes at most: shared by the files of one bundle, and by threads."""

    def __init__(self) -> None:
        self._parts: OrderedDict[tuple[object, int], bytes] = OrderedDict()
        self._size = 0
        self._lock = threading.Lock()

    def find(self, file: object, at: int) -> tuple[int, bytes] | None:
        """The part (its start and bytes) of a file in which byte ``at`` lies."""
        with self._lock:
            for (owner, start), content in self._parts.items():
                if owner is file and start <= at < start + len(content):
                    self._parts.move_to_end((owner, start))
                    return start, content
        return None

    def put(self, file: object, start: int, content: bytes) -> None:
        """Keep a part; those that were used longest ago go."""
        if not content:
            return
        with self._lock:
            self._size += len(content) - len(self._parts.pop((file, start), b""))
            self._parts[file, start] = content
            while len(self._parts) > 1 and self._size > _KEPT:
                self._size -= len(self._parts.popitem(last=False)[1])
