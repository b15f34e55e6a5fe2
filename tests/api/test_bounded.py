"""Responses of a hostile server of this machine: endless, dribbled, compressed, and with endless headers."""

from __future__ import annotations

import gzip
import io
import resource
import socket
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler

import pytest
import urllib3

from pme_airflow.api.bounded import MAX_BODY_BYTES, BoundedHTTPResponse, bound_response, read_body
from pme_airflow.api.outcomes import Exchange, HttpResponse, NoResponse
from pme_airflow.api.transport import Transport
from pme_airflow.secrets import SecretStr
from tests.support.handlers import serving_handler

MEBI = 1024 * 1024
Write = Callable[[bytes], None]


class Hostile:
    """A server that answers each request by a script, and counts the bytes that it could send."""

    def __init__(self, script: Callable[[Write], None]) -> None:
        self.sent = 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                self.close_connection = True
                with suppress(OSError):
                    script(self.write)

            def write(self, data: bytes) -> None:
                self.wfile.write(data)
                self.wfile.flush()
                outer.sent += len(data)

            def log_message(self, *_: object) -> None:
                return

        self.handler = Handler


@contextmanager
def asking(script: Callable[[Write], None], timeout: float = 5.0) -> Iterator[tuple[Exchange, Hostile]]:
    server = Hostile(script)
    with serving_handler(server.handler) as address:
        transport = Transport(address, timeout, 1)
        try:
            yield transport.post_json("/x", SecretStr("{}"), SecretStr("app")), server
        finally:
            transport.close()


def head(*lines: str) -> bytes:
    return "\r\n".join(["HTTP/1.1 200 OK", "Content-Type: application/json", *lines, "", ""]).encode()


def whole_body(body: bytes, *lines: str) -> Callable[[Write], None]:
    return lambda write: write(head(f"Content-Length: {len(body)}", *lines) + body)


def endless(first: bytes, again: bytes) -> Callable[[Write], None]:
    def script(write: Write) -> None:
        write(first)
        while True:
            write(again)

    return script


BLOCK = b" " * 65_536


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(endless(head("Content-Length: 1073741824"), BLOCK), id="1 GiB with its length"),
        pytest.param(endless(head("Connection: close"), BLOCK), id="endless without a length"),
        pytest.param(endless(head("Transfer-Encoding: chunked"), b"10000\r\n" + BLOCK + b"\r\n"), id="endless chunks"),
        pytest.param(endless(head("Transfer-Encoding: chunked") + b"7fffffff\r\n", BLOCK), id="one endless chunk"),
        pytest.param(endless(head("Transfer-Encoding: chunked"), b"0" * 65_536), id="an endless chunk size"),
        pytest.param(
            endless(head("Transfer-Encoding: chunked") + b"1;", b"x" * 65_536), id="an endless chunk extension"
        ),
        pytest.param(endless(head("Transfer-Encoding: chunked") + b"0\r\n", b"x" * 65_536), id="an endless trailer"),
        pytest.param(endless(b"HTTP/1.1 200 OK\r\nX: ", b"x" * 65_536), id="an endless header"),
        pytest.param(endless(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n" * 10_000), id="endless headers"),
        pytest.param(endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1_000), id="endless interim responses"),
        pytest.param(endless(b"", b"x" * 65_536), id="an endless status line"),
    ],
)
def test_a_response_without_an_end_costs_a_few_megabytes(script: Callable[[Write], None]) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with asking(script) as (exchange, server):
        if isinstance(exchange, HttpResponse):
            assert not exchange.complete
            assert len(exchange.body) <= MAX_BODY_BYTES
        else:
            assert exchange.written
    assert server.sent < 32 * MEBI
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024


def dribble(first: bytes, again: bytes, times: int = 400) -> Callable[[Write], None]:
    def script(write: Write) -> None:
        write(first)
        for _ in range(times):
            time.sleep(0.02)
            write(again)

    return script


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(dribble(b"", b"H"), id="the status line"),
        pytest.param(dribble(b"HTTP/1.1 200 OK\r\n", b"X"), id="a header"),
        pytest.param(dribble(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n", 90), id="headers"),
        pytest.param(dribble(head("Content-Length: 1000"), b" "), id="the body"),
        pytest.param(dribble(head("Connection: close"), b" "), id="a body without a length"),
        pytest.param(dribble(head("Transfer-Encoding: chunked"), b"1\r\n \r\n"), id="chunks"),
        pytest.param(dribble(head("Transfer-Encoding: chunked"), b"0"), id="a chunk's size"),
    ],
)
def test_a_dribbled_response_is_given_up_long_before_its_end(script: Callable[[Write], None]) -> None:
    with asking(script, timeout=0.2) as (exchange, server):
        sent = server.sent
        if isinstance(exchange, HttpResponse):
            assert not exchange.complete
        else:
            assert exchange == NoResponse(True, "timed out")
        assert sent < 300


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize(("coding", "level"), [("gzip", 31), ("x-gzip", 31), ("deflate", 15)])
def test_a_compressed_body_is_read_whole(coding: str, level: int, chunked: bool) -> None:
    body = b'{"data": {"a0": "' + b"x" * 300_000 + b'"}}'
    compressor = zlib.compressobj(9, zlib.DEFLATED, level)
    packed = compressor.compress(body) + compressor.flush()
    script = whole_body(packed, f"Content-Encoding: {coding}")
    if chunked:
        framed = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (packed[:7], packed[7:])) + b"0\r\n\r\n"
        script = lambda write: write(head("Transfer-Encoding: chunked", f"Content-Encoding: {coding}") + framed)  # noqa: E731
    with asking(script) as (exchange, _):
        assert isinstance(exchange, HttpResponse)
        assert (exchange.body, exchange.complete) == (body, True)


def test_a_decompression_bomb_is_cut_at_the_limit() -> None:
    bomb = gzip.compress(b" " * (128 * MEBI), 9)
    assert len(bomb) < MEBI
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with asking(whole_body(bomb, "Content-Encoding: gzip")) as (exchange, _):
        assert isinstance(exchange, HttpResponse)
        assert (len(exchange.body), exchange.complete) == (MAX_BODY_BYTES, False)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("gzip", gzip.compress(b"{}" * 5000, mtime=0)[:-20]),
        ("gzip", b"not compressed"),
        ("gzip", b""),
        ("br", b"{}"),
        ("gzip, gzip", gzip.compress(gzip.compress(b"{}", mtime=0), mtime=0)),
    ],
)
def test_a_body_that_cannot_be_decompressed_is_incomplete(coding: str, body: bytes) -> None:
    with asking(whole_body(body, f"Content-Encoding: {coding}")) as (exchange, _):
        assert isinstance(exchange, HttpResponse)
        assert not exchange.complete


@pytest.mark.parametrize(("length", "complete"), [(MAX_BODY_BYTES, True), (MAX_BODY_BYTES + 1, False)])
def test_a_body_of_just_the_limit_is_whole(length: int, complete: bool) -> None:
    with asking(whole_body(b" " * length)) as (exchange, _):
        assert isinstance(exchange, HttpResponse)
        assert (len(exchange.body), exchange.complete) == (MAX_BODY_BYTES, complete)


def test_a_read_response_leaves_the_socket_its_whole_timeout() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(5.0)
        theirs.sendall(head("Content-Length: 2") + b"{}")
        bound_response(1.0)
        response = BoundedHTTPResponse(ours)
        response.begin()
        assert ours.gettimeout() < 1.0  # type: ignore[operator]
        assert response.read() == b"{}"
        response.close()
        assert ours.gettimeout() == 5.0


def test_a_response_that_is_due_is_not_waited_for() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(head("Content-Length: 2") + b"{}")
        bound_response(0.0)
        with pytest.raises(TimeoutError):
            BoundedHTTPResponse(ours).begin()


@pytest.mark.parametrize(("timeout", "waits"), [(0.5, 0.5), (None, 60.0)])
def test_a_read_waits_no_longer_than_the_socket_and_the_bounds_allow(timeout: float | None, waits: float) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(timeout)
        theirs.sendall(head("Content-Length: 2") + b"{}")
        bound_response(60.0)
        response = BoundedHTTPResponse(ours)
        response.begin()
        assert 0.0 < (ours.gettimeout() or 0.0) <= waits
        response.close()
        assert ours.gettimeout() == timeout


@pytest.mark.parametrize(("spare", "is_read"), [(0, True), (-1, False)])
def test_a_response_may_have_a_mebibyte_of_headers_beside_its_body(spare: int, is_read: bool) -> None:
    whole = head("Content-Length: 2") + b"{}"
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(whole)
        bound_response(60.0, len(whole) - MEBI + spare)
        response = BoundedHTTPResponse(ours)
        if is_read:
            response.begin()
            assert response.read() == b"{}"
        else:
            with pytest.raises(ConnectionError, match="too long"):
                response.begin()


def test_a_thread_without_bounds_of_its_own_has_those_of_the_api() -> None:
    found: list[tuple[int, float | None]] = []

    def look() -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            reader = BoundedHTTPResponse(ours).fp.raw  # type: ignore[attr-defined]
            found.append((reader._max_wire, reader._until))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert found == [(3 * MEBI, None)]
    assert MAX_BODY_BYTES == 2 * MEBI


@pytest.mark.parametrize("coding", ["", "gzip"])
@pytest.mark.parametrize(("size", "is_whole"), [(1000, True), (1001, False)])
def test_a_body_of_just_the_limit_is_read_whole_also_when_it_is_compressed(
    coding: str, size: int, is_whole: bool
) -> None:
    body = b"x" * size
    sent = gzip.compress(body) if coding else body
    raw = urllib3.HTTPResponse(io.BytesIO(sent), headers={"Content-Encoding": coding}, preload_content=False)
    assert read_body(raw, 1000) == (b"x" * 1000, is_whole)
