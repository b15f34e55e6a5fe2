"""The adapter of a session that posts to one host: it records whether a request was written, and does little for each.

A request of the usual form is written, and its response read, without ``http.client``; every other one is left to it.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Mapping
from typing import Any
from weakref import WeakKeyDictionary

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from pme_airflow.api.bounded import BoundedHTTPResponse, bounded_reader
from pme_airflow.api.usual_response import UsualResponse, read_usual

__all__ = ["RecordingAdapter", "forget_request", "was_written"]

#: What a request names so that it is written without ``http.client``, which would add it.
_NAMED = ("Host", "Accept-Encoding", "User-Agent", "Content-Length")
#: Whether the thread's current request was written: false before its first byte, ``None`` where nothing recorded it.
_sent = threading.local()


def forget_request() -> None:
    """Forget what was recorded of this thread's last request."""
    _sent.written = None


def was_written() -> bool | None:
    """Return whether this thread's request may have reached the server; ``None`` where nothing recorded it."""
    written: bool | None = _sent.written
    return written


class _RecordingConnection:
    """Records that a request may have reached the server, just before it is written, headers and body at once."""

    sock: Any
    timeout: float | None
    _unsent: list[bytes] | None = None
    _is_usual = False

    def request(self, method: str, url: str, body: Any = None, headers: Any = None, **kwargs: Any) -> None:
        if getattr(self, "sock", None) is None:
            self.connect()  # type: ignore[attr-defined]
        head = _usual_head(method, url, headers) if isinstance(body, bytes) and not kwargs.get("chunked") else None
        self._is_usual = head is not None
        _sent.written = True
        if head is None:
            self._request_at_once(method, url, body, headers, **kwargs)
            return
        self.sock.settimeout(self.timeout)
        self.sock.sendall(head + body)

    def _request_at_once(self, *args: Any, **kwargs: Any) -> None:
        unsent = self._unsent = []
        try:
            super().request(*args, **kwargs)  # type: ignore[misc]
        finally:
            self._unsent = None
        self.send(b"".join(unsent))

    def send(self, data: Any) -> None:
        if self._unsent is None:
            super().send(data)  # type: ignore[misc]
        else:
            self._unsent.append(data)

    def getresponse(self) -> Any:
        if not self._is_usual:
            return super().getresponse()  # type: ignore[misc]
        self.sock.settimeout(self.timeout)
        reader = bounded_reader(self.sock)
        try:
            response = read_usual(reader)
            if response is None:
                return self._read_any(reader)
        except BaseException:
            reader.close()
            raise
        reader.close()
        if response.is_cut:
            self.close()  # type: ignore[attr-defined]
        return response

    def _read_any(self, reader: io.BufferedReader) -> urllib3.HTTPResponse:
        """Read a response of any form, as the connections of ``urllib3`` do."""
        response = BoundedHTTPResponse(reader, method="POST")
        response.begin()
        if response.will_close:
            self.close()  # type: ignore[attr-defined]
        return urllib3.HTTPResponse(
            body=response,
            headers=urllib3.HTTPHeaderDict(response.msg.items()),
            status=response.status,
            version=response.version,
            reason=response.reason,
            preload_content=False,
            decode_content=False,
            original_response=response,
            request_method="POST",
        )


def _usual_head(method: str, url: str, headers: Mapping[str, Any] | None) -> bytes | None:
    """Return what precedes a POST's body; ``None`` where ``http.client`` has something to add or to refuse."""
    if method != "POST" or headers is None or not url.startswith("/") or not all(name in headers for name in _NAMED):
        return None
    lines = [f"POST {url} HTTP/1.1"]
    for name, value in headers.items():
        if not isinstance(value, str):
            return None
        lines.append(f"{name}: {value}")
    text = "".join(lines)
    return "\r\n".join([*lines, "", ""]).encode() if text.isprintable() and text.isascii() else None


class _RecordingHTTP(_RecordingConnection, HTTPConnection):
    response_class = BoundedHTTPResponse


class _RecordingHTTPS(_RecordingConnection, HTTPSConnection):
    response_class = BoundedHTTPResponse


class _HTTPPool(HTTPConnectionPool):
    ConnectionCls = _RecordingHTTP

    def urlopen(self, method: str, url: str, body: Any = None, headers: Any = None, *args: Any, **kwargs: Any) -> Any:
        return super().urlopen(method, url, body, _plain(headers), *args, **kwargs)


class _HTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _RecordingHTTPS

    def urlopen(self, method: str, url: str, body: Any = None, headers: Any = None, *args: Any, **kwargs: Any) -> Any:
        return super().urlopen(method, url, body, _plain(headers), *args, **kwargs)


def _plain(headers: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return header fields as a plain dict: the pool copies them, and those of ``requests`` are slow to copy."""
    return None if headers is None else dict(headers.items())


class RecordingAdapter(HTTPAdapter):
    """Sends requests, and does once for each address what is the same for all that are posted to it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._pools: dict[str | None, Any] = {}
        self._targets: dict[str | None, str] = {}
        self._verified: WeakKeyDictionary[Any, tuple[Any, Any]] = WeakKeyDictionary()
        super().__init__(*args, **kwargs)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Make the manager of pools, with connections that record."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _HTTPPool, "https": _HTTPSPool}

    def send(self, *args: Any, **kwargs: Any) -> requests.Response:
        """Send a request."""
        _sent.written = False
        return super().send(*args, **kwargs)

    def get_connection_with_tls_context(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> Any:
        """Return the pool of a request's address."""
        if request.method != "POST":  # its address may hold a token, which is not to be kept
            return super().get_connection_with_tls_context(request, *args, **kwargs)
        pool = self._pools.get(request.url)
        if pool is None or pool.pool is None:  # closed: more hosts were asked than pools are kept
            pool = self._pools[request.url] = super().get_connection_with_tls_context(request, *args, **kwargs)
        return pool

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """Give a pool its certificates; again only where they are others, since it looks for their file."""
        if self._verified.get(conn) != (verify, cert):
            super().cert_verify(conn, url, verify, cert)  # type: ignore[no-untyped-call]
            self._verified[conn] = (verify, cert)

    def request_url(self, request: requests.PreparedRequest, proxies: Any) -> str:
        """Return what a request's first line names: the path, or for a proxy the whole address."""
        if request.method != "POST":
            return super().request_url(request, proxies)
        target = self._targets.get(request.url)
        if target is None:
            target = self._targets[request.url] = super().request_url(request, proxies)
        return target

    def build_response(self, req: requests.PreparedRequest, resp: Any) -> requests.Response:
        """Make what the transport reads of a response, without its text's encoding and its cookies."""
        response = requests.Response()
        response.status_code, response.headers = resp.status, resp.headers
        response.raw, response.request, response.connection = resp, req, self
        if isinstance(resp, UsualResponse):
            resp.release_conn()
        else:
            response.headers = CaseInsensitiveDict(resp.headers)
        return response
