"""A proxy between a target and a real server that breaks what passes through it, in the ways networks do."""

from __future__ import annotations

import http.client
import random
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from urllib.parse import urlsplit

from requests.structures import CaseInsensitiveDict

from pme_airflow.dev.target_kit.handlers import serving_handler

#: Before the server has seen a request: a gateway's page, a broken connection, too many. After it has: an answer cut in
#: the middle, lost, or replaced by a gateway's page. ``slow`` only takes its time.
FAULTS = ("bad_gateway", "lost_before", "throttled", "cut", "lost_after", "bad_gateway_after", "slow")
_HOP = {"connection", "transfer-encoding", "keep-alive", "content-length", "date", "server"}


#: S3's response where a policy denies a request.
_DENIED = b'<?xml version="1.0"?><Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>'


class Proxy:
    """Rates of faults by name, and how often each struck.

    :ivar after: is called with the method and path of each request once the server has answered it, before the answer
        is passed on: what somebody else does at the place in that moment.
    :ivar denies: whether a request is answered as S3 answers what a policy denies, by its method, path and headers.
    """

    def __init__(self, upstream: str, seed: int) -> None:
        self.upstream = urlsplit(upstream).netloc
        self.rates: dict[str, float] = {}
        self.struck: Counter[str] = Counter()
        self.address = ""
        self.denies: Callable[[str, str, Mapping[str, str]], bool] = lambda method, path, headers: False
        self.after: Callable[[str, str], None] = lambda method, path: None
        self._random = random.Random(seed)  # noqa: S311 - faults that a test repeats
        self._lock = threading.Lock()

    def strikes(self, fault: str) -> bool:
        with self._lock:
            struck = self._random.random() < self.rates.get(fault, 0.0)
            self.struck[fault] += struck
            return struck


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    proxy: Proxy

    def _any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            body = self._chunks()
        if self.proxy.strikes("slow"):
            time.sleep(0.2)
        if self.proxy.strikes("lost_before"):
            return self._reset()
        if self.proxy.strikes("bad_gateway"):
            return self._say(502, {"Content-Type": "text/html"}, b"<html>Bad Gateway</html>")
        if self.proxy.strikes("throttled"):
            return self._say(429, {"Retry-After": "0"}, b"")
        if self.proxy.denies(self.command, self.path, CaseInsensitiveDict(self.headers.items())):
            return self._say(403, {"Content-Type": "application/xml"}, _DENIED)
        status, headers, answer = self._forwarded(body)
        self.proxy.after(self.command, self.path)
        if self.proxy.strikes("lost_after"):
            return self._reset()
        if self.proxy.strikes("bad_gateway_after"):
            return self._say(502, {"Content-Type": "text/html"}, b"<html>Bad Gateway</html>")
        return self._say(status, headers, answer, cut=self.proxy.strikes("cut"))

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _any  # noqa: N815

    def _chunks(self) -> bytes:
        whole = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            whole += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return whole

    def _forwarded(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection(self.proxy.upstream, timeout=60)
        headers = {k: v for k, v in self.headers.items() if k.lower() not in _HOP}
        try:
            connection.request(self.command, self.path, body or None, {**headers, "Content-Length": str(len(body))})
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()
        finally:
            connection.close()

    def _say(self, status: int, headers: dict[str, str], body: bytes, *, cut: bool = False) -> None:
        length = headers.get("Content-Length", "0") if self.command == "HEAD" else str(len(body))
        self.send_response(status)
        for name, value in headers.items():
            if name.lower() not in _HOP:
                self.send_header(name, value)
        self.send_header("Content-Length", length)
        self.end_headers()
        if cut and body:
            self.wfile.write(body[: len(body) // 2])
            self._reset()
        elif self.command != "HEAD":
            self.wfile.write(body)

    def _reset(self) -> None:
        self.wfile.flush()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.rfile.close()
        self.connection.close()

    def log_message(self, *_: object) -> None:
        return


@contextmanager
def serving_proxy(upstream: str, seed: int = 1) -> Iterator[Proxy]:
    """A proxy before one server, without faults until they are set."""
    proxy = Proxy(upstream, seed)
    with serving_handler(type("Handler", (_Handler,), {"proxy": proxy})) as proxy.address:
        yield proxy
