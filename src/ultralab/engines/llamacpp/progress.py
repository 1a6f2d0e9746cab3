"""How far llama.cpp's server is with loading, as it tells a router that started it.

With ``LLAMA_SERVER_ROUTER_PORT`` set, it writes lines to standard output (llama.cpp ``tools/server/server-models.cpp``,
``notify_to_router``; ``server-context.cpp``, ``load_progress_callback``, five a second at most), and ends when its standard
input does::

    cmd_child_to_router:state:{"state": "loading", "payload": {"stages": ["text_model"], "current": "text_model", "value": 0.5}}

A server that does not know this says nothing: then nothing is known before it is ready.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
from dataclasses import dataclass
from typing import Final

from ultralab.engines import events

ENVIRONMENT: Final = {"LLAMA_SERVER_ROUTER_PORT": "0"}
"""Makes a server tell its progress. No port is asked: that it is there is enough."""

_END: Final = b"\nultralab: the load is over\n"
_STATE: Final = b"cmd_child_to_router:state:"
_PATIENCE_SECONDS: Final = 2.0
_PAUSE_SECONDS: Final = 0.0005
_TENSORS: Final = 0.9  # of a load; the rest is the context and its first run, of which nothing is told


def share_in(line: bytes) -> float | None:
    """How much of the load is done, 0.0 to 0.9, if a line tells it."""
    if not line.startswith(_STATE):
        return None
    try:
        said = json.loads(line[len(_STATE) :])
        if said["state"] != "loading":
            return None
        payload = said["payload"]
        stages = payload["stages"]
        done: float = (stages.index(payload["current"]) + min(1.0, max(0.0, float(payload["value"])))) / len(stages)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    return _TENSORS * done


@dataclass(frozen=True)
class Relay:
    """A process that makes events of what the library writes into ``pipe``. ``stdout``: where events go."""

    pid: int
    pipe: int
    stdout: int

    def end(self) -> None:
        """Give descriptor 1 back and wait for what is still on its way.

        The library keeps a copy of descriptor 1 for such lines and turns 1 itself to standard error, so the pipe does
        not end: a last line says that no more is of interest. A relay that is gone, or stuck, costs the progress that it
        still had and no more: it is waited for two seconds at most.
        """
        os.set_blocking(self.pipe, False)
        with contextlib.suppress(OSError):
            os.write(self.pipe, _END)
        os.close(self.pipe)
        os.dup2(self.stdout, 1)
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while os.waitpid(self.pid, os.WNOHANG)[0] == 0:
            if time.monotonic() > deadline:
                os.kill(self.pid, signal.SIGKILL)
                os.waitpid(self.pid, 0)
                return
            time.sleep(_PAUSE_SECONDS)


def relay() -> Relay:
    """Begin to relay. For the moment before a process becomes the server: it must not have threads yet.

    The library keeps Python from running while it loads, so no thread of ours could read along. Python's own standard
    output is left alone; standard input becomes a pipe that nobody closes before this process ends.
    """
    reading, writing = os.pipe()
    stdout = os.dup(1)
    pid = os.fork()
    if pid == 0:
        os.close(writing)
        _pass_on(reading)
    os.close(reading)
    os.dup2(writing, 1)
    sys.stdout = os.fdopen(stdout, "w", encoding="utf-8", closefd=False)
    hearing, _speaking = os.pipe()
    os.dup2(hearing, 0)
    os.close(hearing)
    return Relay(pid, writing, stdout)


def _pass_on(reading: int) -> None:
    """In the relay: events out of lines until the pipe ends. Never returns."""
    try:
        with os.fdopen(reading, "rb") as stream:
            for line in iter(lambda: stream.readline(65_536), b""):
                if line == _END[1:]:
                    break
                if (share := share_in(line)) is not None:
                    events.emit("progress", share=share)
    finally:
        os._exit(0)
