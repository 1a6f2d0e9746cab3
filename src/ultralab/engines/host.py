"""Running a model: a reservation, a guarded process, a client, and a clean end, whatever happens in between."""

from __future__ import annotations

import queue
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from ultralab import machine, memory
from ultralab.engines import choice, events
from ultralab.engines.base import Attachment, Client, Engine
from ultralab.engines.options import LoadOptions
from ultralab.engines.types import Endpoint, Launch, ModelFile
from ultralab.kernel.errors import EngineDied, EngineFailed
from ultralab.kernel.language import _
from ultralab.kernel.progress import SILENT, Progress, Step
from ultralab.kernel.text import printable
from ultralab.memory import Ledger
from ultralab.system import clock, process

LOAD_TIMEOUT_SECONDS = 1800.0  # the largest models come from a disk, not from memory
_LONGEST_LINE = 65_536  # bytes; what somebody pours out without a line's end is taken in pieces


@dataclass(frozen=True)
class Loaded:
    """A model that answers. ``baseline`` is the process's footprint before the model was loaded, in bytes.

    With a server that is not ours: ``attachment`` instead of ``child``, ``pid`` 0, ``baseline`` 0.
    """

    engine: str
    version: str
    client: Client
    endpoint: Endpoint
    child: process.Child | None
    attachment: Attachment | None
    pid: int
    baseline: int
    load_seconds: float
    log: Path

    def footprint(self) -> int:
        """What the engine's process holds now, bytes (on a Mac the physical footprint, elsewhere resident memory)."""
        if self.attachment is not None:
            return self.attachment.footprint()
        return machine.footprint(self.pid)


@dataclass(frozen=True)
class Request:
    """A model to load, and how."""

    model: ModelFile
    options: LoadOptions


@contextmanager
def loaded(
    engine: Engine, request: Request, *, ledger: Ledger, log: Path, progress: Progress = SILENT
) -> Iterator[Loaded]:
    """Load a model for the length of a block; leaving it ends the process and gives the memory back.

    Inside the block an EngineFailed that was really the end of the process arrives as EngineDied.
    Raises Unsupported (the engine cannot run here or cannot do this), OutOfMemory, EngineFailed, EngineDied.
    """
    choice.require(engine, request.model, request.options)
    secret = secrets.token_urlsafe(24)
    start = engine.start(request.model, request.options, secret)
    if isinstance(start, Launch):
        plan = engine.plan(request.model.shape, request.options)
        with memory.held(ledger, plan.total, request.model.title):
            with _hosted(engine, request.model.title, start, secret, log, progress) as running:
                yield running
    else:
        with _attached(engine, request.model.title, start, log, progress) as running:
            yield running


@contextmanager
def _attached(engine: Engine, title: str, attachment: Attachment, log: Path, progress: Progress) -> Iterator[Loaded]:
    begun = clock.monotonic()
    try:
        with progress.step(_("Loading {title}").format(title=title), 1.0) as step:
            endpoint = attachment.open(step.advance)
        client = engine.connect(endpoint)
        try:
            yield Loaded(
                engine=engine.name,
                version=attachment.version(),
                client=client,
                endpoint=endpoint,
                child=None,
                attachment=attachment,
                pid=0,
                baseline=0,
                load_seconds=clock.monotonic() - begun,
                log=log,
            )
        finally:
            client.close()
    finally:
        attachment.close()


@contextmanager
def _hosted(engine: Engine, title: str, launch: Launch, secret: str, log: Path, progress: Progress) -> Iterator[Loaded]:
    begun = clock.monotonic()
    child = process.start_guarded(launch.argv, log=log, extra_environment=launch.environment)
    try:
        with progress.step(_("Loading {title}").format(title=title), 1.0) as step:
            started, ready = _await_ready(child, log, title, step)
        identity = process.identify(started.pid)
        endpoint = Endpoint(ready.url, secret)
        client = engine.connect(endpoint)
        running = Loaded(
            engine=engine.name,
            version=started.version,
            client=client,
            endpoint=endpoint,
            child=child,
            attachment=None,
            pid=started.pid,
            baseline=started.footprint,
            load_seconds=clock.monotonic() - begun,
            log=log,
        )
        try:
            yield running
        except EngineFailed as error:
            if child.wait(1.0) is None:
                raise
            raise _died(child, log, title) from error
        finally:
            client.close()
            child.end()
            process.end_stray(identity)  # there is one only where somebody killed the guard
    finally:
        child.end()


def _await_ready(child: process.Child, log: Path, title: str, step: Step) -> tuple[events.Event, events.Event]:
    """Read events until the model answers. The reader goes on emptying the pipe, so that the child never blocks."""
    arriving: queue.Queue[events.Event | None] = queue.Queue()
    threading.Thread(target=_read_events, args=(child.events, arriving), daemon=True).start()
    deadline = clock.monotonic() + LOAD_TIMEOUT_SECONDS
    started = events.Event("started")
    share = 0.0
    while True:
        try:
            event = arriving.get(timeout=max(0.0, deadline - clock.monotonic()))
        except queue.Empty:
            raise EngineFailed(
                _("{title} was not ready within {seconds:.0f} s.").format(title=title, seconds=LOAD_TIMEOUT_SECONDS),
                hint=_("The engine's log: {log}").format(log=log),
                log=str(log),
            ) from None
        if event is None:
            raise _died(child, log, title)
        if event.kind == "started":
            started = event
        elif event.kind == "progress":
            step.advance(max(0.0, event.share - share))
            share = max(share, event.share)
        elif event.kind == "failed":
            raise EngineFailed(
                _("{title} could not be loaded: {reason}").format(title=title, reason=printable(event.reason)),
                hint=_("The engine's log: {log}").format(log=log),
                log=str(log),
            )
        else:
            step.advance(1.0 - share)
            return started, event


def _read_events(stream: IO[bytes], arriving: queue.Queue[events.Event | None]) -> None:
    with stream:
        while line := stream.readline(_LONGEST_LINE):
            if event := events.parse(line):
                arriving.put(event)
    arriving.put(None)


def _died(child: process.Child, log: Path, title: str) -> EngineDied:
    status = child.wait(5.0)
    ending = (
        _("killed by signal {number}").format(number=status - 128)
        if status is not None and status > 128
        else _("exit status {status}").format(status=status)
    )
    return EngineDied(
        _("The engine's process for {title} ended unexpectedly ({ending}).").format(title=title, ending=ending),
        hint=_("The engine's log: {log}").format(log=log),
        log=str(log),
        status=status,
    )
