"""Tar archives are read whole, and headers of any length in little memory."""

from __future__ import annotations

import io
import tarfile
import tracemalloc

import pytest

from pme_airflow.errors import PMEScanError
from pme_airflow.leaks.tar_reader import MAX_HEADER_BYTES, is_tar, tar_members

LONG = "folder/" * 40 + "note.txt"
CONTENTS = {"a.txt": b"first", LONG: b"x" * 1500, "empty": b"", "ä.txt": b"last"}


def tar_of(contents: dict[str, bytes], tar_format: int = tarfile.PAX_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tar_format) as archive:
        for name, content in contents.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return out.getvalue()


def header(kind: bytes, size: int) -> bytes:
    """Return one header block, without what follows it."""
    entry = tarfile.TarInfo("@LongLink")
    entry.type = kind
    entry.size = size
    return entry.tobuf(tarfile.GNU_FORMAT)


def read(data: bytes) -> list[tuple[str, bytes]]:
    return [(member.name, member.stream.read(1 << 20)) for member in tar_members(io.BytesIO(data))]


@pytest.mark.parametrize("tar_format", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_members_are_read_with_their_names(tar_format: int) -> None:
    data = tar_of(CONTENTS, tar_format)
    assert is_tar(data[:512])
    assert read(data) == list(CONTENTS.items())


def test_members_that_are_not_read_are_skipped() -> None:
    assert [member.name for member in tar_members(io.BytesIO(tar_of(CONTENTS)))] == list(CONTENTS)


def test_an_old_tar_without_a_magic_is_recognised() -> None:
    block = bytearray(header(b"0", 3))
    block[257:265] = b"\0" * 8
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    assert is_tar(bytes(block))
    assert read(bytes(block) + b"abc".ljust(512, b"\0")) == [("@LongLink", b"abc")]


@pytest.mark.parametrize("head", [b"", b"\0" * 512, b"a" * 512, tar_of({"a": b""})[:511]])
def test_other_data_is_no_tar(head: bytes) -> None:
    assert not is_tar(head)


def test_archives_that_follow_each_other_are_read_as_one() -> None:
    assert [name for name, _ in read(tar_of({"a": b"1"}) + tar_of({"b": b"2"}))] == ["a", "b"]


def test_data_behind_the_end_is_read() -> None:
    assert read(tar_of({"a": b"1"}) + b"token" * 200)[1:] == [("", b"token" * 200)]


def test_link_targets_and_global_headers_are_read() -> None:
    data = header(b"K", 5) + b"token".ljust(512, b"\0") + header(b"g", 6) + b"global".ljust(512, b"\0")
    assert read(data) == [("", b"token"), ("", b"global")]


@pytest.mark.parametrize("kind", [b"L", b"x", b"K", b"g"])
def test_a_very_long_header_is_read_in_parts(kind: bytes) -> None:
    """64 MiB of a name would be held whole otherwise."""
    size = 64 << 20

    class Stream:
        left = size

        def __init__(self) -> None:
            self.start = io.BytesIO(header(kind, size))

        def read(self, size: int = -1, /) -> bytes:
            if data := self.start.read(size):
                return data
            data = b"n" * min(size, self.left)
            self.left -= len(data)
            return data

    stream = Stream()
    tracemalloc.start()
    try:
        total = 0
        for member in tar_members(stream):
            while data := member.stream.read(1 << 20):
                total += len(data)
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()
    assert (total, stream.left) == (size, 0)


def test_a_long_name_of_the_limit_names_the_member() -> None:
    name = b"n" * MAX_HEADER_BYTES
    assert [found for found, _ in read(header(b"L", len(name)) + name + tar_of({"a": b"1"}))] == [name.decode()]


def test_a_header_holds_for_the_next_member_alone() -> None:
    assert [name for name, _ in read(tar_of({LONG: b"1", "b": b"2"}))] == [LONG, "b"]


def test_a_cut_archive_is_an_error_after_what_comes_before() -> None:
    members = tar_members(io.BytesIO(tar_of({"a": b"1" * 1000})[: 512 + 700]))
    stream = next(members).stream
    assert stream.read(1000) == b"1" * 700
    with pytest.raises(EOFError):
        stream.read(1000)


def test_a_member_that_claims_to_be_huge_ends_with_the_data() -> None:
    block = bytearray(header(b"0", 0))
    block[124:136] = b"\x80" + (1 << 62).to_bytes(11, "big")
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    member = next(tar_members(io.BytesIO(bytes(block) + b"token")))
    assert member.stream.read(1 << 20) == b"token"
    with pytest.raises(EOFError):
        member.stream.read(1 << 20)


def test_a_broken_header_is_an_error() -> None:
    data = tar_of({"a": b"1"})[:1024] + b"?" * 512
    with pytest.raises(PMEScanError, match="broken header"):
        read(data)
