"""Progress as data: a file that always holds the whole state, replaced atomically, for whoever watches from outside.

``{"version": 1, "updated": moment, "steps": […], "said": […]}``; a step is ``{"label", "unit", "total", "done",
"detail", "started", "ended", "failed"}``. Moments are seconds since the epoch, ``ended`` null while a step lasts, ``total``
null where it is unknown. Kept are the last 100 steps (one that lasts stays) and the last 20 sentences.

Watching must never stop the work: a full disk or a folder that is gone costs the file, nothing else. It is not synced:
what is shown of a running command need not survive a power cut.
"""

from __future__ import annotations

import atexit
import json
import os
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

from ultralab.kernel import progress as seam
from ultralab.system import clock

VERSION: Final = 1
STEPS_KEPT: Final = 100
SENTENCES_KEPT: Final = 20
SECONDS_BETWEEN: Final = 0.25
_TEXT_KEPT: Final = 1000


@dataclass
class _Told:
    """One step, as the file has it."""

    label: str
    unit: str
    total: float | None
    done: float = 0
    detail: str = ""
    started: float = field(default_factory=clock.timestamp)
    ended: float | None = None
    failed: bool = False


class Recorded:
    """Writes every step to a file, and hands it on to another progress, which a person may see."""

    def __init__(self, path: Path, shown: seam.Progress) -> None:
        self._snapshot = _Snapshot(path.absolute())
        self._shown = shown

    def say(self, text: str) -> None:
        """Note a sentence."""
        self._snapshot.said(text)
        self._shown.say(text)

    def step(self, label: str, total: float | None = None, unit: seam.Unit = "") -> AbstractContextManager[seam.Step]:
        """A step that the file tells while it lasts and afterwards; steps may lie inside each other."""
        return self._step(label, total, unit)

    @contextmanager
    def _step(self, label: str, total: float | None, unit: seam.Unit) -> Iterator[seam.Step]:
        told = _Told(label[:_TEXT_KEPT], unit, total)
        self._snapshot.began(told)
        try:
            with self._shown.step(label, total, unit) as shown:
                yield _Both(told, self._snapshot, shown)
        except BaseException:
            told.failed = True
            raise
        finally:
            told.ended = clock.timestamp()
            self._snapshot.write()


class _Both:
    def __init__(self, told: _Told, snapshot: _Snapshot, shown: seam.Step) -> None:
        self._told, self._snapshot, self._shown = told, snapshot, shown

    def advance(self, amount: float = 1) -> None:
        self._told.done += amount
        self._snapshot.changed()
        self._shown.advance(amount)

    def describe(self, text: str) -> None:
        self._told.detail = text[:_TEXT_KEPT]
        self._snapshot.changed()
        self._shown.describe(text)


class _Snapshot:
    """What is in the file, and when it is written next.

    A change that comes too soon after the last writing is written a moment later, by a timer's thread: a step that then
    says nothing for an hour must not show what was before it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._steps: list[_Told] = []
        self._said: list[str] = []
        self._lock = threading.RLock()  # an interrupt may come while it is held, and end a step
        self._written = float("-inf")
        self._timer: threading.Timer | None = None
        atexit.register(self._write_late)

    def began(self, step: _Told) -> None:
        with self._lock:
            self._steps.append(step)
            if len(self._steps) > STEPS_KEPT:
                over = next((one for one in self._steps if one.ended is not None), self._steps[0])
                self._steps.remove(over)
        self.changed()

    def said(self, text: str) -> None:
        with self._lock:
            self._said = [*self._said, text[:_TEXT_KEPT]][-SENTENCES_KEPT:]
        self.changed()

    def changed(self) -> None:
        """Write now, or as soon as the last writing is long enough ago."""
        if self._timer is not None:  # read without the lock: at worst one more timer is thought of
            return
        with self._lock:
            wait = self._written + SECONDS_BETWEEN - clock.monotonic()
            if wait <= 0:
                self.write()
            elif self._timer is None:
                self._timer = threading.Timer(wait, self._write_late)
                self._timer.daemon = True
                self._timer.start()

    def write(self) -> None:
        """Replace the file. Never fails."""
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            self._written = clock.monotonic()
            state = {
                "version": VERSION,
                "updated": clock.timestamp(),
                "steps": [asdict(step) for step in self._steps],
                "said": self._said,
            }
            with suppress(OSError, ValueError):
                _replace(self._path, json.dumps(state, allow_nan=False))

    def _write_late(self) -> None:
        with self._lock:
            if self._timer is not None:
                self.write()


def _replace(path: Path, text: str) -> None:
    """The file with a new content, whole at every moment; its folder must be there. Raises OSError."""
    temporary = path.with_name(f".{path.name[:60]}.{os.getpid()}.part")
    try:
        temporary.write_text(text, encoding="ascii")
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
