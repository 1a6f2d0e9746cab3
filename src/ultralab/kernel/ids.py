"""Identifiers that sort by time, and the rule for names."""

from __future__ import annotations

import re
import secrets
from datetime import datetime

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: no i, l, o, u
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*\Z")


def new_id(now: datetime) -> str:
    """A new identifier such as ``20261123_041507_k3f9``: sortable, lower case, fit for a file name."""
    tail = "".join(secrets.choice(_ALPHABET) for _ in range(4))
    return f"{now:%Y%m%d_%H%M%S}_{tail}"


def is_name(text: str) -> bool:
    """True for a name that is safe as a file name everywhere: lower case, digits, ``._-``, at most 100 characters."""
    return len(text) <= 100 and _NAME.match(text) is not None


def slug(text: str, fallback: str = "unnamed") -> str:
    """The nearest valid name for a text: ``SmolLM2 135M`` becomes ``smollm2-135m``."""
    plain = re.sub(r"[^a-z0-9._]+", "-", text.lower()).strip("-._")
    return plain[:100] or fallback
