"""The process that holds a llama.cpp model. Started by ``engines.host`` behind a guard; says ``engines.events``.

Small on purpose: what is imported here is part of every model's memory and of its load time.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from typing import NoReturn

from ultralab.engines import events
from ultralab.engines.llamacpp import header, progress
from ultralab.machine.footprints import footprint
from ultralab.system import environ
from ultralab.system.parent import end_with_parent

REQUEST = "ULTRALAB_ENGINE_REQUEST"


def main() -> int:
    """Load, serve, wait to be ended."""
    relay = progress.relay()
    end_with_parent()
    request = json.loads(environ.take(REQUEST))
    import xllamacpp

    from ultralab.engines.llamacpp.parameters import parameters

    events.emit(
        "started", pid=os.getpid(), version=f"xllamacpp {xllamacpp.__version__}", footprint=footprint(os.getpid())
    )
    model, options = str(request["model"]), request["options"]
    try:
        pooled = not options["embeddings"] or header.pools(model)
        server = xllamacpp.Server(parameters(model, options, request["secret"], pooled=pooled))
    except Exception as error:  # noqa: BLE001 - the library raises what it likes; the owner must hear of it
        relay.end()
        events.emit("failed", reason=header.fault(model) or str(error))
        return 1
    relay.end()
    events.emit("ready", url=server.listening_address)
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    return 0


def _leave(status: int) -> NoReturn:
    """End without the library's own farewell, which waits for threads that may never end; the kernel takes it all back."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(status)


if __name__ == "__main__":
    try:
        _leave(main())
    except BaseException:  # noqa: BLE001 - whatever it is, the process ends now and its log says why
        sys.excepthook(*sys.exc_info())
        _leave(1)
