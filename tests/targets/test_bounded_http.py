"""Responses are bounded in memory and time: huge ones, compressed bombs, and those that arrive byte by byte."""

from __future__ import annotations

import gzip
import threading
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import IO

import pytest
import requests

from pme_airflow.errors import SlotError
from pme_airflow.targets import web
from pme_airflow.targets.bounded_http import MAX_BODY, read_response
from pme_airflow.targets.web import WebApi
from tests.support.web import Reply, WebServer, serving_web

MIB = 1024 * 1024


@pytest.fixture
def server() -> Iterator[WebServer]:
    with serving_web() as serving:
        yield serving


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web.time, "sleep", lambda seconds: None)


def get(server: WebServer, timeout: float = 10) -> requests.Response:
    return WebApi(requests.Session(), server.address, timeout).request("GET", "x", lambda response: None)


def endless(chunk: bytes = b" " * MIB, times: int = 1024, sent: list[int] | None = None) -> Callable[[IO[bytes]], None]:
    """Write a chunk many times, until the client goes away."""

    def write(stream: IO[bytes]) -> None:
        with suppress(OSError):
            for _ in range(times):
                stream.write(chunk)
                if sent is not None:
                    sent.append(len(chunk))

    return write


def bomb(size: int) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    return b"".join([*(packer.compress(bytes(MIB)) for _ in range(size // MIB)), packer.flush()])


def test_body_of_a_gibibyte_is_not_read_whole(server: WebServer) -> None:
    sent: list[int] = []
    server.reply = lambda request: Reply(stream=endless(sent=sent))
    tracemalloc.start()
    with pytest.raises(SlotError, match="longer than 8 MiB") as failure:
        get(server)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert failure.value.permanent
    assert peak < 4 * MAX_BODY
    assert sum(sent) < 64 * MIB
    assert len(server.received) == 1


def test_announced_length_of_a_gibibyte_is_not_read_whole(server: WebServer) -> None:
    server.reply = lambda request: Reply(headers={"Content-Length": str(1024 * MIB)}, stream=endless())
    with pytest.raises(SlotError, match="longer than 8 MiB"):
        get(server)


def test_chunked_body_of_a_gibibyte_is_not_read_whole(server: WebServer) -> None:
    chunk = b"%x\r\n%s\r\n" % (MIB, b" " * MIB)
    server.reply = lambda request: Reply(headers={"Transfer-Encoding": "chunked"}, stream=endless(chunk))
    with pytest.raises(SlotError, match="longer than 8 MiB"):
        get(server)


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", "x-gzip"])
def test_compressed_bomb_is_not_unpacked_whole(server: WebServer, encoding: str) -> None:
    packed = bomb(256 * MIB)
    server.reply = lambda request: Reply(body=packed, headers={"Content-Encoding": encoding})
    tracemalloc.start()
    with pytest.raises(SlotError, match="longer than 8 MiB"):
        get(server)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * MAX_BODY


@pytest.mark.parametrize("encoding", ["gzip, gzip", "br", "zstd", "compress"])
def test_encoding_that_was_not_asked_for_is_refused(server: WebServer, encoding: str) -> None:
    server.reply = lambda request: Reply(body=gzip.compress(bomb(16 * MIB)), headers={"Content-Encoding": encoding})
    with pytest.raises(SlotError, match="not asked for"):
        get(server)


@pytest.mark.parametrize(
    ("encoding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress), ("identity", bytes), ("", bytes)]
)
def test_usual_encodings_are_read(server: WebServer, encoding: str, pack: Callable[[bytes], bytes]) -> None:
    server.reply = lambda request: Reply(body=pack('{"a": "ü"}'.encode()), headers={"Content-Encoding": encoding})
    response = get(server)
    assert (response.json(), response.text) == ({"a": "ü"}, '{"a": "ü"}')
    assert server.received[0].headers["Accept-Encoding"] == "gzip, deflate"


def test_body_that_is_not_compressed_as_it_says_is_temporary(server: WebServer) -> None:
    server.reply = lambda request: Reply(body=b'{"a": 1}', headers={"Content-Encoding": "gzip"})
    with pytest.raises(SlotError, match="broke off") as failure:
        get(server)
    assert not failure.value.permanent


@pytest.mark.parametrize("size", [MAX_BODY - 1, MAX_BODY])
def test_body_up_to_the_limit_is_read(server: WebServer, size: int) -> None:
    server.reply = lambda request: Reply(body=b" " * size)
    assert len(get(server).content) == size


def test_body_over_the_limit_by_a_byte_is_refused(server: WebServer) -> None:
    server.reply = lambda request: Reply(body=b" " * (MAX_BODY + 1))
    with pytest.raises(SlotError, match="longer than 8 MiB"):
        get(server)


def dribbled(ended: threading.Event, first: bytes = b"") -> Callable[[IO[bytes]], None]:
    """Write a byte every 20 ms, far more often than any time-out for a part of a response, until the test ends."""

    def write(stream: IO[bytes]) -> None:
        with suppress(OSError):
            stream.write(first)
            stream.flush()
            while not ended.wait(0.02):
                stream.write(b" ")
                stream.flush()

    return write


@pytest.fixture
def ended() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


@pytest.mark.parametrize(
    ("headers", "first"),
    [
        ({"Content-Type": "application/json"}, b""),
        ({"Content-Length": "1000000"}, b""),
        ({"Content-Encoding": "gzip"}, b"\x1f\x8b\x08\x08\0\0\0\0\0\0"),  # a header whose file name goes on
    ],
)
def test_body_that_arrives_byte_by_byte_ends_with_the_time_limit(
    server: WebServer, ended: threading.Event, headers: dict[str, str], first: bytes
) -> None:
    server.reply = lambda request: Reply(headers=headers, stream=dribbled(ended, first))
    with pytest.raises(SlotError, match=r"no whole response within 0\.6 s") as failure:
        get(server, timeout=0.3)
    assert not failure.value.permanent
    assert len(server.received) == 1  # another try at once would wait as long


def test_chunks_that_arrive_byte_by_byte_end_with_the_time_limit(server: WebServer, ended: threading.Event) -> None:
    headers = {"Transfer-Encoding": "chunked"}
    server.reply = lambda request: Reply(headers=headers, stream=dribbled(ended, b"fffff\r\n"))
    with pytest.raises(SlotError, match="no whole response"):
        get(server, timeout=0.3)


def test_headers_that_arrive_byte_by_byte_end_with_the_time_limit(server: WebServer, ended: threading.Event) -> None:
    server.raw = dribbled(ended, b"HTTP/1.1 200 OK\r\nX-Slow: ")
    with pytest.raises(SlotError, match="no whole response"):
        get(server, timeout=0.3)


def test_connection_is_used_again_after_a_request_in_time(server: WebServer) -> None:
    api = WebApi(requests.Session(), server.address, 10)
    for _ in range(3):
        api.request("GET", "x", lambda response: None)
    assert len({request.client for request in server.received}) == 1


def test_chunk_header_without_an_end_is_not_read_whole(server: WebServer) -> None:
    sent: list[int] = []
    server.reply = lambda request: Reply(
        headers={"Transfer-Encoding": "chunked"}, stream=endless(b"1" * MIB, times=256, sent=sent)
    )
    with pytest.raises(SlotError, match="broke off"):
        get(server)
    assert sum(sent) < 4 * 32 * MIB  # of four tries


def test_response_that_was_read_before_is_left_as_it_is() -> None:
    """A session of a user's own, or of a test, may return whole responses."""
    response = requests.Response()
    response._content = b"whole"
    assert read_response(response)
    assert response.content == b"whole"


def test_a_response_in_an_encoding_that_was_not_asked_for_gives_its_connection_back(
    server: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[requests.Response] = []
    monkeypatch.setattr(requests.Response, "close", lambda response: closed.append(response))
    server.reply = lambda request: Reply(body=b"x", headers={"Content-Encoding": "br"})
    with pytest.raises(SlotError, match="Content-Encoding"):
        read_response(requests.get(server.address, stream=True, timeout=10))
    assert len(closed) == 1
