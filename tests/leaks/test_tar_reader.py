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


def edited(block: bytes, **fields: bytes) -> bytes:
    """Return a header with other fields, such as ``b345`` for those from byte 345, and its checksum."""
    changed = bytearray(block)
    for place, content in fields.items():
        changed[int(place[1:]) : int(place[1:]) + len(content)] = content
    changed[148:156] = b" " * 8
    changed[148:156] = b"%06o\0 " % sum(changed)
    return bytes(changed)


def padded(content: bytes) -> bytes:
    """Return content up to the next block."""
    return content + bytes(-len(content) % 512)


def pax(*records: tuple[str, str]) -> bytes:
    """Return a pax header with the given records."""
    content = b""
    for key, value in records:
        record = f" {key}={value}\n".encode()
        length = next(n for n in range(len(record), len(record) + 10) if n == len(record) + len(str(n)))
        content += str(length).encode() + record
    return header(b"x", len(content)) + padded(content)


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
    block[124:136] = b"\x80" + (1 << 86).to_bytes(11, "big")
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


# -------------------------------------------------------------------------------- headers as other programs write them


@pytest.mark.parametrize("magic", [b"ustar\x0000", b"ustar  \0", bytes(8)])
def test_a_name_in_two_parts_is_joined_in_posix_archives_alone(magic: bytes) -> None:
    block = edited(header(b"0", 1), b0=b"n" * 100, b257=magic, b345=b"p" * 155)
    name = "p" * 155 + "/" + "n" * 100 if magic == b"ustar\x0000" else "n" * 100
    assert read(block + padded(b"1")) == [(name, b"1")]


def test_a_checksum_of_signed_bytes_is_accepted() -> None:
    block = bytearray(edited(header(b"0", 1), b0=b"\x7f\x80\xe4\xff"))
    unsigned = int(block[148:154], 8)
    for checksum, accepted in ((unsigned, True), (unsigned - 3 * 256, True), (unsigned - 256, False), (0, False)):
        for last in (b" ", b"\xff"):  # a byte of the checksum itself is never one of those that are signed
            block[148:156] = b"%06o\0" % checksum + last
            assert is_tar(bytes(block)) is accepted


@pytest.mark.parametrize("checksum", [b"\xff" * 8, b"12x45 \0 ", b"        ", bytes(8)])
def test_a_checksum_that_is_none_is_no_tar(checksum: bytes) -> None:
    block = bytearray(header(b"0", 1))
    block[148:156] = checksum
    assert not is_tar(bytes(block))


@pytest.mark.parametrize("size", [b"00000000003\0", b"          3 ", b"3\0 garbage  ", b"\x80" + bytes(10) + b"\3"])
def test_every_form_of_a_size_is_read(size: bytes) -> None:
    assert read(edited(header(b"0", 0), b124=size) + padded(b"abc") + tar_of({"b": b"2"})) == [
        ("@LongLink", b"abc"), ("b", b"2"),
    ]  # fmt: skip


@pytest.mark.parametrize("size", [b"\xff" * 12, b"\x81" + bytes(11), b"\xc0" + bytes(11), b"00000000009\0"])
def test_a_size_that_is_no_number_is_a_broken_header(size: bytes) -> None:
    with pytest.raises(PMEScanError, match="broken header"):
        read(edited(header(b"0", 0), b124=size) + padded(b"abc"))


def test_a_size_of_blanks_is_none() -> None:
    assert read(edited(header(b"0", 0), b124=b" " * 12) + tar_of({"b": b"2"})) == [("@LongLink", b""), ("b", b"2")]


@pytest.mark.parametrize("kind", [b"1", b"2", b"3", b"4", b"5", b"6"])
def test_links_devices_and_folders_have_no_data_whatever_their_size(kind: bytes) -> None:
    assert read(header(kind, 700) + tar_of({"b": b"2"})) == [("b", b"2")]


def test_the_name_of_a_link_is_not_the_next_members() -> None:
    assert read(header(b"L", 1) + padded(b"l") + header(b"2", 0) + tar_of({"b": b"2"})) == [("b", b"2")]


@pytest.mark.parametrize("kind", [b"0", b"\0", b"7"])
def test_the_size_in_a_pax_header_is_the_members(kind: bytes) -> None:
    member = edited(header(b"0", 0), b156=kind)
    archive = pax(("size", "1000"), ("path", "long")) + member + padded(b"x" * 1000) + tar_of({"b": b"2"})
    assert read(archive) == [("long", b"x" * 1000), ("b", b"2")]


def test_the_size_in_a_pax_header_is_not_that_of_a_header_between() -> None:
    archive = pax(("size", "3")) + header(b"K", 600) + padded(b"k" * 600) + header(b"0", 0) + padded(b"abc")
    assert read(archive) == [("", b"k" * 600), ("@LongLink", b"abc")]


@pytest.mark.parametrize(
    "records",
    [
        b"0 path=x\n",
        b"x path=y\n",
        b"99 path=x\n",
        b"-9 path=x\n",
        b"12path=xyzzy\n",
        b"11 other=x\n0 path=x\n",
        b"9 size=x\n",
        b"29 size=" + b"9" * 20 + b"\n",
    ],
)
def test_a_pax_record_that_is_none_is_ignored(records: bytes) -> None:
    assert read(header(b"x", len(records)) + padded(records) + tar_of({"b": b"2"})) == [("b", b"2")]


def test_every_pax_record_is_read() -> None:
    archive = pax(("mtime", "1"), ("uid", "300"), ("path", "näme=x")) + header(b"0", 1) + padded(b"1")
    assert read(archive) == [("näme=x", b"1")]


@pytest.mark.parametrize("records", [b"32 linkpath=%s\n" % (b"t" * 19), b"30 comment=%s\n" % (b"c" * 18), b"x" * 40])
def test_other_texts_of_a_pax_header_are_read_as_data(records: bytes) -> None:
    found = read(header(b"x", len(records)) + padded(records) + header(b"0", 1) + padded(b"1"))
    assert found == [("", records), ("@LongLink", b"1")]


@pytest.mark.parametrize("kind", [b"1", b"2", b"5", b"0"])
def test_names_and_targets_of_members_without_data_are_read(kind: bytes) -> None:
    block = edited(header(kind, 0), b0=b"n" * 30 + bytes(70), b157=b"t" * 30 + bytes(70))
    named = [("n" * 30, b"")] if kind == b"0" else [("", b"n" * 30)]
    assert read(block) == [("", b"t" * 30), *named]


@pytest.mark.parametrize("maps", [0, 1, 3])
def test_a_sparse_file_is_read_as_it_is_stored(maps: int) -> None:
    block = edited(header(b"S", 4), b482=b"\1" if maps else b"\0")
    more = [bytes(504) + bytes([number + 1 < maps]) + bytes(7) for number in range(maps)]
    assert read(block + b"".join(more) + padded(b"abcd") + tar_of({"b": b"2"})) == [("@LongLink", b"abcd"), ("b", b"2")]
    if maps:
        with pytest.raises(EOFError):
            read(block + b"".join(more)[:-1])


def test_a_stream_that_gives_little_at_a_time_is_read_whole() -> None:
    class Slow(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            return super().read(min(size, 7) if size and size > 0 else size)

    found = []
    for member in tar_members(Slow(tar_of(CONTENTS))):
        content = b""
        while part := member.stream.read(1000):
            content += part
        found.append((member.name, content))
    assert found == list(CONTENTS.items())


def test_a_header_just_over_the_limit_is_read_as_data_too() -> None:
    name = b"n" * (MAX_HEADER_BYTES + 1)
    assert read(header(b"L", len(name)) + padded(name) + tar_of({"a": b"1"})) == [
        ("", name), (name[:-1].decode(), b"1"),
    ]  # fmt: skip


def test_what_is_left_of_a_member_is_read_without_a_size() -> None:
    members = tar_members(io.BytesIO(tar_of({"a": b"12345"})))
    stream = next(members).stream
    assert stream.read(2) == b"12"
    assert stream.read() == b"345"
    assert stream.read() == b""


def test_every_byte_but_the_checksum_itself_is_counted_in_it() -> None:
    """Old programs end the time of a file, just before the checksum, with a blank."""
    assert is_tar(edited(header(b"0", 1), b147=b" "))
    for place in (0, 147, 156, 511):
        block = bytearray(header(b"0", 1))
        block[place] += 1
        assert not is_tar(bytes(block)), place


def test_checksums_of_six_digits_and_signed_kinds_are_read() -> None:
    assert is_tar(edited(header(b"0", 1), b0=b"\xff" * 100, b345=b"\xff" * 155))
    block = bytearray(edited(header(b"0", 1), b156=b"\xff"))
    block[148:156] = b"%06o\0 " % (int(block[148:154], 8) - 256)
    assert is_tar(bytes(block))


def test_a_link_target_of_the_whole_field_is_read() -> None:
    assert read(edited(header(b"2", 0), b157=b"t" * 100)) == [("", b"t" * 100)]


def test_a_stream_that_gives_single_bytes_is_read_whole() -> None:
    class Slow(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            return super().read(min(size or 0, 1))

    assert [member.name for member in tar_members(Slow(tar_of({"a": b"12", "b": b"3"})))] == ["a", "b"]


def test_a_long_member_that_is_not_read_is_skipped_in_steps() -> None:
    sizes: list[int] = []

    class Recorded(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            sizes.append(size or 0)
            return super().read(size)

    assert [member.name for member in tar_members(Recorded(tar_of({"a": b"x" * (3 << 20), "b": b"2"})))] == ["a", "b"]
    assert max(sizes) == 1 << 20


def test_a_header_of_64_kibibytes_is_parsed() -> None:
    assert MAX_HEADER_BYTES == 64 << 10
