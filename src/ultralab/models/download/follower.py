"""Hashing a file while it arrives: block after block, behind the connections that fill it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from ultralab.models.download.partial import Partial


def follow(partial: Partial, await_block: Callable[[int], None], lost: Callable[[int], None]) -> str:
    """The SHA-256 of the whole file, lower-case hex.

    ``await_block`` returns once a block is complete (it may raise, to end this). A block that an earlier process left is
    compared with its check sum first: if it does not fit, it is given to ``lost`` and awaited anew. Raises FileAccess.
    """
    digest = hashlib.sha256()
    for index in range(len(partial.have)):
        while True:
            await_block(index)
            content = partial.read(index)
            if index not in partial.inherited or partial.is_sound(index, content):
                break
            lost(index)
        digest.update(content)
    return digest.hexdigest()
