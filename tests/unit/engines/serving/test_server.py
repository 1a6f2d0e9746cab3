"""The whole server over real sockets, with the fake engine's model on a thread of its own."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import math
import os
import resource
import socket
import struct
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ultralab.engines.clients.served import ServedClient
from ultralab.engines.fake.model import FakeModel, favourite, load
from ultralab.engines.fake.trouble import Trouble
from ultralab.engines.options import LoadOptions, PromptCache
from ultralab.engines.serving.desk import Desk
from ultralab.engines.serving.http import Server
from ultralab.engines.serving.scheduler import Scheduler
from ultralab.engines.serving.types import Facts
from ultralab.engines.types import Ask, Endpoint, Sampling
from ultralab.kernel.errors import EngineFailed, Unsupported
from ultralab.system.process import allow_open_files

SECRET = "a secret"
HELLO = [{"role": "user", "content": "hello"}]


@dataclass(frozen=True)
class Running:
    """A server, and what is behind it."""

    server: Server
    model: FakeModel
    scheduler: Scheduler

    @property
    def endpoint(self) -> Endpoint:
        """Where it answers."""
        return Endpoint(self.server.url, SECRET)

    def ask(
        self, path: str, body: object = None, *, headers: Mapping[str, str] | None = None
    ) -> tuple[int, dict[str, Any]]:
        """A status and the JSON of an answer."""
        content = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        given = {"Authorization": f"Bearer {SECRET}"} if headers is None else dict(headers)
        with self.connect() as connection:
            connection.request("GET" if content is None else "POST", path, content, given)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())

    def events(self, path: str, body: dict[str, Any]) -> list[Any]:
        """The events of a stream."""
        headers = {"Authorization": f"Bearer {SECRET}"}
        with self.connect() as connection:
            connection.request("POST", path, json.dumps({**body, "stream": True}), headers)
            lines = connection.getresponse().read().decode().split("\n\n")
        assert lines.pop() == ""
        return [line if line == "data: [DONE]" else json.loads(line.removeprefix("data: ")) for line in lines]

    def connect(self) -> contextlib.closing[http.client.HTTPConnection]:
        """A connection to it."""
        return contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.server.server_address[1], timeout=10))


@contextlib.contextmanager
def _serving(folder: Path, trouble: str = "GGUF", **options: Any) -> Iterator[Running]:
    path = folder / "model"
    path.write_text(trouble)
    chosen = LoadOptions(**options)
    with _around(load(path, chosen, lambda _share: None), chosen) as found:
        yield found


@contextlib.contextmanager
def _around(model: FakeModel, chosen: LoadOptions) -> Iterator[Running]:
    scheduler = Scheduler()
    threading.Thread(target=scheduler.run, args=(model,), daemon=True).start()
    server = Server(Desk(model, chosen, scheduler), SECRET)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield Running(server, model, scheduler)
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server for tests that leave it as it was."""
    folder = tmp_path_factory.mktemp("server")
    cache = PromptCache(folder / "prompts", 10**6)
    with _serving(folder, context=200, parallel=2, prompt_cache=cache) as found:
        yield found


def _wait_until_idle(running: Running) -> None:
    deadline = time.monotonic() + 5
    while running.scheduler.health().busy:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_whole_chat_answer(running: Running) -> None:
    status, found = running.ask("/v1/chat/completions", {"messages": HELLO, "model": "mine", "cache_prompt": False})
    assert status == 200
    assert found["choices"] == [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "You said: hello"},
            "logprobs": None,
            "finish_reason": "stop",
        }
    ]
    prompt = len("<|user|>\nhello\n<|assistant|>\n")
    assert found["usage"] == {
        "prompt_tokens": prompt,
        "completion_tokens": 16,  # the end of the text included
        "total_tokens": prompt + 16,
        "prompt_tokens_details": {"cached_tokens": 0},
    }
    timings = found["timings"]
    assert (timings["cache_n"], timings["prompt_n"], timings["predicted_n"]) == (0, prompt, 16)
    assert timings["prompt_ms"] > 0
    assert (found["object"], found["model"]) == ("chat.completion", "mine")


def test_a_streamed_chat_answer(running: Running) -> None:
    body = {"messages": [{"role": "user", "content": "你🎉"}], "stream_options": {"include_usage": True}}
    *chunks, counts, done = running.events("/v1/chat/completions", body)
    assert done == "data: [DONE]"
    assert "".join(one["choices"][0]["delta"].get("content", "") for one in chunks) == "You said: 你🎉"
    assert [one["choices"][0]["finish_reason"] for one in chunks] == [None] * (len(chunks) - 1) + ["stop"]
    assert counts["choices"] == []
    assert counts["usage"]["completion_tokens"] == counts["timings"]["predicted_n"] == 10 + 7 + 1
    assert {one["object"] for one in chunks} == {"chat.completion.chunk"}
    roles = [one["choices"][0]["delta"].get("role") for one in chunks]  # OpenAI's own client makes its message of it
    assert roles == ["assistant", *([None] * (len(chunks) - 1))]
    assert len({one["id"] for one in (*chunks, counts)}) == 1


def test_reasoning_and_tool_calls_are_told_apart(running: Running) -> None:
    _status, found = running.ask("/v1/chat/completions", {"messages": [{"role": "user", "content": "think"}]})
    assert found["choices"][0]["message"] == {
        "role": "assistant",
        "content": "You said: think",
        "reasoning_content": "think",
    }
    tools = [{"type": "function", "function": {"name": "weather", "parameters": {}}}]
    body = {"messages": [{"role": "user", "content": "weather?"}], "tools": tools}
    _status, found = running.ask("/v1/chat/completions", body)
    (choice,) = found["choices"]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["tool_calls"] == [
        {"id": "call_0", "type": "function", "function": {"name": "weather", "arguments": '{"asked": "weather?"}'}}
    ]
    _status, found = running.ask("/v1/chat/completions", {**body, "tool_choice": "none"})
    assert found["choices"][0]["message"]["content"] == "You said: weather?"


def test_stops_and_limits(running: Running) -> None:
    _status, found = running.ask("/v1/chat/completions", {"messages": HELLO, "stop": ["d: h"]})
    assert found["choices"][0]["message"]["content"] == "You sai"
    assert found["choices"][0]["finish_reason"] == "stop"
    assert found["usage"]["completion_tokens"] == len("You said: h")
    _status, found = running.ask("/v1/chat/completions", {"messages": HELLO, "max_tokens": 3})
    assert found["choices"][0]["message"]["content"] == "You"
    assert found["choices"][0]["finish_reason"] == "length"
    _status, found = running.ask("/v1/completions", {"prompt": "a" * 190})
    assert found["usage"]["completion_tokens"] == 10  # what the context still holds


def test_log_probabilities(running: Running) -> None:
    _status, found = running.ask(
        "/v1/chat/completions", {"messages": HELLO, "max_tokens": 2, "logprobs": True, "top_logprobs": 2}
    )
    first, second = found["choices"][0]["logprobs"]["content"]
    best = favourite(b"\n")
    assert (first["token"], first["bytes"], first["logprob"]) == ("Y", [89], -3.0)
    assert [(one["id"], one["logprob"]) for one in first["top_logprobs"]] == [(best, -1.0), (32, -3.0)]
    assert second["token"] == "o"
    body = {"prompt": "a", "max_tokens": 3, "temperature": 0, "logprobs": 1}
    _status, found = running.ask("/v1/completions", body)
    logprobs = found["choices"][0]["logprobs"]
    assert "".join(logprobs["tokens"]) == found["choices"][0]["text"]
    assert logprobs["token_logprobs"] == [-1.0] * 3
    chunks = running.events("/v1/completions", body)[:-1]
    assert [
        one for chunk in chunks if chunk["choices"][0]["logprobs"] for one in chunk["choices"][0]["logprobs"]["tokens"]
    ] == (logprobs["tokens"])


def test_the_cache_is_counted_and_can_be_left_out(running: Running) -> None:
    prompt = "0123456789" * 5
    running.ask("/v1/completions", {"prompt": prompt, "max_tokens": 1})
    _status, again = running.ask("/v1/completions", {"prompt": prompt + "x", "max_tokens": 1})
    assert (again["timings"]["cache_n"], again["timings"]["prompt_n"]) == (50, 1)
    _status, without = running.ask("/v1/completions", {"prompt": prompt, "max_tokens": 1, "cache_prompt": False})
    assert (without["timings"]["cache_n"], without["timings"]["prompt_n"]) == (0, 50)


@pytest.mark.parametrize(
    ("path", "body", "status", "message"),
    [
        ("/v1/chat/completions", {"messages": []}, 400, "messages must be a list of at least one message."),
        ("/v1/completions", {"prompt": ""}, 400, "The prompt holds no tokens."),
        ("/completion", {"prompt": [1, 999]}, 400, "prompt holds a token outside the vocabulary of 257."),
        ("/completion", {"prompt": [1], "grammar": "root"}, 400, 'grammar = "root" cannot be done by this engine.'),
        ("/v1/embeddings", {"input": "a"}, 501, "This model, as it is loaded, cannot give embeddings."),
        ("/tokenize", {}, 400, "content must be a text."),
        ("/score", {"tokens": []}, 400, "The prompt holds no tokens."),
        ("/slots/0?action=restore", {"filename": "none"}, 400, "There is no prompt none."),
        ("/slots/0?action=save", {"filename": "../x"}, 400, "filename must be a plain file name."),
        ("/slots/0?action=save", {"filename": ".x"}, 400, "filename must be a plain file name."),
        ("/slots/0?action=erase", {"filename": "x"}, 400, "action must be save or restore."),
        ("/nowhere", {}, 404, "There is nothing at this path."),
        ("/health", {}, 405, "/health is not for POST."),
        ("/completion", None, 405, "/completion is not for GET."),
        ("/tokenize", b"{", 400, "The body is not JSON: "),
        ("/tokenize", b"[1]", 400, "The body must be a JSON object."),
    ],
)
def test_what_is_wrong_is_refused(running: Running, path: str, body: object, status: int, message: str) -> None:
    got, found = running.ask(path, body)
    assert (got, found["error"]["code"]) == (status, status)
    assert found["error"]["message"].startswith(message)


def test_too_long_a_prompt_is_refused_with_its_figures(running: Running) -> None:
    status, found = running.ask("/v1/completions", {"prompt": "a" * 200})
    assert status == 400
    assert found["error"]["message"] == (
        "The request exceeds the available context size: the prompt has 200 tokens, the context holds 200, "
        "the answer included."
    )
    assert (found["error"]["n_prompt_tokens"], found["error"]["n_ctx"]) == (200, 200)


@pytest.mark.parametrize("path", ["/health", "/props", "/v1/models", "/tokenize", "/nowhere"])
@pytest.mark.parametrize("given", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {SECRET}"}])
def test_nothing_is_said_to_strangers(running: Running, path: str, given: dict[str, str]) -> None:
    status, found = running.ask(path, headers=given)
    assert (status, found["error"]["message"]) == (401, "Invalid API key.")


@pytest.mark.parametrize(
    ("head", "status"),
    [
        ("POST /tokenize HTTP/1.1\r\nAuthorization: Bearer a secret\r\n", 411),
        ("POST /tokenize HTTP/1.1\r\nAuthorization: Bearer a secret\r\nTransfer-Encoding: gzip, chunked\r\n", 400),
        ("GET http://[/ HTTP/1.1\r\nAuthorization: Bearer a secret\r\nConnection: close\r\n", 400),
        ("GET /health HTTP/1.1\r\nAuthorization: Bearer x\r\nAuthorization: Bearer a secret\r\n", 401),
        ("OPTIONS /health HTTP/1.1\r\nOrigin: http://elsewhere\r\nAccess-Control-Request-Method: GET\r\n", 501),
        ("POST /tokenize HTTP/1.1\r\nAuthorization: Bearer a secret\r\nContent-Length: -5\r\n", 400),
        ("POST /tokenize HTTP/1.1\r\nAuthorization: Bearer a secret\r\nContent-Length: 99999999999\r\n", 413),
        ("POST /tokenize HTTP/1.1\r\nContent-Length: 99999999999\r\n", 401),
        ("BREW /pot HTTP/1.1\r\n", 501),
        ("nonsense\r\n", 400),
        ("GET / HTTP/9.9\r\n", 505),
    ],
)
def test_broken_requests(running: Running, head: str, status: int) -> None:
    with socket.create_connection(("127.0.0.1", running.server.server_address[1]), timeout=5) as connection:
        connection.sendall(head.encode() + b"\r\n")
        answer = b""
        while block := connection.recv(65536):
            answer += block
    if b"\r\n\r\n" in answer:
        start, _blank, body = answer.partition(b"\r\n\r\n")
        assert start.split()[1] == str(status).encode()
    else:  # a request without a version gets an answer without a head (HTTP/0.9)
        body = answer
    assert json.loads(body)["error"]["code"] == status


@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_a_body_may_come_in_chunks(running: Running, size: int) -> None:
    body = json.dumps({"content": "ab" * 10_000}).encode()
    with running.connect() as connection:
        for _again in range(2):  # what follows on the connection is the next request
            parts = (body[at : at + size] for at in range(0, len(body), size))
            connection.request("POST", "/tokenize", parts, {"Authorization": f"Bearer {SECRET}"}, encode_chunked=True)
            assert len(json.loads(connection.getresponse().read())["tokens"]) == 20_000
            size = max(size, 50)


def test_a_prompt_that_no_tokenizer_takes_is_the_askers_fault(running: Running) -> None:
    status, found = running.ask("/v1/chat/completions", {"messages": [{"role": "\ud83d", "content": "a"}]})
    assert (status, found["error"]["message"].startswith("The tokenizer refused the text: ")) == (400, True)


def test_a_vector_that_is_none_is_an_error_and_no_broken_json() -> None:
    class Damaged(FakeModel):
        def embed(self, tokens: Sequence[int]) -> Sequence[float]:
            return [math.nan]

    facts = Facts(100, 1, 257, frozenset(), frozenset({"embeddings"}))
    with _around(Damaged(facts, Trouble(), 10), LoadOptions()) as running:
        status, found = running.ask("/v1/embeddings", {"input": "a"})
        assert status == 500
        assert found["error"]["message"].startswith("The model's vector holds what is no number")


def test_a_thousand_open_files_do_not_make_a_client_look_gone(tmp_path: Path) -> None:
    allow_open_files()
    with contextlib.ExitStack() as held, _serving(tmp_path, '{"token_ms": 50}') as running:
        for _number in range(1100):
            held.callback(os.close, os.dup(0))
        body = {"prompt": "a", "max_tokens": 12}  # long enough to be looked after
        assert running.ask("/v1/completions", body)[1]["usage"]["completion_tokens"] == 12


def test_where_no_file_may_be_opened_any_more_the_processor_is_left_in_peace(tmp_path: Path) -> None:
    (tmp_path / "model").write_text("GGUF")
    model = load(tmp_path / "model", LoadOptions(), lambda _share: None)
    usual = resource.getrlimit(resource.RLIMIT_NOFILE)
    with Server(Desk(model, LoadOptions(), Scheduler()), SECRET) as server, contextlib.ExitStack() as held:
        for _number in range(10):  # the system takes them for the server
            held.enter_context(socket.create_connection(("127.0.0.1", server.server_address[1])))
        serving = threading.Thread(target=server.serve_forever, args=(0.01,))
        held.callback(serving.join)
        held.callback(server.shutdown)
        free = os.dup(0)
        os.close(free)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (free + 1, usual[1]))  # one: serving itself needs it
            serving.start()
            time.sleep(0.1)
            begun = time.process_time()
            time.sleep(0.4)
            assert time.process_time() - begun < 0.15
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, usual)


def test_a_client_that_does_not_read_holds_up_nobody_and_leaves_nothing(tmp_path: Path) -> None:
    with _serving(tmp_path, context=100_000, parallel=1) as running, socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.connect(("127.0.0.1", running.server.server_address[1]))
        body = json.dumps({"prompt": "a", "stream": True, "max_tokens": 30_000})
        head = f"POST /v1/completions HTTP/1.1\r\nAuthorization: Bearer {SECRET}\r\nContent-Length: {len(body)}\r\n\r\n"
        slow.sendall((head + body).encode())
        assert slow.recv(1) == b"H"
        assert running.ask("/v1/chat/completions", {"messages": HELLO, "max_tokens": 3})[0] == 200
        _wait_until_idle(running)


@pytest.mark.parametrize("sent", ["", "POST /v1/comp", "{head}", '{head}{"prompt"', '{head}{"prompt": "a"}'])
def test_a_client_may_vanish_at_any_moment(tmp_path: Path, sent: str) -> None:
    head = f"POST /v1/completions HTTP/1.1\r\nAuthorization: Bearer {SECRET}\r\nContent-Length: 15\r\n\r\n"
    with _serving(tmp_path, '{"token_ms": 20}', context=10_000, parallel=1) as running:
        before = threading.active_count()
        waiting = [socket.create_connection(("127.0.0.1", running.server.server_address[1])) for _number in range(5)]
        for connection in waiting:
            connection.sendall(sent.replace("{head}", head).encode())
        time.sleep(0.2)
        for connection in waiting:
            connection.close()
        _wait_until_idle(running)
        deadline = time.monotonic() + 5
        while threading.active_count() > before:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert running.ask("/v1/completions", {"prompt": "a", "max_tokens": 2})[0] == 200


def test_a_connection_is_kept_for_many_requests_and_streams(running: Running) -> None:
    headers = {"Authorization": f"Bearer {SECRET}"}
    with running.connect() as connection:
        connection.connect()
        first = connection.sock
        for stream in (False, True, True, False):
            connection.request("POST", "/v1/completions", json.dumps({"prompt": "a", "stream": stream}), headers)
            assert connection.getresponse().read()
        assert connection.sock is first


def test_native_generation_is_exact(running: Running) -> None:
    body = {"prompt": [97], "n_predict": 20, "ignore_eos": True, "cache_prompt": False, "temperature": 0}
    *pieces, last = running.events("/completion", body)
    tokens = [token for piece in pieces for token in piece["tokens"]]
    expected = [97]
    for _number in range(20):
        expected.append(favourite(expected))
    assert tokens == expected[1:]
    assert [piece["tokens_predicted"] for piece in pieces] == list(range(1, 21))
    assert (last["stop"], last["stop_type"], last["tokens_evaluated"]) == (True, "limit", 1)
    _status, whole = running.ask("/completion", {**body, "return_tokens": True})
    assert (whole["tokens"], whole["content"]) == (tokens, bytes(tokens).decode())


def test_a_seed_makes_the_same_text_and_another_another(running: Running) -> None:
    def text(seed: int) -> str:
        body = {"prompt": "a", "max_tokens": 40, "temperature": 1, "seed": seed}
        return str(running.ask("/v1/completions", body)[1]["choices"][0]["text"])

    assert text(1) == text(1) != text(2)


def test_what_it_says_of_itself(running: Running) -> None:
    _status, props = running.ask("/props")
    assert props["default_generation_settings"] == {"n_ctx": 200}
    assert (props["total_slots"], props["build_info"]) == (2, running.model.facts.version)
    assert running.ask("/health")[1] == {"status": "ok", "busy": 0, "stalled": 0.0}
    (one,) = running.ask("/v1/models")[1]["data"]
    assert one["meta"]["n_ctx"] == 200
    tokens = list("h你".encode())
    assert running.ask("/tokenize", {"content": "h你"})[1] == {"tokens": tokens}
    assert running.ask("/detokenize", {"tokens": [*tokens, 256]})[1] == {"content": "h你<|end|>"}
    assert running.ask("/apply-template", {"messages": HELLO})[1] == {"prompt": "<|user|>\nhello\n<|assistant|>\n"}


def test_embeddings_in_both_forms(tmp_path: Path) -> None:
    with _serving(tmp_path, embeddings=True) as running:
        status, found = running.ask("/v1/embeddings", {"input": ["aa", "b", [97]]})
        assert status == 200
        assert [one["embedding"][1] for one in found["data"]] == [1.0, 0.0, 1.0]
        assert found["usage"] == {"prompt_tokens": 4, "total_tokens": 4}
        _status, packed = running.ask("/v1/embeddings", {"input": "aa", "encoding_format": "base64"})
        vector = struct.unpack("<32f", base64.b64decode(packed["data"][0]["embedding"]))
        assert list(vector) == found["data"][0]["embedding"]
        assert running.ask("/v1/completions", {"prompt": "a"})[0] == 501


def test_a_client_that_leaves_frees_the_model(tmp_path: Path) -> None:
    with _serving(tmp_path, '{"token_ms": 20}', context=10_000, parallel=1) as running:
        for stream in (True, False):
            body = json.dumps({"prompt": "a", "stream": stream})
            with running.connect() as connection:
                connection.request("POST", "/v1/completions", body, {"Authorization": f"Bearer {SECRET}"})
                if stream:
                    with connection.getresponse() as answer:
                        answer.read(10)
                time.sleep(0.1)
                assert running.scheduler.health().busy == 1
            _wait_until_idle(running)
        assert not running.model.work


def test_the_client(running: Running) -> None:
    client = ServedClient(running.endpoint)
    try:
        assert (client.about().context, client.about().parallel) == (200, 2)
        assert client.about().capabilities == {"chat", "completion", "scoring", "tools"}
        tokens = client.tokenize("h你")
        assert client.detokenize(tokens) == "h你"
        assert len(client.generate(tokens, 12, 1).tokens) == 12
        scores = list(client.score(tokens))
        assert [score.token for score in scores] == list(tokens[1:])
        assert [score.favourite for score in scores] == [favourite([token]) for token in tokens[:-1]]
        assert list(client.score(tokens[:1])) == []
        assert client.chat(HELLO, 100) == "You said: hello"
        assert client.health(5).busy == 0
        assert client.keep("p") == client.recall("p") > 0
        with pytest.raises(EngineFailed, match="There is no prompt missing"):
            client.recall("missing")
        with pytest.raises(Unsupported):
            client.embed(["a"])
        pieces = list(client.stream(Ask(prompt="a", max_tokens=5, sampling=Sampling(seed=1))))
        assert len("".join(piece.text for piece in pieces)) == 5
        assert pieces[-1].finish == "length"
    finally:
        client.close()


def test_a_stream_that_is_closed_early_frees_the_model(tmp_path: Path) -> None:
    with _serving(tmp_path, '{"token_ms": 20}', context=10_000) as running:
        client = ServedClient(running.endpoint)
        stream = client.stream(Ask(prompt="a"))
        next(stream)
        stream.close()  # type: ignore[attr-defined]
        _wait_until_idle(running)
        assert client.chat(HELLO, 2) == "Yo"
        client.close()


def test_two_clients_are_served_at_once(tmp_path: Path) -> None:
    with _serving(tmp_path, '{"token_ms": 5}', parallel=2) as running:
        lengths: list[int] = []

        def work() -> None:
            client = ServedClient(running.endpoint)
            lengths.append(len(client.generate([97], 200, 1).tokens))
            client.close()

        threads = [threading.Thread(target=work) for _number in range(2)]
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + 5
        while len(running.model.work) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        for thread in threads:
            thread.join(20)
        assert lengths == [200, 200]


def test_a_model_that_stops_is_seen_from_outside(tmp_path: Path) -> None:
    with _serving(tmp_path, '{"hang_after": 1}') as running:
        client = ServedClient(running.endpoint)
        with running.connect() as connection:
            connection.request("POST", "/v1/completions", '{"prompt": "a"}', {"Authorization": f"Bearer {SECRET}"})
            time.sleep(0.3)
            found = client.health(2)
        assert found.busy == 1
        assert found.stalled > 0.1
        client.close()
