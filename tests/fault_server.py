"""A small real HTTP server for tests: ranges, entity tags, and on order whatever a server can do wrong.

``with serve(Site(content)) as site`` serves one file at ``site.url`` and at every other path but ``/secret``. Each fault
in ``site.faults`` is used up by one request; ``site.always`` answers all others.
"""

from __future__ import annotations

import contextlib
import gzip
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PIECE = 64 * 1024
SEND_BUFFER = 128 * 1024


@dataclass
class Site:
    """What is served, and what was asked. ``spans`` are the bytes that were handed to the network, ``[start, end)``.

    ``sent`` counts them while they leave. ``rate`` limits each connection, in bytes a second. ``released`` ends every stall.
    """

    content: bytes
    etag: str = ""
    ranges: bool = True
    faults: list[Fault] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    url: str = ""
    always: Fault | None = None
    modified: str = ""
    rate: float = 0
    paths: list[str] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    spans: list[tuple[int, int]] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)
    at_work: int = 0
    most_at_work: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    sent: int = 0


Fault = Callable[[BaseHTTPRequestHandler, Site], None]


def status(code: int, retry_after: str = "0") -> Fault:
    """An answer with this status."""

    def answer(handler: BaseHTTPRequestHandler, _site: Site) -> None:
        handler.send_response(code)
        handler.send_header("Retry-After", retry_after)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer


def redirect(to: str, code: int = 302) -> Fault:
    """An answer that leads elsewhere."""

    def answer(handler: BaseHTTPRequestHandler, _site: Site) -> None:
        handler.send_response(code)
        handler.send_header("Location", to)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer


def hang_up_after(count: int, *, reset: bool = False) -> Fault:
    """The connection drops after ``count`` bytes of the body; with ``reset`` as hard as a network can."""

    def answer(handler: BaseHTTPRequestHandler, site: Site) -> None:
        start, end, whole = asked_span(handler, site)
        head(handler, site, start, end, whole=whole)
        body(handler, site, start, min(end, start + count))
        handler.wfile.flush()
        handler.close_connection = True
        if reset:
            handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            handler.connection.close()

    return answer


def stall_after(count: int) -> Fault:
    """No byte after the first ``count``, until the site releases it."""

    def answer(handler: BaseHTTPRequestHandler, site: Site) -> None:
        start, end, whole = asked_span(handler, site)
        head(handler, site, start, end, whole=whole)
        body(handler, site, start, min(end, start + count))
        handler.wfile.flush()
        site.released.wait(60)
        handler.close_connection = True

    return answer


def trickle(count: int, seconds: float) -> Fault:
    """``count`` bytes at a time, then a pause, until the site releases it or the reader leaves."""

    def answer(handler: BaseHTTPRequestHandler, site: Site) -> None:
        start, end, whole = asked_span(handler, site)
        head(handler, site, start, end, whole=whole)
        position = start
        while position < end and not site.released.wait(seconds):
            body(handler, site, position, min(end, position + count))
            position += count
        handler.close_connection = True

    return answer


def claiming(content_range: str = "", length: int | None = None, shift: int = 0, code: int | None = None) -> Fault:
    """An answer whose head lies: about the part (``{start} {end} {size}`` are filled in), its length, or its place."""

    def answer(handler: BaseHTTPRequestHandler, site: Site) -> None:
        start, end, whole = asked_span(handler, site)
        handler.send_response(code or (200 if whole else 206))
        if site.etag:
            handler.send_header("ETag", site.etag)
        text = (content_range or "bytes {start}-{last}/{size}").format(
            start=start, last=end - 1, size=len(site.content)
        )
        handler.send_header("Content-Range", text)
        handler.send_header("Content-Length", str(end - start if length is None else length))
        handler.end_headers()
        body(handler, site, start + shift, end + shift)
        handler.close_connection = length is not None

    return answer


def in_pieces() -> Fault:
    """The whole file by chunked transfer, its size unsaid."""

    def answer(handler: BaseHTTPRequestHandler, site: Site) -> None:
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        for start in range(0, len(site.content), PIECE):
            piece = site.content[start : start + PIECE]
            handler.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
        handler.wfile.write(b"0\r\n\r\n")

    return answer


def packed(*, honest: bool) -> Fault:
    """The whole file, said to be gzip: honestly packed, or as it is."""

    def answer(handler: BaseHTTPRequestHandler, site: Site) -> None:
        content = gzip.compress(site.content, 1) if honest else site.content
        handler.send_response(200)
        handler.send_header("Content-Encoding", "gzip")
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content)

    return answer


@contextmanager
def serve(site: Site, *, certificate: tuple[str, str] | None = None) -> Iterator[Site]:
    """Serve the site on loopback at ``site.url``; ``certificate`` (paths of chain and key) makes it https."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            self.request.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
            super().setup()

        def do_GET(self) -> None:
            with site.lock:
                site.asked.append(self.headers.get("Range", ""))
                site.paths.append(self.path)
                site.tokens.append(self.headers.get("Authorization", ""))
                site.at_work += 1
                site.most_at_work = max(site.most_at_work, site.at_work)
                fault = site.faults.pop(0) if site.faults else site.always
            try:
                (fault or plainly)(self, site)
            except OSError:
                self.close_connection = True  # the reader left
            finally:
                with site.lock:
                    site.at_work -= 1

        def finish(self) -> None:
            with contextlib.suppress(OSError, ValueError):
                super().finish()

        def log_message(self, format: str, *args: object) -> None:
            return

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 64

        def handle_error(self, request: object, client_address: object) -> None:
            return  # a reader that leaves in the middle is what these tests are about

    server = Server(("127.0.0.1", 0), Handler)
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    scheme = "http" if certificate is None else "https"
    site.url = f"{scheme}://127.0.0.1:{server.server_address[1]}/file.gguf"
    try:
        yield site
    finally:
        site.released.set()
        server.shutdown()
        server.server_close()
        thread.join()


def plainly(handler: BaseHTTPRequestHandler, site: Site) -> None:
    """What a good server answers."""
    start, end, whole = asked_span(handler, site)
    if start >= len(site.content) and not whole:
        handler.send_response(416)
        handler.send_header("Content-Range", f"bytes */{len(site.content)}")
        handler.send_header("Content-Length", "0")
        handler.end_headers()
        return
    head(handler, site, start, end, whole=whole)
    body(handler, site, start, end)


def asked_span(handler: BaseHTTPRequestHandler, site: Site) -> tuple[int, int, bool]:
    """The first byte, the end, and whether the whole file is to be sent because no part was asked for, or it changed."""
    size = len(site.content)
    span = handler.headers.get("Range", "") if site.ranges else ""
    if (validator := handler.headers.get("If-Range")) and validator not in (site.etag, site.modified):
        span = ""
    if not span:
        return 0, size, True
    first, _dash, last = span.removeprefix("bytes=").partition("-")
    start = int(first) if first else max(0, size - int(last))
    return start, (min(size, int(last) + 1) if first and last else size), False


def head(handler: BaseHTTPRequestHandler, site: Site, start: int, end: int, *, whole: bool) -> None:
    """The head of an honest answer."""
    handler.send_response(200 if whole else 206)
    if site.etag:
        handler.send_header("ETag", site.etag)
    if site.modified:
        handler.send_header("Last-Modified", site.modified)
    if not whole:
        handler.send_header("Content-Range", f"bytes {start}-{end - 1}/{len(site.content)}")
    handler.send_header("Content-Length", str(end - start))
    handler.end_headers()


def body(handler: BaseHTTPRequestHandler, site: Site, start: int, end: int) -> None:
    """Bytes of the file, counted as they leave."""
    view = memoryview(site.content)
    position = start
    try:
        while position < end:
            begun = time.monotonic()
            piece = view[position : min(end, position + PIECE)]
            with site.lock:
                site.sent += len(piece)
            handler.wfile.write(piece)
            position += len(piece)
            if site.rate:
                time.sleep(max(0.0, len(piece) / site.rate - (time.monotonic() - begun)))
    finally:
        with site.lock:
            site.spans.append((start, position))
