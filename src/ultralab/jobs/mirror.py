"""The schedules' mirror: their rows as a file beside the database, for the day on which that is damaged.

It is written before each change commits. The one before stays, under a second name, until then: on a full disk there may
be no room to write it again.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from ultralab.jobs import record
from ultralab.kernel.ids import is_name
from ultralab.system import files
from ultralab.system.database import Database

MIRROR: Final = "schedules.json"
_BEFORE: Final = "schedules.before.json"
_VERSION: Final = 1


def write_mirror(folder: Path, database: Database) -> None:
    """Write the schedules' rows into ``schedules.json``, synced (0600: they hold environments)."""
    forget_before(folder)
    with contextlib.suppress(OSError):  # the first one; or a file system without links, which can do without
        os.link(folder / MIRROR, folder / _BEFORE)
    files.write(folder / MIRROR, _content(database), mode=0o600)


def forget_before(folder: Path) -> None:
    """The change was committed: the mirror before it has no use."""
    with contextlib.suppress(OSError):
        (folder / _BEFORE).unlink(missing_ok=True)


def restore_mirror(folder: Path, database: Database) -> None:
    """After a change that failed: the mirror says again what the rows say."""
    right = _content(database)
    with files.explained(folder / MIRROR):
        if _text(folder / MIRROR) != right:
            if _text(folder / _BEFORE) == right:
                (folder / _BEFORE).replace(folder / MIRROR)
                files.sync_directory(folder)
            elif (folder / MIRROR).exists() or database.tuples("schedules"):
                files.write(folder / MIRROR, right, mode=0o600)
    forget_before(folder)


def read_mirror(path: Path) -> list[dict[str, str | float]]:
    """The rows that a mirror holds. Raises KeyError, TypeError, ValueError for what was never written."""
    rows = [_row(row) for row in json.loads(path.read_bytes())["schedules"]]
    if len({row["name"] for row in rows}) < len(rows):
        raise ValueError(path)
    return rows


def _row(row: Mapping[str, Any]) -> dict[str, str | float]:
    record.from_form(json.loads(row["spec"]))
    moments = {name: float(row[name]) for name in ("added", "considered")}
    texts = {name: str(row[name]) for name in ("name", "cron", "catch_up", "spec")}
    fits = is_name(texts["name"]) and texts["cron"].isascii() and texts["catch_up"] in ("skip", "once", "all")
    if not fits or not all(map(math.isfinite, moments.values())):
        raise ValueError(row)
    return {**texts, **moments, "paused": int(bool(row["paused"]))}


def _content(database: Database) -> str:
    return json.dumps({"version": _VERSION, "schedules": database.run("schedules")}) + "\n"


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
