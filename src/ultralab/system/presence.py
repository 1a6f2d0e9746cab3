"""Whether the one process that does a thing for a folder is there: a file names it, by pid and start."""

from __future__ import annotations

import json
from pathlib import Path

from ultralab.system.files import write
from ultralab.system.identity import ProcessId, alive, identify


def announce(path: Path) -> None:
    """Say that this process is the one. Raises DiskFull, FileAccess."""
    here = identify()
    assert here is not None, "this process is alive"
    write(path, json.dumps({"pid": here.pid, "start": here.start}) + "\n", mode=0o600)


def present(path: Path) -> ProcessId | None:
    """The process that said so, if it still lives."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        process = ProcessId(int(found["pid"]), str(found["start"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return process if alive(process) else None
