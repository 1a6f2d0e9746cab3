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
from ultralab.engines import events
from ultralab.engines.base import Client, Endpoint, Engine, LoadOptions
from ultralab.kernel.errors import EngineDied, EngineFailed, Unsupported
from ultralab.kernel.language import _
from ultralab.kernel.progress import SILENT, Progress, Step
from ultralab.kernel.text import printable
from ultralab.memory import Ledger
from ultralab.planner.types import ModelShape
from ultralab.system import clock, process

LOAD_TIMEOUT_SECONDS = 1800.0  # the largest models come from a disk, not from memory
_LONGEST_LINE = 65_536  # bytes; what somebody pours out without a line's end is taken in pieces


@dataclass(frozen=True)
class Loaded:
    """A model that answers. ``baseline`` is the process's footprint before the model was loaded, in bytes."""

    engine: str
    version: str
    client: Client
    endpoint: Endpoint
    child: process.Child
    pid: int
    baseline: int
    load_seconds: float
    log: Path

    def footprint(self) -> int:
        """What the engine's process holds now, bytes (on a Mac the physical footprint, elsewhere resident memory)."""
        return machine.footprint(self.pid)


@dataclass(frozen=True)
class Request:
    """A model file to load, its shape, and how."""

    path: Path
    title: str
    shape: ModelShape
    options: LoadOptions


@contextmanager
def loaded(
    engine: Engine, request: Request, *, ledger: Ledger, log: Path, progress: Progress = SILENT
) -> Iterator[Loaded]:
    """Load a model for the length of a block; leaving it ends the process and gives the memory back.

    Inside the block an EngineFailed that was really the end of the process arrives as EngineDied.
    Raises Unsupported (the engine cannot run here or cannot do this), OutOfMemory, EngineFailed, EngineDied.
    """
    require_ready(engine)
    plan = engine.plan(request.shape, request.options)
    secret = secrets.token_urlsafe(24)
    launch = engine.launch(request.path, request.options, secret)
    with memory.held(ledger, plan.total, request.title):
        begun = clock.monotonic()
        child = process.start_guarded(launch.argv, log=log, extra_environment=launch.environment)
        try:
            with progress.step(_("Loading {title}").format(title=request.title), 1.0) as step:
                started, ready = _await_ready(child, log, request.title, step)
            identity = process.identify(started.pid)
            endpoint = Endpoint(ready.url, secret)
            client = engine.connect(endpoint)
            running = Loaded(
                engine=engine.name,
                version=started.version,
                client=client,
                endpoint=endpoint,
                child=child,
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
                raise _died(child, log, request.title) from error
            finally:
                client.close()
                child.end()
                process.end_stray(identity)  # there is one only where somebody killed the guard
        finally:
            child.end()


def require_ready(engine: Engine) -> None:
    """Raise Unsupported unless the engine can run on this machine."""
    state = engine.availability()
    if not state.ready:
        raise Unsupported(
            _("The engine {name} cannot run here: {reason}").format(name=engine.name, reason=state.reason),
            hint=state.hint,
            engine=engine.name,
        )


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
