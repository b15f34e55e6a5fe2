"""Read a response of the usual form in few steps, and leave every other one to ``http.client`` and ``urllib3``.

They parse the header fields as those of a mail and wrap the response in three objects, which takes as long as all else
that is done for a request. Of the usual form is a status line, header fields of printable ASCII that arrived whole,
each name once, and a body whose length they give.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from typing import Any

import urllib3
from requests.structures import CaseInsensitiveDict

from pme_airflow.api.bounded import MAX_BODY_BYTES

__all__ = ["UsualResponse", "read_usual"]

_STATUS_LINE = re.compile(r"HTTP/1\.1 ([2-5][0-9][0-9])(?: [ -~]*)?")
_FIELD = re.compile(r"([A-Za-z0-9-]+):[ \t]*([ -~]*)")
_WITHOUT_BODY = frozenset({204, 304})
#: Header fields that make a response an unusual one: its body has another form, or a cookie is to be kept.
_UNUSUAL_FIELDS = frozenset({"transfer-encoding", "set-cookie", "upgrade"})
_LENGTH = re.compile(r"[0-9]{1,7}")


class UsualResponse:
    """A response whose body was read. It has what the pool of ``urllib3``, ``requests`` and ``read_body`` use of one.

    :param status: the HTTP status code.
    :param headers: the header fields.
    :param body: the body, as far as it arrived.
    :param is_cut: whether the connection broke, or a bound was reached, before the body's end.
    """

    chunked = False
    version_string = "HTTP/1.1"
    length_remaining = 0

    def __init__(self, status: int, headers: CaseInsensitiveDict[str], body: bytes, is_cut: bool) -> None:
        self.status = status
        self.headers = headers
        self.is_cut = is_cut
        self.retries: Any = None
        self._body = body
        self._connection: Any = None  # the pool sets this and the next one
        self._pool: Any = None

    def read1(self, _amount: int, decode_content: bool = False) -> bytes:
        """Return the whole body once, and then nothing, as a stream does at its end.

        :raises urllib3.exceptions.ProtocolError: after the part of a body that was cut off.
        """
        body, self._body = self._body, b""
        if not body and self.is_cut:
            raise urllib3.exceptions.ProtocolError("The body was cut off.")
        return body

    def release_conn(self) -> None:
        """Return the connection to its pool, once."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool._put_conn(self._connection)

    def close(self) -> None:
        """Do nothing: the body was read, and a connection that broke was closed."""


def read_usual(reader: io.BufferedReader) -> UsualResponse | None:
    """Read a response; ``None``, with nothing read, where it is not of the usual form or has not arrived far enough.

    :param reader: a connection's socket, read within bounds.
    :raises OSError: where nothing arrived.
    """
    arrived = reader.peek(1)
    end = arrived.find(b"\r\n\r\n")
    head = _parse_head(arrived[:end]) if end > 0 else None
    if head is None:
        return None
    status, headers = head
    reader.read(end + 4)
    length = int(headers["Content-Length"])
    body = _read_body(reader, length)
    return UsualResponse(status, headers, body, len(body) < length)


def _parse_head(head: bytes) -> tuple[int, CaseInsensitiveDict[str]] | None:
    if not head.isascii():
        return None
    first, *lines = head.decode().split("\r\n")
    status = _STATUS_LINE.fullmatch(first)
    fields = [field for line in lines if (field := _FIELD.fullmatch(line))]
    by_name = {field[1].lower(): field[2].rstrip() for field in fields}
    if status is None or len(by_name) != len(lines) or not _has_usual_body(int(status[1]), by_name):
        return None
    return int(status[1]), CaseInsensitiveDict((field[1], field[2].rstrip()) for field in fields)


def _has_usual_body(status: int, fields: Mapping[str, str]) -> bool:
    length = fields.get("content-length", "")
    return (
        _LENGTH.fullmatch(length) is not None
        and int(length) <= MAX_BODY_BYTES
        and status not in _WITHOUT_BODY
        and fields.get("connection", "keep-alive").lower() == "keep-alive"
        and _UNUSUAL_FIELDS.isdisjoint(fields)
    )


def _read_body(reader: io.BufferedReader, length: int) -> bytes:
    """Read a body of a known length; what had arrived where it breaks off."""
    body = b""
    try:
        while len(body) < length and (part := reader.read1(length - len(body))):
            body += part
    except OSError:
        return body
    return body
