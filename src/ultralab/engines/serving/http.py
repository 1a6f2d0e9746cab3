"""The HTTP server of an engine's process: loopback only, every path behind the secret, nothing of a request in the log.

One thread per connection; none of them touches the model (see ``serving.scheduler``). ``Host`` and ``Origin`` are not
looked at: a page in a browser may send requests here, but it neither has the secret nor is allowed by the browser to send
an ``Authorization`` (that takes an answer to OPTIONS, which nobody gets), whatever name it calls this machine by.
"""

from __future__ import annotations

import errno
import hmac
import socketserver
import sys
from collections.abc import Callable
from functools import partial
from http.server import BaseHTTPRequestHandler
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from ultralab.engines.serving import chat, native, receive
from ultralab.engines.serving.answer import Gone
from ultralab.engines.serving.desk import Desk
from ultralab.engines.serving.fields import Body, Refused, parse
from ultralab.engines.serving.reply import Reply
from ultralab.engines.serving.scheduler import note
from ultralab.system import clock

_FULL_SECONDS: Final = 0.05
_IDLE_SECONDS: Final = 600.0  # for a connection that nobody uses, and for a client that does not read its answer

Question = Callable[[Desk, Reply], None]
Route = Callable[[Desk, Body, Reply], None]

_GET: Final[dict[str, Question]] = {
    "/health": native.health,
    "/props": native.props,
    "/v1/models": native.models,
    "/models": native.models,
}
_POST: Final[dict[str, Route]] = {
    "/v1/chat/completions": chat.chat,
    "/chat/completions": chat.chat,
    "/v1/completions": chat.completion,
    "/completions": chat.completion,
    "/v1/embeddings": native.embeddings,
    "/embeddings": native.embeddings,
    "/completion": native.completion,
    "/tokenize": native.tokenize,
    "/detokenize": native.detokenize,
    "/apply-template": native.template,
    "/score": native.score,
}


class Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """Serves one model on a port of 127.0.0.1 that the system picks."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, desk: Desk, secret: str) -> None:
        self.desk = desk
        self.expected = f"Bearer {secret}".encode()
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def get_request(self) -> tuple[Any, Any]:
        """The next connection. Where no file may be opened any more, it waits, and nobody turns round at full speed."""
        try:
            return super().get_request()
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                clock.sleep(_FULL_SECONDS)
            raise

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that broke is the client's own affair; anything else is a fault of ours."""
        error = sys.exc_info()[1]
        if isinstance(error, Exception) and not isinstance(error, OSError):
            note(error)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else each answer, head and body apart, waits 40 ms for an acknowledgement
    timeout = _IDLE_SECONDS
    server: Server

    def do_GET(self) -> None:
        """Answer a question without a body."""
        self._serve()

    def do_POST(self) -> None:
        """Answer a request."""
        self._serve()

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What the standard library refuses by itself, in the form of our own refusals."""
        self.close_connection = True
        usual = self.responses.get(code, ("",))[0]
        Reply(self).json(Refused(message or explain or usual or str(code), status=code).body(), code)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: request lines may carry what nobody should find in a log."""

    def _serve(self) -> None:
        reply = Reply(self)
        try:
            try:
                body = self._content()
                self._route()(self.server.desk, body, reply)
            except Refused as refused:
                _refuse(reply, refused)
            except (Gone, OSError):
                raise
            except Exception as error:  # noqa: BLE001 - the framework raises what it likes; the client must hear of it
                note(error)
                _refuse(reply, Refused(f"{type(error).__name__}: {error}", status=500))
        except Gone:
            self.close_connection = True

    def _content(self) -> Body:
        """The body. The secret is asked for first: strangers are not listened to. Raises Refused, Gone."""
        keep, self.close_connection = self.close_connection, True  # an unread rest would be taken for the next request
        given = self.headers.get("Authorization", "")
        if not hmac.compare_digest(given.encode(errors="replace"), self.server.expected):
            raise Refused("Invalid API key.", status=401, kind="authentication_error")
        content = receive.content(self.headers, self.rfile, self.command == "POST")
        self.close_connection = keep
        return parse(content) if self.command == "POST" else {}

    def _route(self) -> Route:
        """What answers this path. Raises Refused."""
        try:
            address = urlsplit(self.path)
        except ValueError as error:
            raise Refused(f"The address cannot be read: {error}") from error
        if self.command == "GET" and (question := _GET.get(address.path)):
            return lambda desk, _body, reply: question(desk, reply)
        if self.command == "POST" and (route := _POST.get(address.path)):
            return route
        if self.command == "POST" and address.path.startswith("/slots/"):
            return partial(native.slots, action=parse_qs(address.query).get("action", [""])[0])
        if address.path in _GET or address.path in _POST:
            raise Refused(f"{address.path} is not for {self.command}.", status=405)
        raise Refused("There is nothing at this path.", status=404, kind="not_found_error")


def _refuse(reply: Reply, refused: Refused) -> None:
    """Before anything was sent: a status. In a stream: an event with the error, which ends it."""
    if not reply.started:
        reply.json(refused.body(), refused.status)
    else:
        reply.error(refused.body())
