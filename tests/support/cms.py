"""A small JSON CMS of the tests: keeps what is sent to it, and fails on demand."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.support.handlers import serving_handler


class Cms:
    """Items by path; ``down`` makes every request fail, ``refuses`` the login of every one."""

    def __init__(self) -> None:
        self.items: dict[str, dict[str, Any]] = {}
        self.down = False
        self.refuses = False
        self.requests: list[tuple[str, str, int]] = []
        self.history: list[tuple[str, dict[str, Any]]] = []
        self.address = ""

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, Any]:
        if self.down:
            return 503, {"error": "down"}
        if self.refuses:
            return 401, {"error": "log in"}
        if method == "GET":
            return (200, self.items[path]) if path in self.items else (404, {"error": "no such item"})
        self.items[path] = json.loads(body)
        self.history.append((path, self.items[path]))
        return 200, {"data": {"id": path}}


@contextmanager
def serving_cms() -> Iterator[Cms]:
    """Serve one on a free port of this machine."""
    cms = Cms()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, answer = cms.answer(self.command, self.path, body)
            cms.requests.append((self.command, self.path, status))
            raw = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _any  # noqa: N815

        def log_message(self, *_: object) -> None:
            return

    with serving_handler(Handler) as cms.address:
        yield cms
