"""What was done with the store's bytes: one JSON line each in ``<home>/state/logs/storage.jsonl``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from ultralab.kernel.errors import DiskFull
from ultralab.models.store.layout import Library
from ultralab.system import clock, files


def log_of(library: Library) -> Path:
    """Where acts are recorded."""
    return library.home / "state" / "logs" / "storage.jsonl"


def record(library: Library, line: Mapping[str, object], *, synced: bool = False) -> bool:
    """Write a line with the time before it; whether it is there: a full disk keeps nobody from freeing space.

    Raises FileAccess.
    """
    path = log_of(library)
    try:
        with files.explained(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        files.append_line(path, json.dumps({"at": clock.now().isoformat(), **line}, ensure_ascii=False), synced=synced)
    except DiskFull:
        return False
    return True
