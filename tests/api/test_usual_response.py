"""Responses that are read in few steps, and those that are left to ``http.client``: both must read the same."""

from __future__ import annotations

import io
import socket

import pytest
import urllib3

from pme_airflow.api.bounded import MAX_BODY_BYTES, BoundedHTTPResponse, bound_response, bounded_reader
from pme_airflow.api.usual_response import UsualResponse, read_usual

USUAL = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


def arrived(*parts: bytes) -> io.BufferedReader:
    """A reader over a connection on which parts arrived, one after the other, and that then ended."""
    left = list(parts)

    class Source(io.RawIOBase):
        def readable(self) -> bool:
            return True

        def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
            part = left.pop(0) if left else b""
            buffer[: len(part)] = part
            return len(part)

    return io.BufferedReader(Source())


def read(*parts: bytes) -> UsualResponse | None:
    return read_usual(arrived(*parts))


@pytest.mark.parametrize(
    "raw",
    [
        USUAL,
        b"HTTP/1.1 200\r\ncontent-length: 2\r\n\r\n{}",
        b"HTTP/1.1 404 Not Found\r\nCONTENT-LENGTH:\t2 \r\nX-Empty:\r\nConnection: Keep-Alive\r\n\r\n{}",
        b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 3\r\nContent-Length: 0\r\n\r\n",
        b'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX: a, b; c="d"\r\n\r\n{}HTTP/1.1 200 OK\r\n\r\n',
    ],
)
def test_what_is_read_in_few_steps_is_what_http_client_reads(raw: bytes) -> None:
    usual = read(raw)
    by_the_book = BoundedHTTPResponse(arrived(raw), method="POST")
    by_the_book.begin()
    assert usual is not None
    assert (usual.status, usual.read1(1000), usual.is_cut) == (by_the_book.status, by_the_book.read(), False)
    assert dict(usual.headers) == {name: value.strip() for name, value in by_the_book.headers.items()}


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(USUAL.replace(b"1.1", b"1.0"), id="HTTP/1.0, which closes the connection"),
        pytest.param(USUAL.replace(b"200 OK", b"100 Continue"), id="an interim response"),
        pytest.param(USUAL.replace(b"200 OK", b"204 No Content"), id="a status without a body"),
        pytest.param(USUAL.replace(b"Length: 2", b"Length: 2\r\nTransfer-Encoding: chunked"), id="chunks"),
        pytest.param(USUAL.replace(b"Content-Length: 2\r\n", b""), id="no length"),
        pytest.param(USUAL.replace(b"Length: 2", b"Length: -2"), id="a negative length"),
        pytest.param(USUAL.replace(b"Length: 2", b"Length: 2\r\ncontent-length: 3"), id="two lengths"),
        pytest.param(USUAL.replace(b"Length: 2", b"Length: %d" % (MAX_BODY_BYTES + 1)), id="a body above the limit"),
        pytest.param(USUAL.replace(b"Length: 2", b"Length: 2\r\nConnection: close"), id="the connection's end"),
        pytest.param(USUAL.replace(b"Length: 2", b"Length: 2\r\nSet-Cookie: a=b"), id="a cookie"),
        pytest.param(USUAL.replace(b"Length: 2", b"Length: 2\r\n folded: value"), id="a folded field"),
        pytest.param(USUAL.replace(b"Length: 2", b"Length : 2"), id="a space before the colon"),
        pytest.param(USUAL.replace(b"OK", b"\xff"), id="another encoding"),
        pytest.param(USUAL.replace(b"\r\n", b"\n"), id="bare line feeds"),
        pytest.param(USUAL.replace(b"application", b"a\nX: b"), id="a line feed within a field"),
        pytest.param(b"GARBAGE\r\n\r\n", id="no response"),
    ],
)
def test_a_response_of_another_form_is_left_as_it_arrived(raw: bytes) -> None:
    reader = arrived(raw)
    assert read_usual(reader) is None
    assert reader.read() == raw


def test_a_head_that_arrives_in_parts_is_left_to_http_client() -> None:
    reader = arrived(USUAL[:30], USUAL[30:])
    assert read_usual(reader) is None
    response = BoundedHTTPResponse(reader, method="POST")
    response.begin()
    assert response.read() == b"{}"


def test_a_body_may_arrive_in_parts() -> None:
    response = read(USUAL.replace(b"Length: 2", b"Length: 6"), b"[1", b"]}")
    assert response is not None
    assert (response.read1(100), response.is_cut) == (b"{}[1]}", False)


def test_a_body_that_is_cut_off_is_returned_and_then_an_error() -> None:
    response = read(USUAL.replace(b"Length: 2", b"Length: 9"))
    assert response is not None
    assert (response.read1(100), response.is_cut) == (b"{}", True)
    with pytest.raises(urllib3.exceptions.ProtocolError):
        response.read1(100)


def test_nothing_is_read_past_the_bounds_of_the_thread() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(USUAL.replace(b"Length: 2", b"Length: 9"))
        bound_response(0.05)
        response = read_usual(bounded_reader(ours))
        assert response is not None
        assert (response.read1(100), response.is_cut) == (b"{}", True)
