"""A local HTTP server that answers from a script and records what it was sent."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import IO

from tests.support.handlers import serving_handler


@dataclass(frozen=True)
class Received:
    """A request as the server received it."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    client: tuple[str, int] = ("", 0)


@dataclass(frozen=True)
class Reply:
    """A response; ``stream`` writes a body of its own and ends the connection."""

    status: int = 200
    body: bytes = b"{}"
    headers: Mapping[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})
    stream: Callable[[IO[bytes]], None] | None = None


class WebServer:
    """Answers each request by ``reply``, and keeps all requests in ``received``.

    :ivar raw: writes the whole response of every request by itself, its headers too.
    """

    def __init__(self) -> None:
        self.reply: Callable[[Received], Reply] = lambda request: Reply()
        self.raw: Callable[[IO[bytes]], None] | None = None
        self.received: list[Received] = []
        self.address = ""

    @property
    def methods(self) -> list[str]:
        return [request.method for request in self.received]


@contextmanager
def serving_web(tls: ssl.SSLContext | None = None) -> Iterator[WebServer]:
    """Serve on a free port of this machine; over https with a certificate for ``localhost``."""
    server = WebServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            request = Received(self.command, self.path, dict(self.headers), body, self.client_address)
            server.received.append(request)
            if server.raw is not None:
                self.close_connection = True
                server.raw(self.wfile)
                return
            reply = server.reply(request)
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            if reply.stream is not None:
                self.send_header("Connection", "close")
                self.end_headers()
                self.close_connection = True
                reply.stream(self.wfile)
                return
            self.send_header("Content-Length", str(len(reply.body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(reply.body)

        do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _any  # noqa: N815

        def log_message(self, *_: object) -> None:
            return

    with serving_handler(Handler, tls) as server.address:
        yield server
