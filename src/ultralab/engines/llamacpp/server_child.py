"""The process that starts an installed ``llama-server`` and speaks for it. Behind a guard; says ``engines.events``.

The server gets its key by its environment, runs in this process's group (the guard ends the whole of it), and has a pipe
as its standard input that only this process holds open: when we are killed, it ends by itself (see ``progress``). We end
when it does, with its status.
"""

from __future__ import annotations

import http.client
import json
import os
import selectors
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from ultralab.engines import events
from ultralab.engines.llamacpp import program, progress
from ultralab.engines.llamacpp.child import REQUEST
from ultralab.engines.llamacpp.header import fault, pools
from ultralab.engines.options import from_data
from ultralab.machine.footprints import footprint
from ultralab.system import environ
from ultralab.system.parent import end_with_parent

_BLOCK = 65_536
_PAUSE_SECONDS = 0.05
_HEALTH_SECONDS = 1.0
_VERSION_SECONDS = 20.0
_LAST_LINES = 5
_LONGEST = 500  # characters of a line that are quoted


@dataclass(frozen=True)
class _Server:
    """A running server: its pid, and our ends of its standard input, output and error."""

    pid: int
    speaking: int
    output: int
    log: int


def main() -> int:
    """Start it, pass on what it says, end with it."""
    end_with_parent()
    request = json.loads(environ.take(REQUEST))
    model, options, name = Path(request["model"]), from_data(request["options"]), str(request["program"])
    try:
        version = _version(name)
        pooled = not options.embeddings or pools(str(model))
        server = _start(
            program.arguments(name, model, options, pooled=pooled),
            program.environment(environ.for_child(), request["secret"]),
        )
    except Exception as error:  # noqa: BLE001 - whatever it is, the owner must hear of it
        events.emit("failed", reason=str(error))
        return 1
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # our whole group gets it: the server ends, and we with it
    events.emit("started", pid=server.pid, version=version, footprint=footprint(server.pid))
    lines = _watch(server)
    status = os.waitstatus_to_exitcode(os.waitpid(server.pid, 0)[1])
    if lines is not None:
        events.emit("failed", reason=fault(str(model)) or " ".join(lines) or f"exit status {status}")
    return status if status >= 0 else 128 - status


def _version(name: str) -> str:
    """What the program calls itself (it writes that on standard error, newer ones may on standard output)."""
    server = _start((name, "--version"), environ.for_child())
    os.close(server.speaking)
    found, deadline = b"", time.monotonic() + _VERSION_SECONDS
    with selectors.DefaultSelector() as selector:
        selector.register(server.output, selectors.EVENT_READ)
        selector.register(server.log, selectors.EVENT_READ)
        while selector.get_map() and time.monotonic() < deadline:
            for key, _events in selector.select(1):
                if block := os.read(key.fd, _BLOCK):
                    found += block
                else:
                    selector.unregister(key.fd)
                    os.close(key.fd)
    os.kill(server.pid, signal.SIGKILL)
    os.waitpid(server.pid, 0)
    return program.version_in(found.decode(errors="replace"))


def _start(argv: tuple[str, ...], environment: Mapping[str, str]) -> _Server:
    """Start a program with pipes at its three ends. Raises OSError: there is none of this name, it cannot be run."""
    hearing, speaking = os.pipe()
    output, writing = os.pipe()
    log, logging = os.pipe()
    actions = [(os.POSIX_SPAWN_DUP2, theirs, number) for number, theirs in enumerate((hearing, writing, logging))]
    try:
        pid = os.posix_spawnp(argv[0], argv, environment, file_actions=actions)
    finally:
        for theirs in (hearing, writing, logging):
            os.close(theirs)
    return _Server(pid, speaking, output, log)


def _watch(server: _Server) -> list[str] | None:
    """Pass on the server's log and its progress until it ends; its last lines if it was never ready, else None."""
    rest = {server.output: b"", server.log: b""}
    last: list[str] = []
    address, ready = "", False
    with selectors.DefaultSelector() as selector:
        for number in rest:
            selector.register(number, selectors.EVENT_READ)
        while selector.get_map():
            for key, _events in selector.select(_PAUSE_SECONDS if address and not ready else None):
                block = os.read(key.fd, _BLOCK)
                if not block:
                    selector.unregister(key.fd)
                if key.fd == server.log:
                    _write_all(2, block)
                if ready:
                    continue
                *lines, kept = (rest[key.fd] + block).split(b"\n")
                rest[key.fd] = kept[-_BLOCK:]
                for line in lines:
                    address = address or _told(line)
                    last = [*last, line.decode(errors="replace").strip()[:_LONGEST]][-_LAST_LINES:]
            if address and not ready and _answers(address):
                events.emit("ready", url=address)
                ready = True
    return None if ready else [line for line in last if line]


def _told(line: bytes) -> str:
    """Make an event of a line that tells how far it is; the address, where the line says that it listens."""
    if (share := progress.share_in(line)) is not None:
        events.emit("progress", share=share)
    return program.address_in(line.decode(errors="replace"))


def _answers(address: str) -> bool:
    """Whether ``/health`` no longer says that the model is still being loaded. Whatever else it says, it serves."""
    where = urlsplit(address)
    asking = http.client.HTTPConnection(where.hostname or "", where.port, timeout=_HEALTH_SECONDS)
    try:
        asking.request("GET", "/health")
        return asking.getresponse().status != http.client.SERVICE_UNAVAILABLE
    except http.client.HTTPException:
        return True  # nonsense: its owner will say so
    except OSError:
        return False
    finally:
        asking.close()


def _write_all(number: int, data: bytes) -> None:
    while data:
        data = data[os.write(number, data) :]


if __name__ == "__main__":
    sys.exit(main())
