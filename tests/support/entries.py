"""A JSON API of entries over HTTP, with an ``ETag`` for each, as headless content management systems have it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.support.web import Received, Reply, WebServer, serving_web

JSON = {"Content-Type": "application/json"}


class Entries:
    """Entries by path, as dicts or as the text of any body.

    :ivar weak: whether the ``ETag`` of an entry is a weak one.
    :ivar edits: how many times an editor changes the entry right after it was read.
    :ivar replayed: responses by ``Idempotency-Key``: a second request with the same key changes nothing.
    """

    def __init__(self, server: WebServer) -> None:
        self.server = server
        self.entries: dict[str, Any] = {}
        self.weak = False
        self.edits = 0
        self.replayed: dict[str, Reply] = {}
        server.reply = self.answer

    @property
    def address(self) -> str:
        return self.server.address

    def etag(self, path: str) -> str:
        digest = hashlib.sha256(json.dumps(self.entries.get(path)).encode()).hexdigest()[:12]
        return f'W/"{digest}"' if self.weak else f'"{digest}"'

    def answer(self, request: Received) -> Reply:
        path = request.path.lstrip("/")
        if request.method == "GET":
            return self._read(path, request)
        key = request.headers.get("Idempotency-Key", "")
        if key and key in self.replayed:
            return self.replayed[key]
        if request.headers.get("If-Match") not in (None, self.etag(path)) or request.headers.get(
            "If-Match", ""
        ).startswith("W/"):
            return Reply(412, b"{}", JSON)  # RFC 9110: If-Match compares strongly, so a weak tag never matches
        self.entries[path] = json.loads(request.body)
        if request.headers.get("If-None-Match") == self.etag(path):
            return Reply(304, b"", {"ETag": self.etag(path)})
        reply = Reply(200, json.dumps(self.entries[path]).encode(), JSON)
        if key:
            self.replayed[key] = reply
        return reply

    def _read(self, path: str, request: Received) -> Reply:
        if path not in self.entries:
            return Reply(404, b"{}", JSON)
        if request.headers.get("If-None-Match") == self.etag(path):
            return Reply(304, b"", {"ETag": self.etag(path)})
        reply = Reply(200, json.dumps(self.entries[path]).encode(), {**JSON, "ETag": self.etag(path)})
        if self.edits:
            self.edits -= 1
            self.entries[path] = {**self.entries[path], "note": f"edited {self.edits}"}
        return reply


@contextmanager
def serving_entries() -> Iterator[Entries]:
    """Serve on a free port of this machine."""
    with serving_web() as server:
        yield Entries(server)
