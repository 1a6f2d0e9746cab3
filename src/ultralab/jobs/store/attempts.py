"""What the supervisor of an attempt wrote into the attempt's folder, and what is believed of it.

The job's own processes can write there, too: whatever does not look as it should reads as absent.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, get_args

from ultralab.jobs.store.reading import NUMBER, among, process, told, typed
from ultralab.jobs.types import Cause
from ultralab.system import files
from ultralab.system.process import ProcessId

VERSION: Final = 1
_CANNOT_START: Final = 126


@dataclass(frozen=True)
class Ended:
    """How an attempt ended, as its supervisor wrote it. ``status`` as a shell gives it; sizes in bytes.

    ``output_bytes`` were printed, of which a full disk refused ``output_lost``; ``left_behind`` counts the processes
    that had to be ended after the command.
    """

    fence: int
    at: float
    status: int
    signal: int | None
    cause: Cause
    problem: str
    seconds: float
    output_bytes: int
    output_lost: int
    left_behind: int
    cpu_seconds: float
    peak_rss_bytes: int


def has_begun(place: Path) -> bool:
    """Whether the attempt in this folder may have done something.

    The one file whose presence alone counts, whatever it holds: of a damaged one, "never began" could start a job
    twice, and "lost" cannot.
    """
    try:
        (place / "begun.json").lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


def read_begun(place: Path) -> float | None:
    """When the attempt in this folder began, in seconds since the epoch; None when that is not known."""
    try:
        return float(typed((told(place / "begun.json") or {}).get("at"), NUMBER))
    except (TypeError, ValueError):
        return None


def read_mark(place: Path) -> str:
    """The mark of the attempt that was begun in this folder, as its supervisor wrote it; empty where it is not known."""
    found = told(place / "begun.json")
    return str(found.get("mark", "")) if found else ""


def record_refusal(place: Path, fence: int, at: float, problem: str) -> None:
    """Write down, in a supervisor's place, that an attempt could not be started, and why."""
    ended = Ended(fence, at, _CANNOT_START, None, "not_started", problem, 0.0, 0, 0, 0, 0.0, 0)
    files.write(place / "ended.json", json.dumps({"version": VERSION, **asdict(ended)}), mode=0o600)


def read_worker(place: Path) -> ProcessId | None:
    """The command's process, None before it was started."""
    try:
        return process(told(place / "worker.json"))
    except (KeyError, TypeError, ValueError):
        return None


def read_ended(place: Path) -> Ended | None:
    """How the attempt in this folder ended; None while it has not. Raises FileAccess: too many files are open here."""
    try:
        data = typed(told(place / "ended.json"), dict)
        for name, kind in _ENDED.items():
            typed(data[name], kind)
        among(data["cause"], get_args(Cause))
    except (KeyError, TypeError, ValueError):
        return None
    return Ended(**{name: data[name] for name in _ENDED})


_ENDED: Final[dict[str, type | tuple[type, ...]]] = {
    "fence": int, "at": NUMBER, "status": int, "signal": (int, type(None)), "cause": str, "problem": str,
    "seconds": NUMBER, "output_bytes": int, "output_lost": int, "left_behind": int, "cpu_seconds": NUMBER,
    "peak_rss_bytes": int,
}  # fmt: skip


def read_progress(place: Path) -> dict[str, Any] | None:
    """The last progress that the command told, as it wrote it; None where it told none.

    Entries that are no finite numbers (NaN, 1e999) are left out: JSON has no such numbers.
    """
    try:
        return _finite(told(place / "progress.json"))  # type: ignore[no-any-return]
    except RecursionError:
        return None


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items() if not _endless(item)}
    if isinstance(value, list):
        return [_finite(item) for item in value if not _endless(item)]
    return value


def _endless(value: Any) -> bool:
    return isinstance(value, float) and not math.isfinite(value)
