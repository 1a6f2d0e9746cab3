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
    data = {"pid": here.pid, "start": here.start, "place": _place(path)}
    write(path, json.dumps(data) + "\n", mode=0o600)


def present(path: Path) -> ProcessId | None:
    """The process that said so, if it still lives."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        process = ProcessId(int(found["pid"]), str(found["start"]))
        if found["place"] != _place(path):  # a copy of the folder: it names the original's process
            return None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return process if alive(process) else None


def _place(path: Path) -> str:
    """The folder itself, whatever its path: its device and inode."""
    found = path.parent.stat()
    return f"{found.st_dev:x}-{found.st_ino:x}"
