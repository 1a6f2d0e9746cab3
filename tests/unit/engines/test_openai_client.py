"""OpenAI's dialect as servers really speak it, over real sockets: streams that are whole, strange, cut off, or none."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ultralab.engines.clients import answers, failures, openai_stream
from ultralab.engines.clients.openai import OpenAIClient, body_of, context_of, parted
from ultralab.engines.types import Ask, Endpoint, Piece, Sampling, ToolCall
from ultralab.kernel.errors import EngineFailed, Unsupported
from ultralab.system import addresses, clock

STREAMS = json.loads((Path(__file__).parents[2] / "fixtures" / "openai" / "streams.json").read_text())
HELLO = Ask(({"role": "user", "content": "Hello"},))


@dataclass
class Server:
    """What a server answers, and what it was asked: path, headers, body."""

    status: int = 200
    kind: str = "text/event-stream"
    answer: bytes = b""
    refuses: str = ""
    endless: bool = False
    moved: str = ""
    asked: list[tuple[str, dict[str, str], Any]] = field(default_factory=list)
    hung_up: threading.Event = field(default_factory=threading.Event)
    url: str = ""


@contextmanager
def serving(server: Server) -> Iterator[Server]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            return None

        def do_GET(self) -> None:
            data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            body = json.loads(data or b"null")
            server.asked.append((self.path, dict(self.headers), body))
            if server.moved:
                self.send_response(307)
                self.send_header("Location", server.moved)
                self.end_headers()
                return
            if server.refuses and body and server.refuses in body:
                self.say(400, "application/json", json.dumps({"error": f"unknown field {server.refuses}"}).encode())
                return
            self.say(server.status, server.kind, server.answer)
            try:
                while server.endless:
                    self.wfile.write(b'data: {"choices": [{"delta": {"content": "more "}}]}\n\n')
                    self.wfile.flush()
            except OSError:
                server.hung_up.set()

        do_POST = do_GET

        def say(self, status: int, kind: str, payload: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.end_headers()
            self.wfile.write(payload)

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        server.url = f"http://127.0.0.1:{http.server_address[1]}"
        thread = threading.Thread(target=http.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            http.shutdown()
            thread.join()


@contextmanager
def client_of(server: Server, model: str = "m") -> Iterator[OpenAIClient]:
    with serving(server):
        client = OpenAIClient(Endpoint(f"{server.url}/v1", "key", model))
        try:
            yield client
        finally:
            client.close()


def events(chunks: list[Any]) -> bytes:
    """Chunks as a server sends them; a text is a line as it is."""
    lines = [one if isinstance(one, str) else "data: " + json.dumps(one, ensure_ascii=False) for one in chunks]
    return "".join(f"{line}\n\n" for line in lines).encode()


def streamed(chunks: list[Any], ask: Ask = HELLO) -> list[Piece]:
    with client_of(Server(answer=events(chunks))) as client:
        return list(client.stream(ask))


def failure(server: Server, wish: Callable[[OpenAIClient], object]) -> EngineFailed:
    with client_of(server) as client, pytest.raises(EngineFailed) as caught:
        wish(client)
    return caught.value


@pytest.mark.parametrize("name", [one for one in STREAMS if one != "source"])
def test_each_server_s_stream_is_understood(name: str) -> None:
    case = STREAMS[name]
    pieces = streamed(case["chunks"])
    last = pieces[-1]
    assert "".join(piece.text for piece in pieces) == case["text"]
    assert "".join(piece.reasoning for piece in pieces) == case.get("reasoning", "")
    assert last.calls == tuple(ToolCall(*call) for call in case.get("calls", ()))
    assert last.finish == case["finish"]
    assert last.timings is not None
    counts = (last.timings.cached_tokens, last.timings.prompt_tokens, last.timings.generated_tokens)
    assert counts == tuple(case["counts"])
    assert last.timings.by_engine is case["by_engine"]
    assert all((piece.finish, piece.timings, piece.calls) == ("", None, ()) for piece in pieces[:-1])


def test_what_is_asked_is_what_openai_documents() -> None:
    server = Server(answer=events([{"choices": [{"text": "x", "finish_reason": "stop"}]}]))
    with client_of(server) as client:
        list(client.stream(Ask(prompt="Once", max_tokens=3, stop=("\n",), sampling=Sampling(temperature=0.5, seed=7))))
    ((path, headers, body),) = server.asked
    assert path == "/v1/completions"
    assert headers["Authorization"] == "Bearer key"
    assert body == {
        "model": "m", "prompt": "Once", "temperature": 0.5, "max_tokens": 3, "stop": ["\n"], "seed": 7,
        "top_p": 1.0, "presence_penalty": 0.0, "frequency_penalty": 0.0,
        "stream": True, "stream_options": {"include_usage": True},
    }  # fmt: skip


def test_a_server_that_knows_no_counts_is_asked_again_without_and_from_then_on() -> None:
    server = Server(
        answer=events([{"choices": [{"delta": {"content": "x"}}]}, "data: [DONE]"]), refuses="stream_options"
    )
    with client_of(server) as client:
        assert [client.chat(HELLO.messages, 1) for _ in range(2)] == ["x", "x"]
    assert ["stream_options" in body for _path, _headers, body in server.asked] == [True, False, False]


def test_another_refusal_is_not_asked_again() -> None:
    server = Server(refuses="temperature")
    error = failure(server, lambda client: list(client.stream(HELLO)))
    assert error.message == "The engine refused the request: unknown field temperature"
    assert error.data == {"status": 400}
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("chunks", "said"),
    [
        (["data: {"], "cannot be read: JSONDecodeError"),
        (["data: [1]"], "cannot be read: AttributeError"),
        (["<html>no</html>"], "cannot be read: ValueError: <html>no</html>"),
        ([{"choices": [{"delta": {"content": 5}}]}], "cannot be read: TypeError: int"),
        ([{"choices": [{"delta": {"content": "a"}}]}], "ended in the middle"),
        ([{"error": {"message": "out of\x1b memory"}}], "could not go on: out of\N{REPLACEMENT CHARACTER} memory"),
        (["event: error", {"error": "The model crashed."}], "could not go on: The model crashed."),
        (['error: {"code": 500, "message": "slot broke"}'], "could not go on: slot broke"),
        ([{"object": "error", "message": "too long"}], "could not go on: too long"),
        ([{"choices": [], "usage": {"prompt_tokens": "many"}}, "data: [DONE]"], "cannot be read: ValueError"),
    ],
)  # fmt: skip
def test_a_stream_that_is_none_is_the_engine_s_failure(chunks: list[Any], said: str) -> None:
    error = failure(Server(answer=events(chunks)), lambda client: list(client.stream(HELLO)))
    assert said in error.message
    assert error.hint


@pytest.mark.parametrize(
    ("reason", "status", "hint"),
    [
        ("Invalid API key", 401, "The server wants a key"),
        ("model 'x' not found", 404, "Check the name of the model"),
        ("307 Temporary Redirect", 307, "The server is elsewhere"),
        ("Loading model", 503, "The server is busy, or still loading"),
        ("top_k: extra fields not permitted", 422, "Change what the reason names"),
        ("the request exceeds the available context size", 400, "The prompt and the answer must fit"),
        ("This model's maximum context length is 4096 tokens", 400, "The prompt and the answer must fit"),
        ("prompt too long; exceeded max context length by 4 tokens", 400, "The prompt and the answer must fit"),
        ("cannot give embeddings", 501, "What each engine can do"),
        ("slot broke", 500, "Its log may say why."),
    ],
)
def test_every_refusal_comes_with_a_remedy(reason: str, status: int, hint: str) -> None:
    assert failures.remedy(reason, status).startswith(hint)


@pytest.mark.parametrize(
    ("status", "answer", "said"),
    [
        (401, b'{"error": {"message": "Invalid API Key"}}', "Invalid API Key"),
        (404, b"", "404 Not Found"),
        (422, b'{"detail": [{"msg": "extra"}]}', "extra"),
        (500, b"<html>" + b"x" * 1_000_000, "500 Internal Server Error"),
        (503, b'{"error": "Loading model"}', "Loading model"),
    ],
)
def test_a_refusal_is_told_with_its_reason_and_its_status(status: int, answer: bytes, said: str) -> None:
    for wish in (lambda client: list(client.stream(HELLO)), lambda client: client.embed(["x"]), OpenAIClient.about):
        error = failure(Server(status=status, kind="application/json", answer=answer), wish)
        assert said in error.message
        assert len(error.message) < 400
        assert error.data == {"status": status}
        assert error.hint == failures.remedy(said, status) != ""


def test_a_line_without_an_end_is_not_kept_for_ever() -> None:
    many = [b"data: " + b"x" * 1000] * 100

    class Answer:
        def iter_bytes(self) -> Iterator[bytes]:
            yield from many

    with pytest.raises(ValueError, match="more than 5000 bytes"):
        list(answers.lines(Answer(), 5000))  # type: ignore[arg-type]


@settings(deadline=None)
@given(
    st.lists(st.text(st.characters(exclude_characters="\n\r", exclude_categories=["Cs"])), max_size=8),
    st.integers(1, 9),
)
def test_lines_are_the_same_however_they_arrive(texts: list[str], size: int) -> None:
    sent = "".join(f"{text}\r\n" for text in texts).encode()

    class Answer:
        def iter_bytes(self) -> Iterator[bytes]:
            yield from (sent[at : at + size] for at in range(0, len(sent), size))

    assert list(answers.lines(Answer())) == texts  # type: ignore[arg-type]


def test_closing_a_stream_closes_the_connection() -> None:
    server = Server(endless=True)
    with client_of(server) as client:
        stream = client.stream(HELLO)
        assert [next(stream).text for _ in range(3)] == ["more "] * 3
        stream.close()  # type: ignore[attr-defined]
        assert server.hung_up.wait(5)
        server.endless = False


def test_an_answer_that_comes_at_once_is_taken_too() -> None:
    message = {
        "role": "assistant",
        "content": "Hi",
        "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": "{}"}}],
    }
    body = {"choices": [{"message": message, "finish_reason": "tool_calls"}], "usage": {"completion_tokens": 2}}
    with client_of(Server(kind="application/json", answer=json.dumps(body).encode())) as client:
        first, last = client.stream(HELLO)
    assert (first.text, last.finish, last.calls) == ("Hi", "tool_calls", (ToolCall("c", "f", "{}"),))


def test_a_redirect_never_carries_the_key_away() -> None:
    with serving(Server(answer=b"{}")) as elsewhere:
        error = failure(Server(moved=f"{elsewhere.url}/v1/models"), OpenAIClient.about)
        assert error.data == {"status": 307}
        assert elsewhere.asked == []


def test_vectors_are_put_in_order_and_made_as_long_as_one() -> None:
    data = [{"index": 1, "embedding": [0, 5]}, {"index": 0, "embedding": [3, 4]}]
    with client_of(Server(kind="application/json", answer=json.dumps({"data": data}).encode())) as client:
        first, second = client.embed(["a", "b"])
        assert first == pytest.approx((0.6, 0.8))
        assert second == (0.0, 1.0)
        assert client.embed([]) == ()


@pytest.mark.parametrize("vector", [[0, 0], [float("nan"), 1], ["a"], None, []])
def test_a_vector_that_is_none_is_the_engine_s_failure(vector: object) -> None:
    answer = json.dumps({"data": [{"index": 0, "embedding": vector}]}).encode()
    error = failure(Server(kind="application/json", answer=answer), lambda client: client.embed(["a"]))
    assert "/v1/embeddings cannot be read" in error.message


def test_it_says_what_the_server_says_of_its_context() -> None:
    listed = {"data": [{"id": "other", "max_model_len": 1}, {"id": "m", "meta": {"n_ctx_train": 9, "n_ctx": 8}}]}
    with client_of(Server(kind="application/json", answer=json.dumps(listed).encode())) as client:
        assert (client.about().context, client.about().template) == (8, "")
        assert client.health(5).busy == 0
    assert context_of({"max_model_len": 4096}) == 4096
    assert context_of({"context_length": "4096", "meta": None}) == 0


def test_what_the_dialect_cannot_ask_for_is_unsupported() -> None:
    client = OpenAIClient(Endpoint("http://127.0.0.1:9", ""))
    for wish in (lambda: client.tokenize("x"), lambda: client.score([1]), lambda: client.generate([1], 1, 1)):
        with pytest.raises(Unsupported):
            wish()
    client.close()


def test_nobody_there_is_told_soon() -> None:
    begun = clock.monotonic()
    client = OpenAIClient(Endpoint("http://127.0.0.1:9", ""))
    with pytest.raises(EngineFailed, match="does not answer"):
        list(client.stream(HELLO))
    client.close()
    assert clock.monotonic() - begun < 5


def test_a_body_names_what_openai_knows_and_the_rest_only_where_it_was_asked_for() -> None:
    assert body_of(HELLO) == {
        "messages": [{"role": "user", "content": "Hello"}],
        "temperature": 0.0, "top_p": 1.0, "presence_penalty": 0.0, "frequency_penalty": 0.0,
    }  # fmt: skip
    drawn = Sampling(1, 0.9, 40, 0.1, 1.1, 0.2, 0.3, 5)
    assert body_of(Ask(prompt="x", sampling=drawn, tools=({"type": "function"},))) == {
        "prompt": "x", "temperature": 1, "top_p": 0.9, "top_k": 40, "min_p": 0.1, "repeat_penalty": 1.1,
        "repetition_penalty": 1.1, "presence_penalty": 0.2, "frequency_penalty": 0.3, "seed": 5,
        "tools": [{"type": "function"}],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("given_as", "found"),
    [
        ("http://a:1", ("http://a:1", "/v1")),
        ("http://a:1/", ("http://a:1", "/v1")),
        ("http://a:1/v1", ("http://a:1", "/v1")),
        ("http://a:1/v1/", ("http://a:1", "/v1")),
        ("https://a/gate/v1", ("https://a/gate", "/v1")),
        ("https://v2.example.com", ("https://v2.example.com", "/v1")),
        ("https://v2", ("https://v2", "/v1")),
        ("https://a/api/paas/v4", ("https://a/api/paas/v4", "")),
        ("https://a/v1beta/openai/", ("https://a/v1beta/openai", "")),
    ],
)
def test_an_address_may_end_with_v1_or_name_another_version(given_as: str, found: tuple[str, str]) -> None:
    assert parted(given_as) == found


def test_a_server_whose_address_names_a_version_is_asked_there() -> None:
    server = Server(answer=events([{"choices": [{"delta": {"content": "x"}, "finish_reason": "stop"}]}]))
    with serving(server):
        client = OpenAIClient(Endpoint(f"{server.url}/api/paas/v4", "key", "m"))
        assert client.chat(HELLO.messages, 1) == "x"
        client.health(5)
        client.close()
    assert [path for path, _headers, _body in server.asked] == ["/api/paas/v4/chat/completions", "/api/paas/v4/models"]


@pytest.mark.parametrize("address", ["http://127.0.0.1:abc", "http://a\x01b", "https://" + "a" * 70_000])
def test_what_is_no_address_is_the_engine_s_failure(address: str) -> None:
    with pytest.raises(EngineFailed, match="does not answer") as caught:
        OpenAIClient(Endpoint(address, "key"))
    assert caught.value.hint == "See whether the server still runs, and whether its address is right."


def test_times_are_those_that_were_seen() -> None:
    ticks = iter([11.0, 12.5])
    sent = ['data: {"choices": [{"text": "a"}]}', 'data: {"choices": [{"text": "b", "finish_reason": "length"}]}']
    last = list(openai_stream.pieces(sent, lambda: next(ticks), 10.0))[-1]
    assert last.timings is not None
    assert (last.timings.prompt_ms, last.timings.generated_ms, last.timings.generated_tokens) == (1000, 1500, 2)


def test_the_token_that_ends_the_text_is_timed_where_it_is_counted() -> None:
    ticks = iter([11.0, 12.5, 13.0])
    chunks: list[dict[str, Any]] = [
        {"choices": [{"text": "a"}]},
        {"choices": [{"text": "b"}]},
        {"choices": [{"text": "", "finish_reason": "stop"}], "usage": {"prompt_tokens": 1, "completion_tokens": 3}},
    ]
    last = list(openai_stream.pieces([f"data: {json.dumps(one)}" for one in chunks], lambda: next(ticks), 10.0))[-1]
    assert last.timings is not None
    assert (last.timings.generated_tokens, last.timings.generated_ms, last.timings.decode_tok_s) == (3, 2000, 1.0)


@pytest.mark.parametrize(
    ("url", "here", "near"),
    [
        ("http://127.0.0.1:1", True, True), ("http://localhost", True, True), ("http://[::1]:8/v1", True, True),
        ("http://192.168.1.9", False, True), ("http://10.0.0.1", False, True), ("http://100.64.3.4", False, True),
        ("http://100.128.0.1", False, False), ("http://[fd7a:115c:a1e0::1]", False, True), ("http://studio", False, True),
        ("http://studio.local:1234", False, True), ("http://studio.tail.ts.net", False, True),
        ("http://8.8.8.8", False, False), ("http://example.com", False, False), ("http://local.example.com", False, False),
        ("http://127.0.0.1.example.com", False, False), ("http://notts.net", False, False), ("nonsense", False, False),
        ("http://[::ffff:8.8.8.8]", False, False), ("http://[::ffff:127.0.0.1]", True, True),
    ],
)  # fmt: skip
def test_where_an_address_leads(url: str, here: bool, near: bool) -> None:
    assert (addresses.is_loopback(url), addresses.is_near(url)) == (here, near)
