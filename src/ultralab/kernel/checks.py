"""One check of ``doctor`` (is this installation healthy?) or ``selftest`` (does the claim hold here?)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Verdict = Literal["pass", "warn", "fail", "skip"]


@dataclass(frozen=True)
class Finding:
    """What a check found. ``detail`` says what was seen, with the number; ``hint`` what to do about it."""

    verdict: Verdict
    detail: str
    hint: str = ""


@dataclass(frozen=True)
class Check:
    """A named check. ``title`` is a message id (translated when shown); ``run`` has no effects that stay."""

    name: str
    title: str
    run: Callable[[], Finding]
