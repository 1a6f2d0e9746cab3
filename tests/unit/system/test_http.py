"""The door to HTTP, against real servers on loopback."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from ultralab import __version__
from ultralab.kernel.errors import FetchFailed
from ultralab.system.http import explained, internet_client, loopback_client


class Handler(BaseHTTPRequestHandler):
    """``/echo`` answers with the request's headers, ``/moved`` leads there, ``/cut`` breaks off, ``/slow`` waits."""

    release = threading.Event()

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        if self.path == "/slow":
            self.release.wait(20)
        status = {"/echo": 200, "/cut": 200, "/slow": 200, "/moved": 302}.get(self.path, 404)
        content = "\n".join(f"{name}: {value}" for name, value in self.headers.items()).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content) + (10 if self.path == "/cut" else 0)))
        self.send_header("Location", "/echo")
        self.end_headers()
        with contextlib.suppress(BrokenPipeError):  # who asked for /slow has left
            self.wfile.write(content)


@pytest.fixture
def url() -> Iterator[str]:
    Handler.release.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        Handler.release.set()
        server.shutdown()
        thread.join()


def closed_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def test_the_secret_goes_with_every_request(url: str) -> None:
    with loopback_client(url, "s3cret") as client:
        assert "authorization: Bearer s3cret" in client.get("/echo").text.lower().replace("bearer", "Bearer")
        assert f"ultralab/{__version__}" in client.get("/echo").text
    with loopback_client(url) as client:
        assert "authorization" not in client.get("/echo").text.lower()


def test_loopback_ignores_proxies(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{closed_port()}")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with loopback_client(url) as client:
        assert client.get("/echo").status_code == 200
    with internet_client() as client, pytest.raises(FetchFailed), explained(url):  # the user's proxy is asked
        client.get(url + "/echo")


def test_the_internet_client_follows(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with internet_client() as client:
        answer = client.get(url + "/moved")
    assert (answer.status_code, str(answer.url)) == (200, url + "/echo")


def test_a_bad_status_is_explained(url: str) -> None:
    with loopback_client(url) as client, pytest.raises(FetchFailed) as caught, explained(url + "/none"):
        client.get("/none").raise_for_status()
    assert caught.value.message == f"{url}/none answered 404."
    assert caught.value.data == {"url": url + "/none", "status": 404}
    assert caught.value.hint


def test_a_refused_connection_is_explained() -> None:
    url = f"http://127.0.0.1:{closed_port()}"
    with loopback_client(url) as client, pytest.raises(FetchFailed) as caught, explained(url):
        client.get("/")
    assert caught.value.message.startswith(f"{url} cannot be reached: ")
    assert "refused" in caught.value.message
    assert caught.value.data == {"url": url}


@pytest.mark.parametrize("path", ["/cut", "/slow"])
def test_a_broken_and_a_late_answer_are_explained(url: str, path: str) -> None:
    with (
        loopback_client(url, read_timeout=0.3) as client,
        pytest.raises(FetchFailed, match=r"cannot be reached: ."),
        explained(url + path),
    ):
        client.get(path)


@pytest.mark.parametrize("address", ["http://[::1", "http://a\x00b/", "gopher://example.invalid/", "no address"])
def test_an_address_that_is_none_is_explained(address: str) -> None:
    with httpx.Client(trust_env=False) as client, pytest.raises(FetchFailed) as caught, explained(address):
        client.get(address)
    assert caught.value.data == {"url": address}


def test_other_errors_pass() -> None:
    with pytest.raises(ZeroDivisionError), explained("x"):
        raise ZeroDivisionError
