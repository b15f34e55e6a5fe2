"""Reading HTTP responses within bounds: of seconds in all, of bytes on the wire, and of bytes once decompressed.

The timeout of a socket is one for each read, and neither ``http.client`` nor ``urllib3`` bounds the length of a chunk's
header, so a server that sends a byte a minute, or one endless line, would hold a worker and its memory for ever.
"""

from __future__ import annotations

import io
import socket
import threading
import time
import zlib
from collections.abc import Iterator
from http.client import HTTPResponse
from typing import Any

import urllib3

__all__ = ["MAX_BODY_BYTES", "BoundedHTTPResponse", "bound_response", "read_body"]

#: The longest body in bytes. The largest expected one, 1,000 links, is 0.4 MB; 2 MB of ``[]`` take 75 MB parsed.
MAX_BODY_BYTES = 2 * 1024 * 1024
#: Bytes that may be sent in addition to the body: its chunks' headers and the header fields.
_MAX_HEADER_BYTES = 1024 * 1024
_CHUNK = 64 * 1024
_BOUNDS = threading.local()


def bound_response(seconds: float, max_body: int = MAX_BODY_BYTES) -> None:
    """Limit the next response of this thread to a number of seconds in all, counted from now.

    :param max_body: the longest body in bytes.
    """
    _BOUNDS.until = time.monotonic() + seconds
    _BOUNDS.max_wire = max_body + _MAX_HEADER_BYTES


class BoundedHTTPResponse(HTTPResponse):
    """A response that is read within the bounds of its thread; used as ``response_class`` of a connection."""

    def __init__(self, sock: socket.socket, *args: object, **kwargs: object) -> None:
        max_wire = getattr(_BOUNDS, "max_wire", MAX_BODY_BYTES + _MAX_HEADER_BYTES)
        files = _BoundedFiles(sock, getattr(_BOUNDS, "until", None), max_wire)
        super().__init__(files, *args, **kwargs)  # type: ignore[arg-type]


class _BoundedFiles:
    """Stands for a socket in ``HTTPResponse``, which only calls its ``makefile``."""

    def __init__(self, sock: socket.socket, until: float | None, max_wire: int) -> None:
        self._sock = sock
        self._until = until
        self._max_wire = max_wire

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_BoundedReader(self._sock, self._until, self._max_wire))


class _BoundedReader(io.RawIOBase):
    """Reads from a socket until a time, and no more than a number of bytes."""

    def __init__(self, sock: socket.socket, until: float | None, max_wire: int) -> None:
        self._sock = sock
        self._timeout = sock.gettimeout()
        self._file = sock.makefile("rb", buffering=0)
        self._until = until
        self._max_wire = max_wire
        self._received = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if self._until is not None:
            left = self._until - time.monotonic()
            if left <= 0:
                raise TimeoutError("the response took too long")
            self._sock.settimeout(left if self._timeout is None else min(self._timeout, left))
        count = self._file.readinto(buffer)
        self._received += count or 0
        if self._received > self._max_wire:
            raise ConnectionError("the response is too long")
        return int(count) if count is not None else None

    def close(self) -> None:
        if not self.closed:
            if self._sock.fileno() >= 0:
                self._sock.settimeout(self._timeout)
            self._file.close()
        super().close()


def read_body(raw: urllib3.BaseHTTPResponse, max_body: int = MAX_BODY_BYTES) -> tuple[bytes, bool]:
    """Read and decompress a body.

    :param max_body: the longest body in bytes, once decompressed.
    :return: what was received, and whether it is the whole body and no longer than that.
    """
    body = bytearray()
    try:
        decoder = _Decoder(raw.headers.get("Content-Encoding", ""))
        for chunk in _chunks(raw):
            body += decoder.decode(chunk, max_body + 1 - len(body))
            if len(body) > max_body:
                return bytes(body[:max_body]), False
    except (urllib3.exceptions.HTTPError, OSError, ValueError, zlib.error):
        return bytes(body), False
    return bytes(body), decoder.finished


def _chunks(raw: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
    """Yield a body as it arrives: reading whole buffers would drop what arrived before a connection broke."""
    if getattr(raw, "chunked", False):
        yield from raw.stream(_CHUNK, decode_content=False)
        return
    while chunk := raw.read1(_CHUNK, decode_content=False):
        yield chunk


class _Decoder:
    """Decompresses a body, never more than was asked for, so that a small body cannot become a large one."""

    def __init__(self, encoding: str) -> None:
        name = encoding.strip().lower()
        if name not in ("", "identity", "gzip", "x-gzip", "deflate"):
            raise ValueError("an unknown content coding")
        self._zlib = None if name in ("", "identity") else zlib.decompressobj(zlib.MAX_WBITS | 32)

    @property
    def finished(self) -> bool:
        """Whether the compressed data came to its end."""
        return self._zlib is None or self._zlib.eof

    def decode(self, chunk: bytes, max_length: int) -> bytes:
        """Return what a chunk decompresses to, of at most ``max_length`` bytes."""
        return chunk if self._zlib is None else self._zlib.decompress(chunk, max_length)
