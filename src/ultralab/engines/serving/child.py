"""The process that holds a framework's model: loads it on the thread that will own it, and serves until it is ended.

``python -m ultralab.engines.serving.child``, started by ``engines.host`` behind a guard, its request in the environment
(``serving.launch``); says ``engines.events`` on standard output.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import threading
import traceback
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from typing import Any, cast

from ultralab.engines import events
from ultralab.engines.options import LoadOptions, from_data
from ultralab.engines.serving.desk import Desk
from ultralab.engines.serving.http import Server
from ultralab.engines.serving.launch import REQUEST
from ultralab.engines.serving.scheduler import Scheduler
from ultralab.engines.serving.types import Load, TextModel
from ultralab.system import environ
from ultralab.system.parent import end_with_parent

_SWITCH_SECONDS = 0.001  # the interpreter's own 5 ms would hold back tokens while a framework computes in Python


def main() -> int:
    """Load, serve, wait to be ended."""
    end_with_parent()
    signal.signal(signal.SIGTERM, lambda *_: _end(0))
    sys.setswitchinterval(_SWITCH_SECONDS)
    request = json.loads(environ.take(REQUEST))
    events.emit("started", pid=os.getpid(), footprint=_footprint())
    options = from_data(request["options"])
    scheduler = Scheduler()
    loaded: SimpleQueue[TextModel | str] = SimpleQueue()
    threading.Thread(
        target=_own, args=(request, options, scheduler, loaded), name="ultralab-model", daemon=True
    ).start()
    model = loaded.get()
    if isinstance(model, str):
        events.emit("failed", reason=model)
        _end(1)
        return 1
    server = Server(Desk(model, options, scheduler), request["secret"])
    events.emit("ready", url=server.url, version=model.facts.version)
    server.serve_forever()
    return 0


def _own(
    request: dict[str, Any], options: LoadOptions, scheduler: Scheduler, loaded: SimpleQueue[TextModel | str]
) -> None:
    """The model's thread, from loading to the end."""
    try:
        module, _colon, name = request["load"].partition(":")
        load = cast("Load", getattr(importlib.import_module(module), name))
        model = load(Path(request["model"]), options, lambda share: events.emit("progress", share=share))
    except BaseException as error:  # noqa: BLE001 - a framework raises what it likes; the owner must hear of it
        if not isinstance(error, ValueError):  # such a one says in its own words what is wrong with the model
            traceback.print_exc()
        loaded.put(str(error).strip() or type(error).__name__)
        return
    loaded.put(model)
    try:
        scheduler.run(model)
    finally:  # it never ends by itself, and a server without its model's thread would keep everybody waiting
        traceback.print_exc()
        _end(1)


def _footprint() -> int:
    """Bytes that this process holds; 0 in an interpreter that lacks what measuring needs."""
    try:
        from ultralab.machine.footprints import footprint
    except ImportError:
        return 0
    return footprint(os.getpid())


def _end(status: int) -> None:
    """End at once: a framework's own farewell may hang, and the system takes the memory back anyway."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, RuntimeError):  # the signal may have come in the middle of a write to it
            stream.flush()
    os._exit(status)


if __name__ == "__main__":
    sys.exit(main())
