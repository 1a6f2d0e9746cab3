"""Answers that no server should give: each is the engine's failure, never a fault of ours."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from ultralab.engines.base import About, Endpoint, Health, TokenScore
from ultralab.engines.clients.llamaserver import LlamaServerClient, sampling_of
from ultralab.engines.clients.slots import Observer, latest
from ultralab.engines.types import GREEDY
from ultralab.kernel.errors import EngineFailed

TIMINGS = '{"cache_n": 0, "prompt_n": 1, "prompt_ms": 1, "predicted_n": 1, "predicted_ms": 1}'
PROPS = '{"default_generation_settings": {"n_ctx": 64}, "total_slots": 2}'
NOT_A_NUMBER = "The model's output is not a number: its weights are probably damaged."


@contextmanager
def answering(answer: str) -> Iterator[LlamaServerClient]:
    """A client of a server that gives the same answer to everything."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            refused = self.path == "/v1/embeddings"
            self.send_response(501 if refused else 200)
            self.end_headers()
            self.wfile.write(b'{"error": {"message": "no embeddings"}}' if refused else answer.encode())

        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write({"/props": PROPS, "/health": "{}"}.get(self.path, answer).encode())

        def log_message(self, format: str, *args: object) -> None:
            return None

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        client = LlamaServerClient(Endpoint(f"http://127.0.0.1:{server.server_address[1]}", "secret"))
        try:
            yield client
        finally:
            client.close()
            server.shutdown()
            thread.join()


def failure(answer: str, ask: Callable[[LlamaServerClient], object]) -> EngineFailed:
    with answering(answer) as client, pytest.raises(EngineFailed) as caught:
        ask(client)
    return caught.value


def scored(entry: str) -> str:
    return f'{{"completion_probabilities": [{entry}]}}'


@pytest.mark.parametrize(
    "answer",
    [
        *("null", "[]", "7", "{}", '{"tokens": null}', '{"tokens": [null]}', '{"tokens": ["a"]}', "{"),
        '{"tokens": [Infinity]}',
    ],
)
def test_tokenize(answer: str) -> None:
    error = failure(answer, lambda client: client.tokenize("x"))
    assert error.message.startswith("The engine's answer to /tokenize cannot be read: ")


@pytest.mark.parametrize(
    "answer",
    [
        *("null", "{}", '{"completion_probabilities": null}', scored(""), scored("null"), scored("{}")),
        scored('{"id": 2, "logprob": "low", "top_logprobs": [{"id": 2}]}'),
        scored('{"id": 2, "logprob": [1], "top_logprobs": [{"id": 2}]}'),
        scored('{"id": 2, "logprob": -1}'),
        scored('{"id": 2, "logprob": -1, "top_logprobs": []}'),
        scored('{"id": 2, "logprob": -1, "top_logprobs": [{"id": null}]}'),
    ],
)
def test_score(answer: str) -> None:
    error = failure(answer, lambda client: list(client.score([1, 2])))
    assert error.message.startswith("The engine's answer to /completion cannot be read: ")


@pytest.mark.parametrize("logprob", ["null", "NaN", "-Infinity", "Infinity"])
def test_a_score_that_is_no_number(logprob: str) -> None:
    answer = scored(f'{{"id": 2, "logprob": {logprob}, "top_logprobs": [{{"id": 2}}]}}')
    error = failure(answer, lambda client: list(client.score([1, 2])))
    assert (error.message, error.hint.split(".")[0]) == (NOT_A_NUMBER, "Check the files: ultralab models verify")


def test_a_good_score() -> None:
    answer = scored('{"id": 2, "logprob": -1.5, "top_logprobs": [{"id": 9}]}')
    with answering(answer) as client:
        assert list(client.score([1, 2, 2])) == [TokenScore(2, -1.5, 9)] * 2


@pytest.mark.parametrize(
    "chunk", ["null", "[]", "{", '{"choices": [null]}', '{"choices": [{"delta": {"content": 5}}]}']
)
def test_chat(chunk: str) -> None:
    error = failure(f"data: {chunk}\n\n", lambda client: client.chat([{"role": "user", "content": "x"}], 5))
    assert error.message.startswith("The engine's answer to /v1/chat/completions cannot be read: ")


def test_a_chat_that_ends_in_the_middle() -> None:
    error = failure('data: {"choices": []}\n\n', lambda client: client.chat([{"role": "user", "content": "x"}], 5))
    assert error.message == "The engine's answer ended in the middle."


@pytest.mark.parametrize(
    "chunk",
    [
        *("null", "[]", "{", '{"tokens_predicted": null}', '{"tokens_predicted": 1, "timings": {}, "content": "a"'),
        '{"tokens_predicted": 1, "timings": {"cache_n": null}, "content": "a"}',
        '{"tokens_predicted": 1, "timings": 5, "content": "a"}',
        '{"tokens_predicted": 1, "content": null, "timings": {"cache_n": 0}}',
        f'{{"tokens_predicted": 1, "content": null, "timings": {TIMINGS}}}',
    ],
)
def test_generate(chunk: str) -> None:
    error = failure(f"data: {chunk}\n\n", lambda client: client.generate([1], 1, 0))
    assert error.message.startswith("The engine's answer to /completion cannot be read: ")


def test_a_generation_without_tokens() -> None:
    error = failure("data: {}\n\n", lambda client: client.generate([1], 3, 0))
    assert error.message == "The engine gave 0 of 3 tokens."


def test_what_it_says_of_itself() -> None:
    with answering("{}") as client:
        assert client.about() == About(64, 2, frozenset({"chat", "completion", "scoring"}))


@pytest.mark.parametrize("answer", ["null", "{", "{}", '[{"is_processing": true, "next_token": 5}]', "[7]"])
def test_slots_that_cannot_be_read(answer: str) -> None:
    error = failure(answer, lambda client: client.health(5))
    assert error.message.startswith("The engine's answer to /slots cannot be read: ")


def test_the_whole_sampling_is_sent() -> None:
    assert sampling_of(GREEDY) == {
        "temperature": 0.0,
        "top_p": 1.0,
        "top_k": 0,
        "min_p": 0.0,
        "repeat_penalty": 1.0,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
    }


def slot(number: int, task: int, decoded: int, *, busy: bool = True) -> dict[str, object]:
    return {
        "id": number,
        "id_task": task,
        "is_processing": busy,
        "n_prompt_tokens": 9,
        "n_prompt_tokens_processed": 9,
        "next_token": [{"n_decoded": decoded}],
    }


def test_work_that_goes_on_is_not_stalled_and_work_that_does_not_is() -> None:
    observer = Observer()
    assert observer.seen([slot(0, 1, 5)], 10) == Health(1, 0)
    assert observer.seen([slot(0, 1, 6)], 13) == Health(1, 0)
    assert observer.seen([slot(0, 1, 6)], 17) == Health(1, 4)
    assert observer.seen([slot(0, 1, 6), slot(1, 2, 0)], 18) == Health(2, 0)
    assert observer.seen([slot(0, 1, 6, busy=False)], 30) == Health(0, 0)
    assert observer.seen([slot(0, 3, 6)], 31) == Health(1, 0)


def test_slots_that_do_not_answer_are_at_work_since_they_last_showed_something_new() -> None:
    observer = Observer()
    assert observer.silent(5) == Health(1, 0)
    assert observer.silent(8) == Health(1, 3)
    assert observer.seen([slot(0, 1, 5)], 9) == Health(1, 0)
    assert observer.silent(11) == Health(1, 2)


def test_the_slot_that_worked_last() -> None:
    assert latest([slot(0, 3, 1), slot(1, 8, 1), {"id": 2}]) == 1
    assert latest([{"id": 0, "n_prompt_tokens": 0}, {"id": 1, "n_prompt_tokens": 0}]) == 0
    assert latest([]) == 0
