"""Hearing an engine's process from its start until it is ready, within bounded time and memory."""

from __future__ import annotations

import queue
import threading
from typing import IO

from ultralab.engines import events
from ultralab.engines.host import failures
from ultralab.engines.host.log import Log
from ultralab.engines.host.types import Patience
from ultralab.kernel.language import _
from ultralab.kernel.progress import Step
from ultralab.system import clock, process

_LONGEST_LINE = 65_536  # bytes; what somebody pours out without a line's end is taken in pieces
_MOST_WAITING = 1000  # events that nobody has taken yet
_PAUSE = 0.2  # seconds between two looks at what sends no event

Arriving = queue.SimpleQueue[events.Event | None]
"""What the process says, in order; None at the end of its output."""


def listen(stream: IO[bytes]) -> Arriving:
    """Start to read a process's events. The reader goes on to the end, so that the process never blocks."""
    arriving: Arriving = queue.SimpleQueue()
    threading.Thread(target=_read, args=(stream, arriving), name="ultralab-engine-events", daemon=True).start()
    return arriving


def _read(stream: IO[bytes], arriving: Arriving) -> None:
    with stream:
        while line := stream.readline(_LONGEST_LINE):
            event = events.parse(line)
            if event is None:
                continue
            final = event.kind in ("ready", "failed")
            if final or arriving.qsize() < _MOST_WAITING:
                arriving.put(event)
            if final:
                break
        arriving.put(None)
        while stream.read(_LONGEST_LINE):  # nobody listens any more
            pass


class Loading:
    """One process on its way to be ready. ``started`` is what it said of itself, at its defaults until then."""

    def __init__(self, child: process.Child, log: Log, title: str, patience: Patience) -> None:
        self.started = events.Event("started")
        self.identity: process.ProcessId | None = None
        self._child, self._log, self._title, self._patience = child, log, title, patience
        self._share = 0.0

    def wait(self, step: Step) -> events.Event:
        """The event that says it is ready. Raises EngineFailed (it says why it cannot, or it takes too long), EngineDied."""
        arriving = listen(self._child.events)
        begun = quiet = clock.monotonic()
        mark = self._log.mark()
        ended = False
        while True:
            try:
                event = arriving.get(timeout=_PAUSE)
            except queue.Empty:
                if ended:  # who fled into a session of its own holds the output open
                    raise self._died() from None
                ended = self._child.status() is not None
            else:
                if event is None:
                    raise self._died()
                if self._take(event, step):
                    return event
                if event.kind == "started" or event.share > self._share:
                    quiet = clock.monotonic()
                self._share = max(self._share, event.share)
            if (now := self._log.mark()) != mark:
                mark, quiet = now, clock.monotonic()
            self._check_time(clock.monotonic() - begun, clock.monotonic() - quiet)

    def _take(self, event: events.Event, step: Step) -> bool:
        if event.kind == "started":
            self.started = event
            self.identity = process.identify(event.pid)
        elif event.kind == "progress":
            step.advance(max(0.0, event.share - self._share))
        elif event.kind == "failed":
            self._child.wait(1.0)  # its log is whole when it has ended
            raise failures.refused(self._title, event.reason, self._log)
        else:
            step.advance(1.0 - self._share)
            return True
        return False

    def _check_time(self, since: float, quiet: float) -> None:
        if since > self._patience.load:
            sentence = _("{title} was not ready within {seconds:.0f} s.")
            raise failures.not_ready(sentence.format(title=self._title, seconds=self._patience.load), self._log)
        if quiet > self._patience.silence:
            sentence = _("{title} was not ready, and its process said nothing for {seconds:.0f} s.")
            raise failures.not_ready(sentence.format(title=self._title, seconds=self._patience.silence), self._log)

    def _died(self) -> Exception:
        status = self._child.wait(1.0)
        if status is None:
            sentence = _("The engine's process for {title} closed its output before it was ready.")
            return failures.not_ready(sentence.format(title=self._title), self._log)
        return failures.died(self._title, status, self._log)
