"""The trouble that the fake engine makes when its model file asks for it: JSON, an object of these fields. The file is
that JSON, or a GGUF file with it as the text of the key ``fake.trouble``, among its first keys.

``fail_load`` (a reason), ``hang_load`` (seconds), ``die_after`` (pieces of work: texts made into tokens, generations,
scored tokens) and ``hang_after`` (likewise: then no step ends), ``token_ms`` (time for each token), ``score_ms`` (for each
scored one at least; 1 where it is not given, so that scoring has a middle to be interrupted in), ``flood`` (bytes poured
into the log while loading), ``ignore_term`` (true), ``garbage`` (true: bytes that are no HTTP answer everything).
"""

from __future__ import annotations

import json
import os
import signal
import socketserver
import sys
import threading
import time
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from ultralab.engines import events

_LARGEST = 4096
_KEY = b"fake.trouble" + (8).to_bytes(4, "little")
_FOREVER = 3600.0


@dataclass
class Trouble:
    """What was asked for, and how much was done."""

    fail_load: str = ""
    hang_load: float = 0
    die_after: int = 0
    hang_after: int = 0
    token_ms: float = 0
    score_ms: float = 1
    flood: int = 0
    ignore_term: bool = False
    garbage: bool = False
    done: int = 0

    def at_load(self) -> None:
        """What happens while the model is loaded. Raises ValueError with the reason ``fail_load``."""
        if self.ignore_term:
            import ctypes

            # Only the main thread may use the signal module for this, and it is not the one that loads.
            ctypes.CDLL(None).signal(signal.SIGTERM, ctypes.c_void_p(1))
        if self.flood:
            _pour(self.flood)
        if self.garbage:
            _answer_nonsense()
        time.sleep(self.hang_load)
        if self.fail_load:
            raise ValueError(self.fail_load)

    def count(self) -> None:
        """A piece of work begins. Never returns from the one after ``die_after``."""
        self.done += 1
        if 0 < self.die_after < self.done:
            os.kill(os.getpid(), signal.SIGKILL)

    def maybe_hang(self) -> None:
        """Never return, after ``hang_after``."""
        while 0 < self.hang_after < self.done:
            time.sleep(_FOREVER)


def read_trouble(model: Path) -> Trouble:
    """The trouble that a model file asks for. Raises ValueError, OSError."""
    with model.open("rb") as stream:
        start = stream.read(_LARGEST)
    found = json.loads(_asked(start) or b"{}")
    names = {one.name for one in fields(Trouble)} - {"done"}
    if unknown := sorted(set(found) - names):
        raise ValueError(f"unknown trouble: {', '.join(unknown)}")
    return Trouble(**found)


def _asked(start: bytes) -> bytes:
    """The JSON at the beginning of a file; empty where there is none. A GGUF text: its kind, its length, its bytes."""
    if not start.startswith(b"GGUF"):
        return start if start.startswith(b"{") else b""
    text = start.partition(_KEY)[2]
    return text[8 : 8 + int.from_bytes(text[:8], "little")]


def _pour(count: int) -> None:
    line = b"flood " * 20 + b"\n"
    while count > 0:
        count -= os.write(sys.stderr.fileno(), line[:count])


class _Nonsense(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        """Bytes that are no answer."""
        request: Any = self.request
        request.recv(65536)
        request.sendall(b"\x00\xffthis is no HTTP\r\n\r\n{]")


def _answer_nonsense() -> None:
    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Nonsense)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    events.emit("ready", url=f"http://127.0.0.1:{server.server_address[1]}")
    time.sleep(_FOREVER)
