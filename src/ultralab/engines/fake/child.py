"""The process of the fake engine: llama.cpp's dialect over the standard library's HTTP server.

Tokens are the text's UTF-8 bytes. The model's favourite after a prefix is a hash of the prefix's last byte, and the
log-probability of a token is −1 for the favourite and −3 for any other: nonsense, but the same everywhere.
"""

from __future__ import annotations

import hmac
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast

from ultralab import __version__
from ultralab.engines import events
from ultralab.machine.footprint import footprint
from ultralab.system import environ
from ultralab.system.parent import end_with_parent

_VOCABULARY = 256
_BLANK = 32


@dataclass
class _State:
    """What the one model of this process needs while it serves."""

    context: int
    secret: str
    trouble: dict[str, Any]
    requests: int = 0
    cached: list[int] = field(default_factory=list)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, state: _State) -> None:
        self.state = state
        super().__init__(("127.0.0.1", 0), _Handler)


def main() -> int:
    """Load nothing, serve, wait to be ended."""
    end_with_parent()
    request = json.loads(environ.take("ULTRALAB_ENGINE_REQUEST"))
    events.emit("started", pid=os.getpid(), version=f"fake {__version__}", footprint=footprint(os.getpid()))
    try:
        trouble = _trouble(Path(request["model"]))
    except (OSError, ValueError) as error:
        events.emit("failed", reason=str(error))
        return 1
    if reason := trouble.get("fail_load"):
        events.emit("failed", reason=str(reason))
        return 1
    server = _Server(_State(int(request["options"]["context"]), str(request["secret"]), trouble))
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    events.emit("progress", share=0.5)
    events.emit("ready", url=f"http://127.0.0.1:{server.server_address[1]}")
    server.serve_forever()
    return 0


def _trouble(model: Path) -> dict[str, Any]:
    with model.open("rb") as stream:
        start = stream.read(4096)
    found = json.loads(start) if start.startswith(b"{") else {}
    return cast("dict[str, Any]", found)


def favourite(prefix: list[int]) -> int:
    """The token that the fake prefers after a prefix."""
    last = prefix[-1] if prefix else 0
    return _BLANK + (last * 7 + 13) % 95


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else each answer, head and body apart, waits 40 ms for an acknowledgement
    server: _Server

    def log_message(self, format: str, *args: object) -> None:
        sys.stderr.write(format % args + "\n")

    def do_POST(self) -> None:
        state = self.server.state
        state.requests += 1
        if 0 < state.trouble.get("die_after", 0) < state.requests:
            os.kill(os.getpid(), signal.SIGKILL)
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))  # read before any answer: kept alive
        given = self.headers.get("Authorization", "")
        if not hmac.compare_digest(given.encode(), f"Bearer {state.secret}".encode()):
            self._answer(401, {"error": {"message": "Invalid API Key"}})
            return
        routes: dict[str, Callable[[dict[str, Any]], None]] = {
            "/tokenize": self._tokenize,
            "/completion": self._completion,
            "/v1/chat/completions": self._chat,
        }
        if route := routes.get(self.path):
            route(body)
        else:
            self._answer(404, {"error": {"message": "File Not Found"}})

    def _tokenize(self, body: dict[str, Any]) -> None:
        self._answer(200, {"tokens": list(str(body["content"]).encode())})

    def _chat(self, body: dict[str, Any]) -> None:
        words = "You said: " + str(body["messages"][-1]["content"])
        message = {"role": "assistant", "content": words[: body.get("max_tokens", 100)]}
        self._answer(200, {"object": "chat.completion", "choices": [{"index": 0, "message": message}]})

    def _completion(self, body: dict[str, Any]) -> None:
        prompt, count = [int(token) for token in body["prompt"]], int(body["n_predict"])
        state = self.server.state
        if len(prompt) + count > state.context:
            self._answer(400, {"error": {"message": "the request exceeds the available context size"}})
            return
        cached = _common(prompt, state.cached) if body.get("cache_prompt") else 0
        state.cached = prompt
        self._pause(len(prompt) - cached)
        if body.get("stream"):
            self._stream(prompt, count)
            return
        best = favourite(prompt)
        biased = body.get("logit_bias", [])
        given = int(biased[0][0]) if biased else best
        entry = {
            "id": given,
            "logprob": -1.0 if given == best else -3.0,
            "top_logprobs": [{"id": best, "logprob": -1.0}],
        }
        self._answer(200, {"content": chr(given), "completion_probabilities": [entry]})

    def _stream(self, prompt: list[int], count: int) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        begun = time.perf_counter()
        tokens = list(prompt)
        for number in range(1, count + 1):
            self._pause(1)
            tokens.append(favourite(tokens))
            piece = {"content": chr(tokens[-1]), "tokens": [tokens[-1]], "tokens_predicted": number, "stop": False}
            self._chunk(piece)
        spent = 1000 * (time.perf_counter() - begun) + 1e-3
        timings = {
            "cache_n": 0,
            "prompt_n": len(prompt),
            "prompt_ms": len(prompt) * (float(self.server.state.trouble.get("token_ms", 0)) + 1e-3),
            "predicted_n": count,
            "predicted_ms": spent,
        }
        self._chunk({"content": "", "tokens": [], "tokens_predicted": count, "stop": True, "timings": timings})
        self.close_connection = True

    def _pause(self, tokens: int) -> None:
        time.sleep(tokens * float(self.server.state.trouble.get("token_ms", 0)) / 1000)

    def _chunk(self, content: dict[str, Any]) -> None:
        self.wfile.write(b"data: " + json.dumps(content).encode() + b"\n\n")
        self.wfile.flush()

    def _answer(self, status: int, content: dict[str, Any]) -> None:
        payload = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)


def _common(left: list[int], right: list[int]) -> int:
    same = 0
    for mine, theirs in zip(left, right, strict=False):
        if mine != theirs:
            break
        same += 1
    return same


if __name__ == "__main__":
    sys.exit(main())
