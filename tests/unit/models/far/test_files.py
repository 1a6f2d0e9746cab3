"""Reading a far file in parts: few requests, exactly the bytes asked for, and a clear word where a server misbehaves."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from ultralab.kernel.errors import FetchFailed, RequestError
from ultralab.models.far.bounds import Budget
from ultralab.models.far.files import FarFile, RangedFile, open_ranged
from ultralab.system import http

Handler = BaseHTTPRequestHandler


@dataclass
class Place:
    """A server that answers as ``answer`` says, and what it was asked: path, range, authorization."""

    content: bytes
    answer: Callable[[Handler, Place, int, int], None] | None = None
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    url: str = ""
    sent: int = 0


def send(handler: Handler, place: Place, status: int, body: bytes, headers: dict[str, str]) -> None:
    handler.send_response(status)
    for name, value in {"Content-Length": str(len(body)), **headers}.items():
        handler.send_header(name, value)
    handler.end_headers()
    place.sent += len(body)  # before the client can have it: else it may ask first
    handler.wfile.write(body)


def parts(handler: Handler, place: Place, start: int, end: int) -> None:
    body = place.content[start:end]
    span = f"bytes {start}-{start + len(body) - 1}/{len(place.content)}"
    if body:
        send(handler, place, 206, body, {"Content-Range": span})
    else:
        send(handler, place, 416, b"", {"Content-Range": f"bytes */{len(place.content)}"})


def whole(handler: Handler, place: Place, start: int, end: int) -> None:
    send(handler, place, 200, place.content, {})


def saying(span: str, **headers: str) -> Callable[[Handler, Place, int, int], None]:
    def answer(handler: Handler, place: Place, start: int, end: int) -> None:
        send(handler, place, 206, b"x" * 10, {"Content-Range": span, **headers})

    return answer


def status(code: int) -> Callable[[Handler, Place, int, int], None]:
    return lambda handler, place, start, end: send(handler, place, code, b"", {})


def redirect(to: str) -> Callable[[Handler, Place, int, int], None]:
    return lambda handler, place, start, end: send(handler, place, 302, b"", {"Location": to})


@contextmanager
def served(place: Place) -> Iterator[Place]:
    class Answers(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            span = self.headers.get("Range", "")
            place.asked.append((self.path, span, self.headers.get("Authorization", "")))
            first, _dash, last = span.removeprefix("bytes=").partition("-")
            size = len(place.content)
            start = int(first) if first else max(0, size - int(last or 0))
            end = min(size, int(last) + 1) if first and last else size
            with suppress(ConnectionError):  # a client that has seen enough hangs up
                (place.answer or parts)(self, place, start, end)

        def log_message(self, format: str, *args: object) -> None:
            return

    class Server(ThreadingHTTPServer):
        request_queue_size = 64  # with 5, a sixth connection at once may wait for TCP to try again: 1, 3, 7, 15 s

    server = Server(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    place.url = f"http://127.0.0.1:{server.server_address[1]}/model.gguf"
    try:
        yield place
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


CONTENT = random.Random(4).randbytes(3_000_000)


def test_reading_on_fetches_more_and_more_ahead() -> None:
    with served(Place(CONTENT)) as place, http.internet_client() as client:
        stream = RangedFile(FarFile(client, (place.url,), size=len(CONTENT)))
        read = b"".join(iter(lambda: stream.read(1000), b""))
    assert read == CONTENT
    lengths = [int(span[6:].split("-")[1]) - int(span[6:].split("-")[0]) + 1 for _path, span, _token in place.asked]
    assert lengths == [131072, 262144, 524288, 1048576, len(CONTENT) - 15 * 131072]


def test_any_way_of_reading_gives_the_bytes() -> None:
    rng = random.Random(4)
    with served(Place(CONTENT)) as place, http.internet_client() as client:
        stream = RangedFile(FarFile(client, (place.url,), budget=Budget(10**9)))
        for _each in range(40):
            at, count = rng.randrange(len(CONTENT)), rng.choice((0, 1, 100, 70_000, 500_000))
            assert stream.seek(at) == at
            assert stream.read(count) == CONTENT[at : at + count]
            assert stream.tell() == min(len(CONTENT), at + count)
        stream.seek(-5, 2)
        assert stream.read() == CONTENT[-5:]
        assert stream.read(3) == b""


def test_what_was_read_is_not_asked_for_again() -> None:
    with served(Place(CONTENT)) as place, http.internet_client() as client:
        far = FarFile(client, (place.url,))
        for _each in range(5):
            assert RangedFile(far).read(100) == CONTENT[:100]
    assert len(place.asked) == 1


def test_several_threads_read_one_file() -> None:
    wrong: list[int] = []
    with served(Place(CONTENT)) as place, http.internet_client() as client:
        far = FarFile(client, (place.url,), budget=Budget(10**9))

        def read(seed: int) -> None:
            rng = random.Random(seed)
            stream = RangedFile(far)
            for _each in range(10):
                at = rng.randrange(len(CONTENT))
                stream.seek(at)
                if stream.read(50_000) != CONTENT[at : at + 50_000]:
                    wrong.append(seed)

        threads = [threading.Thread(target=read, args=(seed,)) for seed in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []


def test_the_budget_is_kept() -> None:
    with served(Place(CONTENT)) as place, http.internet_client() as client:
        stream = RangedFile(FarFile(client, (place.url,), budget=Budget(500_000)))
        with pytest.raises(FetchFailed, match="need more than"):
            stream.read()
    assert place.sent <= 500_000


@pytest.mark.parametrize("size", [None, 0])
def test_an_empty_file(size: int | None) -> None:
    with served(Place(b"")) as place, http.internet_client() as client:
        assert RangedFile(FarFile(client, (place.url,), size=size)).read() == b""


def test_a_small_file_is_read_whole_where_no_parts_are_sent() -> None:
    with served(Place(CONTENT[:5000], whole)) as place, http.internet_client() as client:
        stream = RangedFile(FarFile(client, (place.url,)))
        stream.seek(4000)
        assert stream.read() == CONTENT[4000:5000]
    assert len(place.asked) == 1


def test_a_large_file_without_parts_is_refused() -> None:
    with served(Place(CONTENT * 2, whole)) as place, http.internet_client() as client:
        with pytest.raises(FetchFailed, match="sends no parts of files"):
            RangedFile(FarFile(client, (place.url,)))
        with open_ranged(place.url) as stream:
            assert stream is None


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (saying("bytes 5-14/100"), "another part"),
        (saying("bytes 0-9/5"), "another part"),
        (saying("bytes 0-99/100"), "another part"),
        (saying("bytes 0-4/100"), "another part"),
        (saying("bytes 9-0/100"), "another part"),
        (saying("bytes 0-99999999999999999999999/100"), "another part"),
        (saying("items 0-9/100"), "another part"),
        (saying("bytes 0-9/99"), "99 bytes instead of 100"),
        (saying("bytes 0-9/100", **{"Content-Encoding": "gzip"}), "packed"),
        (saying("bytes 0-9/100", **{"Content-Length": "200"}), "cannot be reached"),
        (status(404), "does not exist .answer 404"),
        (status(403), "refuses access .answer 403"),
        (status(416), "shorter"),
        (status(503), "503"),
        (redirect("/model.gguf"), "without an end|cannot be reached"),  # a closed connection may be told first
        (redirect("ftp://example.org/x"), "cannot be reached"),
        (lambda handler, place, start, end: handler.connection.close(), "cannot be reached"),
    ],
)
def test_a_server_that_lies_is_told(answer: Callable[[Handler, Place, int, int], None], message: str) -> None:
    def closing(handler: Handler, place: Place, start: int, end: int) -> None:
        handler.close_connection = True
        answer(handler, place, start, end)

    with served(Place(b"x" * 100, closing)) as place, http.internet_client() as client:
        stream = RangedFile(FarFile(client, (place.url,), size=100))
        with pytest.raises((FetchFailed, RequestError), match=message) as caught:
            stream.read(10)
        assert caught.value.hint


def test_a_file_that_changes_meanwhile() -> None:
    def answer(handler: Handler, place: Place, start: int, end: int) -> None:
        span = f"bytes {start}-{end - 1}/{len(place.content)}"
        send(handler, place, 206, place.content[start:end], {"Content-Range": span, "ETag": f'"{len(place.asked)}"'})

    with served(Place(CONTENT, answer)) as place, http.internet_client() as client:
        stream = RangedFile(FarFile(client, (place.url,)))
        with pytest.raises(FetchFailed, match="changed while it was read"):
            stream.read(200_000)


def test_the_next_address_is_tried_without_the_token() -> None:
    with (
        served(Place(CONTENT, status(503))) as first,
        served(Place(CONTENT)) as second,
        http.internet_client() as client,
    ):
        dead = "http://127.0.0.1:9/x"
        stream = RangedFile(FarFile(client, (first.url, dead, second.url), token="secret"))
        assert stream.read(200_000) == CONTENT[:200_000]
    assert {token for _path, _span, token in first.asked} == {"Bearer secret"}
    assert {token for _path, _span, token in second.asked} == {""}
    assert len(first.asked) == 2  # then the address that answered is asked first


def test_a_refusal_is_not_carried_to_other_addresses() -> None:
    with (
        served(Place(CONTENT, status(401))) as first,
        served(Place(CONTENT)) as second,
        http.internet_client() as client,
        pytest.raises(RequestError, match="refuses access"),
    ):
        RangedFile(FarFile(client, (first.url, second.url)))
    assert second.asked == []


def test_the_token_stays_with_its_host_when_redirected() -> None:
    with served(Place(CONTENT)) as other:
        other_name = other.url.replace("127.0.0.1", "localhost")
        with served(Place(CONTENT, redirect(other_name))) as first, http.internet_client() as client:
            assert RangedFile(FarFile(client, (first.url,), token="secret")).read(10) == CONTENT[:10]
    assert [token for _path, _span, token in first.asked] == ["Bearer secret"]
    assert [token for _path, _span, token in other.asked] == [""]
    assert other.asked[0][1] == "bytes=0-131071"


def test_the_end_comes_first_for_archives() -> None:
    with served(Place(CONTENT)) as place, open_ranged(place.url) as stream:
        assert stream is not None
        stream.seek(-100, 2)
        assert stream.read() == CONTENT[-100:]
    assert [span for _path, span, _token in place.asked] == ["bytes=-65536"]
