"""What a model is called in Ollama while we hold it: a name that tells whose it is, so that what a dead owner left goes."""

from __future__ import annotations

import hashlib
import re
import secrets
from typing import Final

from ultralab.system.identity import ProcessId, identify

_OURS: Final = re.compile(r"ultralab/[^:]+:run-\S+")
_NAME: Final = re.compile(r"ultralab/[a-z0-9_-]+:run-(\d{1,10})-([0-9a-f]{8})-[0-9a-f]{6}")


def fresh(title: str) -> str:
    """A name that no other model has: ``ultralab/<title>:run-<pid>-<its start>-<random>``."""
    readable = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:60].strip("-") or "model"
    owner = identify()
    if owner is None:  # the system does not show its processes: then none is ever taken for dead
        return f"ultralab/{readable}:run-held-{secrets.token_hex(3)}"
    return f"ultralab/{readable}:run-{owner.pid}-{_mark(owner)}-{secrets.token_hex(3)}"


def is_ours(name: str) -> bool:
    """Whether a model was made by :func:`fresh`'s name, by whatever process."""
    return _OURS.fullmatch(name) is not None


def is_left(name: str) -> bool:
    """Whether a model's name is ours, and the process of this machine that made it runs no more."""
    found = _NAME.fullmatch(name)
    if found is None or identify() is None:
        return False
    owner = identify(int(found[1]))
    return owner is None or _mark(owner) != found[2]


def _mark(owner: ProcessId) -> str:
    return hashlib.sha256(owner.start.encode()).hexdigest()[:8]
