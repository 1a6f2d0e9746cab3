"""An engine whose process is a small Python program, for tests of what runs it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ultralab.engines.base import (
    Attachment,
    Availability,
    Capability,
    Client,
    Endpoint,
    Engine,
    Health,
    Launch,
    LoadOptions,
    ModelFile,
    Refusal,
    Takes,
)
from ultralab.engines.clients.unable import Unable
from ultralab.engines.host import Loaded, Patience, Request, loaded
from ultralab.kernel.errors import EngineFailed, FetchFailed
from ultralab.kernel.progress import SILENT, Progress
from ultralab.memory import holders, open_ledger
from ultralab.planner.types import Amount, MemoryPlan, ModelShape
from ultralab.settings.schema import EngineSettings
from ultralab.system import http

SHAPE = ModelShape("none", 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1)
READY = "import json, os, sys, time\nprint(json.dumps({'event': 'started', 'pid': os.getpid(), 'footprint': 1}))\n"
SERVE = "print(json.dumps({'event': 'ready', 'url': 'http://127.0.0.1:9'}))\n"
CALM = Patience(load=20, silence=10, ending=1.0)
SHORT = Patience(load=20, silence=10, silent=1.0, stalled=1.0, health=0.3, interval=0.1, ending=1.0)

# It answers /health with what its model file says, sleeps for ever on /block, and refuses everything else.
SERVER = """
import json, os, sys, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_): pass
    def do_GET(self):
        if self.path == "/block": time.sleep(600)
        body = Path(HEALTH).read_bytes() if self.path == "/health" else b'{"error": "no"}'
        self.send_response(200 if self.path == "/health" else 400)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
server.daemon_threads = True
sys.stderr.write("serving\\n")
print(json.dumps({"event": "started", "pid": os.getpid(), "footprint": 1}))
print(json.dumps({"event": "ready", "url": f"http://127.0.0.1:{server.server_address[1]}", "version": "server 1"}))
server.serve_forever()
"""


class HttpClient(Unable):
    """Asks the server above: ``tokenize`` the path ``/block`` or another one."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    def health(self, timeout: float) -> Health:
        found = self._get("/health", timeout)
        return Health(int(found["busy"]), float(found["stalled"]))

    def tokenize(self, text: str) -> tuple[int, ...]:
        self._get(f"/{text}", 60)
        return ()

    def _get(self, path: str, timeout: float) -> Mapping[str, float]:
        try:
            with http.loopback_client(self._endpoint.base_url, read_timeout=timeout) as client, http.explained(path):
                answer = client.get(path)
        except FetchFailed as error:
            raise EngineFailed(error.message) from error
        if answer.status_code != 200:
            raise EngineFailed("refused", status=answer.status_code)
        found: Mapping[str, float] = answer.json()
        return found


@dataclass
class Scripted:
    """Its process runs ``program``, or its model is ``attachment``; its clients ask over HTTP."""

    program: str = "pass"
    state: Availability = field(default=Availability("scripted 1"))
    attachment: Attachment | None = None
    talks: Callable[[Endpoint], Client] = HttpClient
    options: Mapping[str, Takes] = field(default_factory=lambda: {"prompt_cache": Takes("as given")})
    name: str = "scripted"
    title: str = "scripted"
    formats: frozenset[str] = frozenset()
    capabilities: frozenset[Capability] = frozenset()

    def configured(self, settings: EngineSettings, which: str, secret: Callable[[str], str]) -> Engine:
        return self

    def refusal(self, model: ModelFile, options: LoadOptions) -> Refusal | None:
        return None

    def availability(self) -> Availability:
        return self.state

    def plan(self, shape: ModelShape, options: LoadOptions) -> MemoryPlan:
        return MemoryPlan(Amount(1), Amount(0), Amount(0), Amount(0))

    def start(self, model: ModelFile, options: LoadOptions, secret: str) -> Launch | Attachment:
        return self.attachment or Launch((sys.executable, "-u", "-c", self.program))

    def connect(self, endpoint: Endpoint) -> Client:
        return self.talks(endpoint)


def request(folder: Path, options: LoadOptions | None = None) -> Request:
    return Request(ModelFile(folder / "model", "the model", "gguf", SHAPE), options or LoadOptions())


@contextmanager
def running(
    engine: Engine,
    folder: Path,
    patience: Patience = CALM,
    options: LoadOptions | None = None,
    progress: Progress = SILENT,
) -> Iterator[Loaded]:
    """Load for the length of a block; the ledger is empty afterwards whatever happened."""
    ledger = open_ledger(folder, 1)
    try:
        with loaded(
            engine,
            request(folder, options),
            ledger=ledger,
            log=folder / "engine.log",
            progress=progress,
            patience=patience,
        ) as one:
            yield one
    finally:
        assert holders(ledger) == ()
