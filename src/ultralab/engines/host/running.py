"""A model for the length of a block: everything that :func:`loaded` took is given back when the block is left."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ultralab import memory
from ultralab.engines import choice, prompt_cache
from ultralab.engines.base import Attachment, Client, Engine
from ultralab.engines.host import failures
from ultralab.engines.host.load import Loading
from ultralab.engines.host.log import Log, opened
from ultralab.engines.host.types import USUAL, Loaded, Patience, Request
from ultralab.engines.host.watch import Watch
from ultralab.engines.types import Advance, Endpoint, Launch
from ultralab.kernel.errors import EngineFailed, Unsupported
from ultralab.kernel.language import _
from ultralab.kernel.progress import SILENT, Progress, Step
from ultralab.kernel.text import printable
from ultralab.memory import Ledger
from ultralab.system import clock, process

_OF_THE_DYING: Final = (401, 403, 503)
"""An error that came as an HTTP answer came from somebody who lives. But our own process knows our secret and was ready:
who denies it is about to end (so "Invalid API Key" was answered once by llama.cpp's server whose launcher had been
killed), or is another program on a port that became free."""


@dataclass(frozen=True)
class _Work:
    """What is to be done, for all the steps of it."""

    engine: Engine
    request: Request
    log: Path
    progress: Progress
    patience: Patience

    @property
    def title(self) -> str:
        """The model's name, fit to be shown and stored: a file's may hold bytes that are no text."""
        return printable(self.request.model.title)


@contextmanager
def loaded(
    engine: Engine,
    request: Request,
    *,
    ledger: Ledger,
    log: Path,
    progress: Progress = SILENT,
    patience: Patience = USUAL,
) -> Iterator[Loaded]:
    """Load a model for the length of a block; leaving it ends the process and gives the memory back.

    Inside the block an EngineFailed that was really the end of the process arrives as EngineDied, also when the process
    was ended because it no longer answered. The log keeps its first and its newest part, 16 MiB at most.
    Raises Unsupported (the engine cannot run here or cannot do this), OutOfMemory, EngineFailed, EngineDied.
    """
    choice.require(engine, request.model, request.options)
    secret = secrets.token_urlsafe(24)
    start = engine.start(request.model, request.options, secret)
    work = _Work(engine, request, log, progress, patience)
    if isinstance(start, Launch):
        needed = engine.plan(request.model.shape, request.options).total + request.beside
        with memory.held(ledger, needed, work.title), _hosted(work, start, secret) as running:
            yield running
    else:
        with _attached(work, start) as running:
            yield running


@contextmanager
def _hosted(work: _Work, launch: Launch, secret: str) -> Iterator[Loaded]:
    begun = clock.monotonic()
    if cache := work.request.options.prompt_cache:
        prompt_cache.prepare(cache, work.log)
    log = opened(work.log)
    child = process.start_guarded(launch.argv, log=work.log, extra_environment=launch.environment)
    loading = Loading(child, log, work.title, work.patience)
    try:
        with work.progress.step(_("Loading {title}").format(title=work.title), 1.0) as step:
            ready = loading.wait(step)
        started = loading.started
        endpoint = Endpoint(ready.url, secret)
        with _watched(work, child, endpoint, log) as watch, contextlib.closing(work.engine.connect(endpoint)) as client:
            running = Loaded(
                engine=work.engine.name,
                version=ready.version or started.version,
                client=client,
                endpoint=endpoint,
                child=child,
                attachment=None,
                pid=started.pid,
                baseline=started.footprint,
                load_seconds=clock.monotonic() - begun,
                log=work.log,
                condition=lambda: _condition(work.title, child, watch, log),
            )
            with _prompts_kept(work, client, running.version):
                yield running
    finally:
        child.end(work.patience.ending)
        process.end_stray(loading.identity)  # there is one only where somebody killed the guard


@contextmanager
def _watched(work: _Work, child: process.Child, endpoint: Endpoint, log: Log) -> Iterator[Watch]:
    """Watch the process, and tell its end from an error that it answered. The process is ended when this is left."""
    watch = Watch(child, lambda: work.engine.connect(endpoint), work.title, work.patience)
    try:
        yield watch
    except EngineFailed as error:
        answered = error.data.get("status") not in (None, *_OF_THE_DYING)
        if not watch.why and child.wait(0.0 if answered else 1.0) is None:
            if answered or "log" in error.data:  # another engine's, whose own log it already names
                raise
            raise failures.unusable(error, log) from error
        status = child.wait(work.patience.ending + 1)
        if watch.why:
            raise failures.stopped(watch.why, status, log) from error
        raise failures.died(work.title, status, log) from error
    finally:
        watch.stop()
        child.end(work.patience.ending)
        watch.join()


def _condition(title: str, child: process.Child, watch: Watch, log: Log) -> str:
    if watch.why:
        return watch.why
    status = child.status()
    return "" if status is None else failures.died(title, status, log).message


@contextmanager
def _prompts_kept(work: _Work, client: Client, version: str) -> Iterator[None]:
    """Around a block: recall what was kept on disk, and keep it again where the block ended well. Never raises."""
    cache = work.request.options.prompt_cache
    if cache is None:
        yield
        return
    name = prompt_cache.name_of(work.engine.name, version, work.request.model, work.request.options)
    prompt_cache.recall(client, cache, name, work.log)
    yield
    prompt_cache.keep(client, cache, name, work.log)


@contextmanager
def _attached(work: _Work, attachment: Attachment) -> Iterator[Loaded]:
    begun = clock.monotonic()
    try:
        with work.progress.step(_("Loading {title}").format(title=work.title), 1.0) as step:
            endpoint = attachment.open(_advancing(step))
        with contextlib.closing(work.engine.connect(endpoint)) as client:
            running = Loaded(
                engine=work.engine.name,
                version=attachment.version(),
                client=client,
                endpoint=endpoint,
                child=None,
                attachment=attachment,
                pid=0,
                baseline=0,
                load_seconds=clock.monotonic() - begun,
                log=work.log,
                condition=lambda: _absence(work, endpoint),
            )
            try:
                yield running
            except EngineFailed as error:
                if "status" in error.data or not (gone := _absence(work, endpoint)):
                    raise
                raise EngineFailed(
                    f"{gone} {error.message}", hint=_("Start the server again, or choose another engine.")
                ) from error
    finally:
        with contextlib.suppress(Exception):  # the server may be gone; the block's own error must not be covered
            attachment.close()


def _advancing(step: Step) -> Advance:
    """Tells a step what is new of a share that only grows."""
    told = [0.0]

    def advance(share: float) -> None:
        step.advance(max(0.0, share - told[0]))
        told[0] = max(told[0], share)

    return advance


def _absence(work: _Work, endpoint: Endpoint) -> str:
    """What is wrong with a server that is not ours: it is asked once, over a connection of its own."""
    try:
        with contextlib.closing(work.engine.connect(endpoint)) as client:
            client.health(work.patience.health)
    except Unsupported:
        return ""
    except EngineFailed:
        return _("The server that has {title} went away: {url}.").format(title=work.title, url=endpoint.base_url)
    return ""
