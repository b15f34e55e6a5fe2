"""Compressed streams are read in bounded steps, whole and up to where they break."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import struct
import tracemalloc
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from pme_airflow.errors import PMEScanError
from pme_airflow.leaks.decompression import (
    LZMA_METHODS,
    MAX_DICTIONARY_BYTES,
    MAX_NESTED_DICTIONARY_BYTES,
    bunzip2,
    deflated,
    gunzip,
    inflate,
    unxz,
)

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


@pytest.mark.parametrize(("pack", "unpack"), KINDS)
def test_no_more_is_read_than_was_asked_for(pack: Callable[[bytes], bytes], unpack: Callable[..., Any]) -> None:
    stream = unpack(io.BytesIO(pack(CONTENT)), ignore)
    assert [stream.read(0), stream.read(10), stream.read(5)] == [b"", CONTENT[:10], CONTENT[10:15]]
    assert len(stream.read()) > 100_000


def test_an_error_of_reading_counts_nothing() -> None:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            raise OSError("gone")

    counted: list[int] = []
    with pytest.raises(OSError, match="gone"):
        gunzip(Broken(), counted.append).read(10)
    with pytest.raises(EOFError):
        read_all(bunzip2(io.BytesIO(bz2.compress(b"token")[:-3]), counted.append))
    assert sum(counted) == len(b"token")


def test_a_broken_xz_stream_is_an_error_of_its_own() -> None:
    packed = bytearray(lzma.compress(CONTENT))
    packed[100] ^= 1
    with pytest.raises(lzma.LZMAError):
        read_all(unxz(io.BytesIO(bytes(packed)), ignore))


def zip_lzma(content: bytes, dictionary: int = 0, lc: int = 3, lp: int = 0, pb: int = 2) -> bytes:
    """Compress with LZMA as a zip file has it, a header before it."""
    bits = {"lc": lc, "lp": lp, "pb": pb, "dict_size": 1 << 16}
    packed = lzma.compress(content, lzma.FORMAT_RAW, filters=[{"id": lzma.FILTER_LZMA1, **bits}])
    return struct.pack("<2sHBL", b"\x10\x02", 5, (pb * 5 + lp) * 9 + lc, dictionary) + packed


@pytest.mark.parametrize(("lc", "lp", "pb"), [(3, 0, 2), (0, 4, 4), (1, 2, 0), (4, 0, 1)])
def test_lzma_in_a_zip_file_is_read_with_its_properties(lc: int, lp: int, pb: int) -> None:
    packed = zip_lzma(CONTENT, 1 << 16, lc, lp, pb)
    assert read_all(deflated(io.BytesIO(packed), 14, ignore, len(CONTENT))) == CONTENT


def test_lzma_in_a_zip_file_ends_with_the_size_that_the_archive_gives() -> None:
    for size, read in ((5, b"token"), (0, b"")):
        assert read_all(deflated(io.BytesIO(zip_lzma(b"token and more")), 14, ignore, size)) == read
    assert read_all(deflated(io.BytesIO(zip_lzma(b"")), 14, ignore)) == b""


def test_lzma_in_a_zip_file_is_read_byte_by_byte() -> None:
    class Slow(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            return super().read(min(1, size or 0))

    assert read_all(deflated(Slow(zip_lzma(b"token")), 14, ignore, 5)) == b"token"


@pytest.mark.parametrize("length", [0, 8, 9, 12])
def test_lzma_in_a_zip_file_that_is_cut_off_is_an_error(length: int) -> None:
    with pytest.raises(EOFError):
        read_all(deflated(io.BytesIO(zip_lzma(b"token")[:length]), 14, ignore, 5))


@pytest.mark.parametrize(("length", "properties", "error"), [(4, 93, PMEScanError), (6, 93, PMEScanError),
                                                            (5, 225, PMEScanError), (5, 224, lzma.LZMAError)])  # fmt: skip
def test_an_lzma_header_that_cannot_be_is_an_error(length: int, properties: int, error: type[Exception]) -> None:
    packed = struct.pack("<2sHBL", b"\x10\x02", length, properties, 1 << 16) + b"data"
    with pytest.raises(error):
        read_all(deflated(io.BytesIO(packed), 14, ignore, 5))


@pytest.mark.parametrize(("limit", "size"), [(MAX_DICTIONARY_BYTES, 72 << 20), (MAX_NESTED_DICTIONARY_BYTES, 10 << 20)])
def test_a_dictionary_of_just_the_limit_is_taken(limit: int, size: int) -> None:
    def read(dictionary: int) -> bytes:
        return read_all(deflated(io.BytesIO(zip_lzma(b"token", dictionary)), 14, ignore, 5, limit))

    assert read(size) == b"token"
    with pytest.raises(PMEScanError, match=f"needs over {size} bytes of memory"):
        read(size + 1)


def test_the_limit_of_a_dictionary_is_that_of_files_unless_another_is_named() -> None:
    with pytest.raises(PMEScanError, match=f"needs over {72 << 20} bytes of memory"):
        read_all(deflated(io.BytesIO(zip_lzma(b"token", (72 << 20) + 1)), 14, ignore, 5))


@pytest.mark.parametrize("method", sorted(LZMA_METHODS))
def test_methods_that_need_a_large_dictionary_are_limited(method: int) -> None:
    packed = {14: zip_lzma(CONTENT, 1 << 16), 95: lzma.compress(CONTENT)}[method]
    assert read_all(deflated(io.BytesIO(packed), method, ignore, len(CONTENT))) == CONTENT
    with pytest.raises(PMEScanError, match="bytes of memory"):
        read_all(deflated(io.BytesIO(packed), method, ignore, len(CONTENT), 1))


def test_a_member_that_is_stored_is_read_whole_at_once_and_counted() -> None:
    sizes: list[int] = []
    assert deflated(io.BytesIO(CONTENT), 0, sizes.append).read() == CONTENT
    assert sizes == [len(CONTENT)]
