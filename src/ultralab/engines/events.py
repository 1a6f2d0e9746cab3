"""What an engine's process says on its standard output: one JSON object a line.

::

    {"event": "started", "pid": N, "version": "…", "footprint": BYTES}   before anything heavy: the process alone
    {"event": "progress", "share": 0.0–1.0}            while loading, any number of times
    {"event": "ready", "url": "http://127.0.0.1:PORT"} it answers; "version" here is the better one, where both have it
    {"event": "failed", "reason": "…"}                 it could not load; the process ends

A line that is not such an object is somebody's stray output and is passed over.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import Literal

Kind = Literal["started", "progress", "ready", "failed"]
_KINDS = ("started", "progress", "ready", "failed")


@dataclass(frozen=True)
class Event:
    """One event; the fields that its kind does not have are at their defaults."""

    kind: Kind
    pid: int = 0
    version: str = ""
    footprint: int = 0
    share: float = 0.0
    url: str = ""
    reason: str = ""


def parse(line: bytes) -> Event | None:
    """The event in a line, None for anything else."""
    try:
        found = json.loads(line)
        if not isinstance(found, dict) or found.get("event") not in _KINDS:
            return None
        return Event(
            kind=found["event"],
            pid=int(found.get("pid", 0)),
            version=str(found.get("version", "")),
            footprint=int(found.get("footprint", 0)),
            share=min(1.0, max(0.0, float(found.get("share", 0)))),  # not a number counts as 0
            url=str(found.get("url", "")),
            reason=str(found.get("reason", "")),
        )
    except (ValueError, TypeError, OverflowError, RecursionError):
        return None


def emit(kind: Kind, **fields: str | float) -> None:
    """Say an event (for an engine's process)."""
    sys.stdout.write(json.dumps({"event": kind, **fields}) + "\n")
    sys.stdout.flush()
