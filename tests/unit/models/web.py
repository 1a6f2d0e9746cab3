"""A small HTTP server for download tests: ranges, entity tags, and failures on order."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Site:
    """What is served, and what was asked. ``faults`` are used up, one per request, before normal answers."""

    content: bytes
    etag: str = ""
    ranges: bool = True
    faults: list[Callable[[BaseHTTPRequestHandler, Site], None]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    url: str = ""


def status(code: int, retry_after: str = "0") -> Callable[[BaseHTTPRequestHandler, Site], None]:
    """A fault: an answer with this status."""

    def answer(handler: BaseHTTPRequestHandler, _site: Site) -> None:
        handler.send_response(code)
        handler.send_header("Retry-After", retry_after)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer


def hang_up_after(count: int) -> Callable[[BaseHTTPRequestHandler, Site], None]:
    """A fault: the connection drops after ``count`` bytes."""

    def answer(handler: BaseHTTPRequestHandler, site: Site) -> None:
        start = _start(handler) if site.ranges else 0
        _head(handler, site, start)
        handler.wfile.write(site.content[start : start + count])
        handler.wfile.flush()
        handler.close_connection = True

    return answer


@contextmanager
def serve(site: Site) -> Iterator[Site]:
    """Serve the site on loopback at ``site.url``."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            site.asked.append(self.headers.get("Range", ""))
            if site.faults:
                site.faults.pop(0)(self, site)
                return
            span = self.headers.get("Range", "") if site.ranges else ""
            if (validator := self.headers.get("If-Range")) and validator != site.etag:
                span = ""
            _answer(self, site, span)

        def log_message(self, format: str, *args: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    site.url = f"http://127.0.0.1:{server.server_address[1]}/file.gguf"
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _answer(handler: BaseHTTPRequestHandler, site: Site, span: str) -> None:
    if not span:
        _head(handler, site, 0, partial=False)
        handler.wfile.write(site.content)
        return
    first, _dash, last = span.removeprefix("bytes=").partition("-")
    size = len(site.content)
    start = int(first) if first else max(0, size - int(last))
    end = min(size, int(last) + 1) if first and last else size
    if start >= size:
        handler.send_response(416)
        handler.send_header("Content-Range", f"bytes */{size}")
        handler.send_header("Content-Length", "0")
        handler.end_headers()
        return
    _head(handler, site, start, end)
    handler.wfile.write(site.content[start:end])


def _head(
    handler: BaseHTTPRequestHandler, site: Site, start: int, end: int | None = None, *, partial: bool | None = None
) -> None:
    size = len(site.content)
    stop = size if end is None else end
    whole = (start == 0 and stop == size and not handler.headers.get("Range")) if partial is None else not partial
    handler.send_response(200 if whole else 206)
    if site.etag:
        handler.send_header("ETag", site.etag)
    if not whole:
        handler.send_header("Content-Range", f"bytes {start}-{stop - 1}/{size}")
    handler.send_header("Content-Length", str(stop - start))
    handler.end_headers()


def _start(handler: BaseHTTPRequestHandler) -> int:
    span = handler.headers.get("Range", "")
    return int(span.removeprefix("bytes=").partition("-")[0]) if span else 0
