"""The schedules' mirror: their rows as a file beside the database, for the day on which that is damaged.

It is written before each change commits. The one before stays, under a second name, until then: on a full disk there may
be no room to write it again.
"""

from __future__ import annotations

import contextlib
import json
import os
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from ultralab.jobs.store import record
from ultralab.jobs.store.reading import typed
from ultralab.kernel.errors import RequestError
from ultralab.kernel.ids import is_name
from ultralab.system import files
from ultralab.system.database import Database

MIRROR: Final = "schedules.json"
_BEFORE: Final = "schedules.before.json"
_VERSION: Final = 1
_LATEST: Final = 250_000_000_000.0  # the year 9892: what a calendar can still reckon with


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


def read_mirror(path: Path) -> tuple[list[dict[str, str | float]], list[str]]:
    """The rows that a mirror holds, and the names of those that cannot be read, which are left out.

    Raises KeyError, TypeError, ValueError, RecursionError if it is no mirror.
    """
    rows: dict[str, dict[str, str | float]] = {}
    unreadable = []
    for given in typed(json.loads(path.read_bytes())["schedules"], list):
        row = checked_row(given)
        name = str(row["name"]) if row else ""
        if row is None or name in rows:
            unreadable.append(_name(given))
        else:
            rows[name] = row
    return list(rows.values()), unreadable


def checked_row(row: Any) -> dict[str, str | float] | None:
    """A schedule's row, as it is in the database and in the mirror, if it is one that was written here."""
    try:
        record.from_form(json.loads(row["spec"]))
        moments = {name: float(row[name]) for name in ("added", "considered")}
        texts = {name: str(row[name]) for name in ("name", "cron", "catch_up", "spec")}
        paused = int(bool(row["paused"]))
    except (KeyError, TypeError, ValueError, OverflowError, RecursionError):
        return None
    fits = is_name(texts["name"]) and texts["catch_up"] in ("skip", "once", "all") and _is_cron(texts["cron"])
    past = all(0 <= moment < _LATEST for moment in moments.values())
    return {**texts, **moments, "paused": paused} if fits and past else None


@lru_cache(maxsize=1024)
def _is_cron(text: str) -> bool:
    from ultralab.jobs.scheduling.cron import check_cron

    try:
        check_cron(text)
    except RequestError:
        return False
    return True


def _name(row: Any) -> str:
    name = row.get("name") if isinstance(row, dict) else None
    return ascii(name)[1:-1][:100] if isinstance(name, str) else "?"


def _content(database: Database) -> str:
    return json.dumps({"version": _VERSION, "schedules": database.run("schedules")}) + "\n"


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
