"""What a reader of long bodies needs of the door to HTTP, against a real server."""

from __future__ import annotations

import socket
import threading

import httpx
import pytest
from tests.fault_server import Site, redirect, serve, stall_after, trickle

from ultralab.kernel.errors import FetchFailed
from ultralab.system import http


def test_same_origin() -> None:
    assert http.same_origin("https://Host/a", "https://host:443/b?c")
    assert not http.same_origin("https://host/a", "http://host/a")
    assert not http.same_origin("https://host/a", "https://host:444/a")
    assert not http.same_origin("https://host/a", "https://host.evil/a")
    assert not http.same_origin("https://user@evil/", "https://host/")
    assert not http.same_origin("https://host/", "https://[broken")


def test_little_is_held_unread() -> None:
    site = Site(b"x" * 10_000_000)
    with serve(site), http.internet_client() as client, client.stream("GET", site.url) as answer:
        http.limit_receiving(answer, 256 * 1024)
        connection = answer.extensions["network_stream"].get_extra_info("socket")
        assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) <= 256 * 1024


def test_a_waiting_reader_is_freed_by_hanging_up() -> None:
    site = Site(b"x" * 1000, always=stall_after(10))
    with serve(site), http.internet_client() as client, client.stream("GET", site.url) as answer:
        chunks = answer.iter_raw()
        assert next(chunks) == b"x" * 10
        threading.Timer(0.05, http.hang_up, [answer]).start()
        with pytest.raises(FetchFailed), http.explained(site.url):
            next(chunks)
        http.hang_up(answer)  # it ended already


def test_a_silent_server_is_left_after_the_time_that_was_given() -> None:
    site = Site(b"x" * 1000, always=trickle(10, 30))
    with (
        serve(site),
        http.internet_client(read_timeout=0.1) as client,
        pytest.raises(FetchFailed) as caught,
        http.explained(site.url),
    ):
        client.get(site.url)
    assert "cause" not in caught.value.data


def test_causes_that_trying_again_does_not_mend() -> None:
    with serve(Site(b"", always=redirect("/"))) as site, http.internet_client() as client:
        with pytest.raises(FetchFailed) as caught, http.explained(site.url):
            client.get(site.url)
        assert caught.value.data["cause"] == "redirects"


def test_what_is_wrongly_packed() -> None:
    assert http.is_wrongly_packed(httpx.DecodingError("x"))
    assert not http.is_wrongly_packed(httpx.ReadError("x"))
