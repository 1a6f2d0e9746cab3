"""An Ollama for tests: it keeps bytes, models and what is in memory as Ollama does, and takes and gives the documented fields.

Requests with a field that ``fixtures/ollama/api.json`` does not know are refused, and every answer has the fields that stand
there: an adapter that gets along with it speaks the documented dialect. Its models think in bytes: the next one follows from
the last.
"""

from __future__ import annotations

import copy
import hashlib
import json
import re
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

API: Mapping[str, Any] = json.loads((Path(__file__).parent / "fixtures" / "ollama" / "api.json").read_text())
FOREVER = 292 * 365 * 86_400.0


class Refused(Exception):
    """An answer that is an error."""

    def __init__(self, status: int, reason: str) -> None:
        self.status = status
        super().__init__(reason)


@dataclass
class Model:
    """A manifest: the blob and the parameters."""

    digest: str
    parameters: dict[str, Any]


@dataclass
class Runner:
    """A model in memory, under the name that loaded it."""

    name: str
    context: int
    expires: float


@dataclass
class Trouble:
    """What goes wrong. ``stop_after``: pieces after which a stream breaks off; ``say_after``: … an error stands in it."""

    version: str = "0.33.0"
    stranger: bool = False
    failing: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0
    stop_after: int = 0
    say_after: int = 0


@dataclass
class FakeOllama:
    """One server and what it holds. ``loads`` counts how often a model came into memory; ``asked`` keeps requests."""

    folder: Path
    trouble: Trouble = field(default_factory=Trouble)
    models: dict[str, Model] = field(default_factory=dict)
    runners: dict[str, Runner] = field(default_factory=dict)
    capabilities: list[str] = field(default_factory=lambda: ["completion", "tools", "embedding"])
    loads: int = 0
    asked: list[tuple[str, Any]] = field(default_factory=list)
    address: str = ""

    @property
    def blobs(self) -> set[str]:
        """The hashes in the store."""
        return {path.name.removeprefix("sha256-") for path in (self.folder / "blobs").iterdir()}

    def blob(self, digest: str) -> Path:
        """Where the bytes of a hash lie."""
        return self.folder / "blobs" / digest.replace(":", "-")

    def add(self, name: str, content: bytes, **parameters: Any) -> str:
        """A model of its own, as if pulled; the hash of its bytes."""
        digest = hashlib.sha256(content).hexdigest()
        self.blob(f"sha256:{digest}").write_bytes(content)
        self.models[name] = Model(digest, dict(parameters))
        return digest

    def whole(self, name: str) -> str:
        """A model's name with its tag."""
        for known in (name, f"{name}:latest"):
            if known in self.models:
                return known
        raise Refused(404, f"model '{name}' not found")

    def find(self, name: str) -> Model:
        """A model by name."""
        return self.models[self.whole(name)]

    def alive(self) -> dict[str, Runner]:
        """What is in memory now."""
        now = time.time()
        self.runners = {digest: one for digest, one in self.runners.items() if one.expires > now}
        return self.runners

    def bring(self, name: str, options: Mapping[str, Any], keep_alive: object) -> tuple[Model, dict[str, Any]]:
        """Have a model in memory, loaded anew where it is there with another context."""
        model = self.find(name)
        chosen = {"num_ctx": 4096, "num_predict": -1, **model.parameters, **options}
        runner = self.alive().get(model.digest)
        if runner is None or runner.context != chosen["num_ctx"]:
            self.loads += 1
            runner = self.runners[model.digest] = Runner(self.whole(name), int(chosen["num_ctx"]), 0)
        runner.expires = time.time() + duration(keep_alive)
        return model, chosen


def duration(text: object) -> float:
    """Seconds of a keep-alive."""
    if text is None:
        return 300
    if isinstance(text, str):
        found = re.fullmatch(r"(\d+)(s|m|h)", text)
        if found is None:
            raise Refused(400, f'time: invalid duration "{text}"')
        return float(found[1]) * {"s": 1, "m": 60, "h": 3600}[found[2]]
    return FOREVER if float(text) < 0 else float(text)  # type: ignore[arg-type]


def next_byte(prefix: bytes) -> int:
    """What follows a text."""
    return 32 + ((prefix[-1] if prefix else 0) * 7 + 13) % 95


def continued(prompt: bytes, options: Mapping[str, Any]) -> tuple[list[str], str]:
    """The pieces of a greedy answer, and why it ends."""
    if len(prompt) > options["num_ctx"]:
        raise Refused(400, "the input length exceeds the context length")
    wanted = int(options["num_predict"])
    room = int(options["num_ctx"]) - len(prompt)
    count = room if wanted < 0 else min(wanted, room)
    text = ""
    read = bytearray(prompt)
    for _step in range(count):
        read.append(next_byte(bytes(read)))
        text += chr(read[-1])
        ends = [at for stop in options.get("stop", ()) if (at := text.find(stop)) >= 0]
        if ends:
            return list(text[: min(ends)]), "stop"
    return list(text), "length"


class Handler(BaseHTTPRequestHandler):
    """Ollama's routes."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    held: FakeOllama

    def log_message(self, format: str, *args: object) -> None:
        return None

    def do_GET(self) -> None:
        self._work()

    do_POST = do_DELETE = do_HEAD = do_GET

    def _work(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        trouble = self.held.trouble
        time.sleep(trouble.delay)
        try:
            if trouble.stranger:
                self._say(200, {"error": f"Unexpected endpoint or method. ({self.command} {self.path})"})
            elif self.path in trouble.failing:
                self._say(500, {"error": trouble.failing[self.path]})
            elif self.path.startswith("/api/blobs/"):
                self._blob(self.path.removeprefix("/api/blobs/"), body)
            else:
                self._route(json.loads(body or b"{}"))
        except Refused as error:
            self._say(error.status, {"error": str(error)})
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def _route(self, body: dict[str, Any]) -> None:
        known = API.get(f"{self.command} {self.path}")
        if known is None:
            raise Refused(404, "404 page not found")
        for place, given in (("body", body), ("options", body.get("options") or {})):
            if strange := set(given) - set(known["request"] if place == "body" else API["options"]):
                raise Refused(400, f"undocumented in {place}: {sorted(strange)}")
        self.held.asked.append((self.path, body))
        getattr(self, "_" + self.path.rpartition("/")[2])(body, copy.deepcopy(known["answer"]))

    def _blob(self, digest: str, body: bytes) -> None:
        place = self.held.blob(digest)
        if self.command == "HEAD":
            self._say(200 if place.exists() else 404, None)
        elif f"sha256:{hashlib.sha256(body).hexdigest()}" != digest:
            raise Refused(400, "digest mismatch")
        else:
            place.write_bytes(body)
            self._say(201, None)

    def _version(self, _body: object, answer: dict[str, Any]) -> None:
        self._say(200, answer | {"version": self.held.trouble.version})

    def _tags(self, _body: object, answer: dict[str, Any]) -> None:
        self._say(200, {"models": [answer["models"][0] | {"name": one, "model": one} for one in self.held.models]})

    def _ps(self, _body: object, answer: dict[str, Any]) -> None:
        found = []
        for digest, one in self.held.alive().items():
            moment = datetime.fromtimestamp(one.expires, UTC).isoformat().replace("+00:00", "789Z")
            size = self.held.blob(f"sha256-{digest}").stat().st_size
            mine = {"name": one.name, "model": one.name, "expires_at": moment, "size": size}
            found.append(answer["models"][0] | mine | {"context_length": one.context})
        self._say(200, {"models": found})

    def _show(self, body: dict[str, Any], answer: dict[str, Any]) -> None:
        model = self.held.find(body["model"])
        answer["modelfile"] = f"FROM {self.held.blob(f'sha256-{model.digest}')}"
        answer["parameters"] = "\n".join(f"{name:30} {value}" for name, value in model.parameters.items())
        self._say(200, answer | {"capabilities": self.held.capabilities})

    def _create(self, body: dict[str, Any], answer: dict[str, Any]) -> None:
        if "from" in body:
            base = self.held.find(body["from"])
        else:
            (given,) = body["files"].values()
            place = self.held.blob(given)
            if not place.exists():
                raise Refused(500, f"open {place}: no such file or directory")
            if place.read_bytes()[:4] != b"GGUF":
                raise Refused(400, "supplied file was not in GGUF format")
            base = Model(given.removeprefix("sha256:"), {})
        self.held.models[body["model"]] = Model(base.digest, base.parameters | body.get("parameters", {}))
        self._say(200, answer)

    def _delete(self, body: dict[str, Any], _answer: object) -> None:
        model = self.held.find(body["model"])
        del self.held.models[body["model"]]
        if not any(one.digest == model.digest for one in self.held.models.values()):
            self.held.blob(f"sha256-{model.digest}").unlink()
        self._say(200, None)

    def _generate(self, body: dict[str, Any], answer: dict[str, Any]) -> None:
        prompt = str(body.get("prompt") or "")
        if not prompt and body.get("keep_alive") == 0:
            self.held.alive().pop(self.held.find(body["model"]).digest, None)
            self._say(200, answer | {"done_reason": "unload"})
            return
        _model, options = self.held.bring(body["model"], body.get("options") or {}, body.get("keep_alive"))
        if not prompt:
            if "completion" not in self.held.capabilities:
                raise Refused(400, f'"{body["model"]}" does not support generate')
            self._say(200, answer | {"done_reason": "load"})
            return
        self._stream(prompt.encode(), options, body, answer, lambda text: {"response": text})

    def _chat(self, body: dict[str, Any], answer: dict[str, Any]) -> None:
        for message in body["messages"]:
            if strange := set(message) - set(API["message"]):
                raise Refused(400, f"undocumented in a message: {sorted(strange)}")
            for call in message.get("tool_calls", ()):
                if not isinstance(call["function"]["arguments"], dict):
                    raise Refused(400, "json: cannot unmarshal string into Go struct field .arguments")
        _model, options = self.held.bring(body["model"], body.get("options") or {}, body.get("keep_alive"))
        written = "".join(json.dumps(one) for one in body.get("tools", ()))
        written += "".join(
            f"<{one['role']}>{one['content']}{json.dumps(one.get('tool_calls', ''))}" for one in body["messages"]
        )
        self._stream(
            written.encode(), options, body, answer, lambda text: {"message": {"role": "assistant", "content": text}}
        )

    def _embed(self, body: dict[str, Any], answer: dict[str, Any]) -> None:
        self.held.bring(body["model"], {}, body.get("keep_alive"))
        texts = [body["input"]] if isinstance(body["input"], str) else body["input"]
        vectors = [[float(one) for one in hashlib.sha256(text.encode()).digest()[:8]] for text in texts]
        self._say(200, answer | {"embeddings": vectors})

    def _stream(
        self, prompt: bytes, options: Mapping[str, Any], body: dict[str, Any], answer: dict[str, Any], show: Any
    ) -> None:
        given, reason = continued(prompt, options)
        counts = {"prompt_eval_count": len(prompt), "eval_count": len(given), "done_reason": reason}
        counts |= {"prompt_eval_duration": 1_000_000 * len(prompt), "eval_duration": 1_000_000 * len(given)}
        if body.get("stream") is False:
            self._say(200, answer | show("".join(given)) | counts)
            return
        self.send_response(200)
        self.send_header("Content-Type", "application/x-ndjson")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        for number, text in enumerate(given):
            if 0 < self.held.trouble.say_after <= number:
                self._line({"error": "an error was encountered while running the model"})
                return
            if 0 < self.held.trouble.stop_after <= number:
                return
            self._line({"model": answer["model"], "created_at": answer["created_at"], **show(text), "done": False})
        self._line(answer | show("") | counts)

    def _line(self, content: Mapping[str, Any]) -> None:
        self.wfile.write(json.dumps(content, ensure_ascii=False).encode() + b"\n")
        self.wfile.flush()

    def _say(self, status: int, content: object) -> None:
        payload = b"" if content is None or self.command == "HEAD" else json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)


@contextmanager
def fake_ollama(folder: Path, trouble: Trouble | None = None) -> Iterator[FakeOllama]:
    """An Ollama that keeps its models in ``folder``, for the length of a block."""
    (folder / "blobs").mkdir(parents=True, exist_ok=True)
    held = FakeOllama(folder, trouble or Trouble())
    handler = type("Bound", (Handler,), {"held": held})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        held.address = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield held
        finally:
            server.shutdown()
            thread.join()
