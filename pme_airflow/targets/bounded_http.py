"""Limits of a response: its size in memory after decompression, and the time until its last byte."""

from __future__ import annotations

import socket
import threading
import zlib
from contextlib import suppress
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from pme_airflow.errors import SlotError

__all__ = ["MAX_BODY", "TimeLimit", "limit_connections", "read_body"]

#: The largest response that is read, in bytes after decompression.
MAX_BODY = 8 * 1024 * 1024
_CHUNK = 64 * 1024
_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS

_this_thread = threading.local()


class TimeLimit:
    """Closes the connection that the current thread uses in a ``with`` block when a time has passed.

    A socket's own time-out starts again with each byte, so that a server can keep a request open for ever.

    :param seconds: the time for the whole block.
    :ivar passed: whether it has passed.
    """

    def __init__(self, seconds: float) -> None:
        self.passed = False
        self._ended = False
        self._connection: Any = None
        self._socket: Any = None
        self._lock = threading.Lock()
        self._timer = threading.Timer(seconds, self._close_connection)
        self._timer.daemon = True

    def __enter__(self) -> TimeLimit:
        _this_thread.limit = self
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._ended = True
        self._timer.cancel()
        _this_thread.limit = None

    def watch(self, connection: Any) -> None:
        """Take a connection that is to be closed when the time has passed.

        :raises TimeoutError: if it has already passed.
        """
        with self._lock:
            if self.passed:
                raise TimeoutError
            self._connection = connection
            self._socket = getattr(connection, "sock", None)

    def _close_connection(self) -> None:
        with self._lock:
            if self._ended:
                return
            self.passed = True
            # A connection that the server closes forgets its socket after the headers; a new one has none at first.
            sock = self._socket or getattr(self._connection, "sock", None)
            if sock is not None:
                with suppress(OSError):
                    socket.socket.shutdown(sock, socket.SHUT_RDWR)  # wakes the thread that reads from it


class _Watched:
    """A connection that the time limit of its thread can close."""

    def connect(self) -> None:
        _watch(self)
        super().connect()  # type: ignore[misc]

    def request(self, *args: Any, **kwargs: Any) -> None:
        _watch(self)
        super().request(*args, **kwargs)  # type: ignore[misc]

    def getresponse(self, *args: Any, **kwargs: Any) -> Any:
        _watch(self)
        return super().getresponse(*args, **kwargs)  # type: ignore[misc]


class _WatchedHTTP(_Watched, HTTPConnection):
    pass


class _WatchedHTTPS(_Watched, HTTPSConnection):
    pass


class _HTTPPool(HTTPConnectionPool):
    ConnectionCls = _WatchedHTTP


class _HTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _WatchedHTTPS


def _watch(connection: Any) -> None:
    limit: TimeLimit | None = getattr(_this_thread, "limit", None)
    if limit is not None:
        limit.watch(connection)


def limit_connections(session: requests.Session) -> None:
    """Let :class:`TimeLimit` close the connections of a session. Its adapters keep their other settings."""
    for adapter in session.adapters.values():
        if isinstance(adapter, HTTPAdapter):
            adapter.poolmanager.pool_classes_by_scheme = {"http": _HTTPPool, "https": _HTTPSPool}


def read_body(response: requests.Response, max_body: int = MAX_BODY) -> None:
    """Read the body of a streamed response, so that ``content``, ``text`` and ``json()`` give it.

    :raises SlotError: if the body is larger than ``max_body``, or encoded in a way that was not asked for.
    """
    if response._content is not False or response.raw is None:  # type: ignore[comparison-overlap]
        return  # it has been read
    try:
        body = _received(response, max_body)
    finally:
        response.close()
    response._content = body
    response._content_consumed = True
    response.encoding = response.encoding or "utf-8"  # guessing it takes seconds for a large body


def _received(response: requests.Response, max_body: int) -> bytes:
    encoding = response.headers.get("Content-Encoding", "").strip().lower()
    if encoding in ("", "identity"):
        inflater = None
    elif encoding in ("gzip", "x-gzip", "deflate"):
        inflater = zlib.decompressobj(_GZIP_OR_ZLIB)
    else:
        raise SlotError("the response is encoded in a way that was not asked for (Content-Encoding)")
    body = bytearray()
    for chunk in response.raw.stream(_CHUNK, decode_content=False):
        room = max_body - len(body) + 1
        try:
            body += chunk[:room] if inflater is None else inflater.decompress(chunk, room)
        except zlib.error:
            raise SlotError("the response is compressed, but not as it says", passing=True) from None
        if len(body) > max_body:
            raise SlotError(f"the response is larger than {max_body // 1024 // 1024} MiB")
    return bytes(body)
