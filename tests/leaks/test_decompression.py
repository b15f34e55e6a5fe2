"""Compressed streams are read in bounded steps, whole and up to where they break."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tracemalloc
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from pme_airflow.errors import PMEScanError
from pme_airflow.leaks.decompression import MAX_NESTED_DICTIONARY_BYTES, bunzip2, deflated, gunzip, inflate, unxz

KINDS: list[tuple[Callable[[bytes], bytes], Callable[..., Any]]] = [
    (gzip.compress, gunzip),
    (bz2.compress, bunzip2),
    (lzma.compress, unxz),
]
CONTENT = b"".join(b"%d lines\n" % number for number in range(60_000))


def ignore(_: int) -> None:
    """Allow any length."""


def read_all(stream: Any, step: int = 1 << 20) -> bytes:
    parts = []
    while part := stream.read(step):
        parts.append(part)
    return b"".join(parts)


@pytest.mark.parametrize("step", [511, 1 << 20])
@pytest.mark.parametrize(("pack", "unpack"), KINDS)
def test_streams_that_follow_each_other_are_read(
    pack: Callable[[bytes], bytes], unpack: Callable[..., Any], step: int
) -> None:
    data = pack(CONTENT) + pack(b"") + b"\0" * 8 + pack(b"end") + b"\0" * 4
    assert read_all(unpack(io.BytesIO(data), ignore), step) == CONTENT + b"end"


@pytest.mark.parametrize(("pack", "unpack"), KINDS)
def test_each_byte_is_counted_and_a_limit_stops(pack: Callable[[bytes], bytes], unpack: Callable[..., Any]) -> None:
    sizes: list[int] = []
    read_all(unpack(io.BytesIO(pack(CONTENT)), sizes.append))
    assert sum(sizes) == len(CONTENT)

    def stop(size: int) -> None:
        raise PMEScanError("enough")

    with pytest.raises(PMEScanError, match="enough"):
        read_all(unpack(io.BytesIO(pack(CONTENT)), stop))


@pytest.mark.parametrize(("pack", "unpack"), KINDS)
def test_what_comes_before_a_cut_is_read(pack: Callable[[bytes], bytes], unpack: Callable[..., Any]) -> None:
    stream = unpack(io.BytesIO(pack(b"token") + pack(b"more")[:-3]), ignore)
    assert stream.read(100).startswith(b"token")
    for _ in range(2):
        with pytest.raises(EOFError):
            stream.read(100)


def test_what_comes_before_a_wrong_checksum_is_read() -> None:
    data = bytearray(gzip.compress(b"token"))
    data[-8] ^= 1
    stream = gunzip(io.BytesIO(bytes(data)), ignore)
    with pytest.raises(zlib.error):
        read_all(stream)


@pytest.mark.parametrize(("pack", "unpack"), KINDS)
def test_other_data_behind_the_end_is_an_error(pack: Callable[[bytes], bytes], unpack: Callable[..., Any]) -> None:
    stream = unpack(io.BytesIO(pack(b"token") + b"other data"), ignore)
    assert stream.read(100) == b"token"
    with pytest.raises(PMEScanError, match="other data"):
        stream.read(100)


@pytest.mark.parametrize("unpack", [bunzip2, lambda stream, on_output: deflated(stream, 12, on_output)])
def test_a_broken_block_of_bzip2_counts_as_what_it_may_be_unpacked_to(unpack: Callable[..., Any]) -> None:
    """A few bytes cost as much as a whole block, so an archive of such streams has to reach a limit."""
    packed = bytearray(bz2.compress(b"a" * 900_000))
    packed[10] ^= 1  # the block's checksum
    counted: list[int] = []
    with pytest.raises(OSError, match="Invalid data"):
        read_all(unpack(io.BytesIO(packed), counted.append))
    assert counted[-1] == 900_000

    def limit(size: int) -> None:
        if size == 900_000:
            raise PMEScanError("is larger unpacked than 1 GiB")

    with pytest.raises(PMEScanError, match="larger unpacked"):
        read_all(unpack(io.BytesIO(packed), limit))


def test_the_next_stream_is_found_in_a_stream_that_gives_single_bytes() -> None:
    class Slow(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            return super().read(min(1, size or 0))

    data = lzma.compress(b"a") + lzma.compress(b"b")
    assert read_all(unxz(Slow(data), ignore)) == b"ab"


@pytest.mark.parametrize(("pack", "unpack"), KINDS)
def test_a_bomb_is_read_in_little_memory(pack: Callable[[bytes], bytes], unpack: Callable[..., Any]) -> None:
    data = pack(b"\0" * (32 << 20))
    tracemalloc.start()
    try:
        stream = unpack(io.BytesIO(data), ignore)
        size = 0
        while part := stream.read(1 << 20):
            size += len(part)
        assert size == 32 << 20
        assert tracemalloc.get_traced_memory()[1] < 12 << 20
    finally:
        tracemalloc.stop()


def test_an_xz_stream_that_needs_much_memory_is_refused() -> None:
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 32 << 20}]
    data = lzma.compress(b"token", filters=filters)
    assert read_all(unxz(io.BytesIO(data), ignore)) == b"token"
    with pytest.raises(PMEScanError, match="bytes of memory"):
        read_all(unxz(io.BytesIO(data), ignore, MAX_NESTED_DICTIONARY_BYTES))


def test_zlib_is_read_and_ends_with_its_stream() -> None:
    assert read_all(inflate(io.BytesIO(zlib.compress(CONTENT)), ignore)) == CONTENT
    with pytest.raises(PMEScanError, match="other data"):
        read_all(inflate(io.BytesIO(zlib.compress(b"") * 2), ignore))


@pytest.mark.parametrize(
    ("method", "data"), [(0, CONTENT), (8, zlib.compress(CONTENT)[2:-4]), (12, bz2.compress(CONTENT))]
)
def test_members_of_zip_files_are_read_by_their_method(method: int, data: bytes) -> None:
    sizes: list[int] = []
    assert read_all(deflated(io.BytesIO(data), method, sizes.append)) == CONTENT
    assert sum(sizes) == len(CONTENT)


def test_an_unknown_method_is_an_error() -> None:
    with pytest.raises(PMEScanError, match="method 97"):
        deflated(io.BytesIO(b""), 97, ignore)
