"""Answering one HTTP request: whole, or piece by piece, and noticing that the client has gone."""

from __future__ import annotations

import json
import select
import socket
from http.server import BaseHTTPRequestHandler
from queue import Empty
from typing import Any, Final

from ultralab.engines.serving.answer import Gone
from ultralab.engines.serving.scheduler import Event, Ticket
from ultralab.system import clock

_POLL_SECONDS: Final = 0.25  # how soon a client that went away is noticed where nothing is written to it


class Reply:
    """The answer to one request. Not for several threads. Raises Gone where nobody reads it any more."""

    def __init__(self, handler: BaseHTTPRequestHandler) -> None:
        self._handler = handler
        self._looked = clock.monotonic()
        self._chunked = False
        self._lines = False
        self.started = False

    def json(self, content: object, status: int = 200) -> None:
        """A whole answer."""
        payload = dumps(content)
        self._head(status, "application/json", f"{len(payload)}")
        if self._handler.command != "HEAD":
            self._write(payload)

    def begin(self, kind: str) -> None:
        """Start a stream of content type ``kind``."""
        self._lines = kind != "text/event-stream"
        self._chunked = self._handler.request_version != "HTTP/1.0"
        if not self._chunked:
            self._handler.close_connection = True
        self._head(200, kind, "")

    def send(self, piece: bytes) -> None:
        """One piece of a stream, on its way when this returns."""
        self._write(b"%x\r\n%b\r\n" % (len(piece), piece) if self._chunked else piece)

    def event(self, content: object) -> None:
        """One server-sent event of a stream."""
        self.send(b"data: " + dumps(content) + b"\n\n")

    def error(self, content: object) -> None:
        """End a stream with an error: as an event, or as a line."""
        if self._lines:
            self.send(dumps(content) + b"\n")
        else:
            self.event(content)
        self.end()

    def end(self) -> None:
        """End a stream."""
        if self._chunked:
            self._write(b"0\r\n\r\n")

    def wait(self, ticket: Ticket) -> Event:
        """The next event of a request that is at work."""
        while True:
            if clock.monotonic() - self._looked > _POLL_SECONDS:
                self._require_client()
            try:
                return ticket.events.get(timeout=_POLL_SECONDS)
            except Empty:
                continue

    def _require_client(self) -> None:
        self._looked = clock.monotonic()
        connection: socket.socket = self._handler.connection
        try:
            poll = select.poll()  # select() knows no file number above 1023
            poll.register(connection, select.POLLIN)
            if poll.poll(0) and not connection.recv(1, socket.MSG_PEEK):
                raise Gone
        except (OSError, ValueError) as error:
            raise Gone from error

    def _head(self, status: int, kind: str, length: str) -> None:
        self.started = True
        handler = self._handler
        handler.send_response(status)
        handler.send_header("Content-Type", kind)
        if length:
            handler.send_header("Content-Length", length)
        elif self._chunked:
            handler.send_header("Transfer-Encoding", "chunked")
        if handler.close_connection:
            handler.send_header("Connection", "close")
        try:
            handler.end_headers()
        except OSError as error:
            raise Gone from error

    def _write(self, content: bytes) -> None:
        try:
            self._handler.wfile.write(content)
        except OSError as error:
            raise Gone from error


def dumps(content: Any) -> bytes:
    """JSON, as UTF-8. Raises ValueError for NaN and the infinities, which JSON does not have."""
    return json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode(errors="replace")
