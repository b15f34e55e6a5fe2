"""Zip archives are read member by member, by their directory."""

from __future__ import annotations

import io
import lzma
import random
import struct
import tracemalloc
import zipfile
from functools import partial

import pytest

from pme_airflow.errors import PMEScanError
from pme_airflow.leaks import zip_reader
from pme_airflow.leaks.decompression import deflated
from pme_airflow.leaks.zip_reader import ZipEntry, ZipSection, zip_entries

CONTENTS = {"a.txt": b"first", "folder/": b"", "folder/ä.txt": b"x" * 5000}


def zip_of(contents: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED, comment: bytes = b"") -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        archive.comment = comment
        for name, content in contents.items():
            archive.writestr(name, content)
    return out.getvalue()


def read(data: bytes) -> dict[str, bytes]:
    stream = io.BytesIO(data)
    return {
        entry.name: deflated(ZipSection(stream, entry), entry.method, lambda _: None).read(1 << 20)
        for entry in zip_entries(stream)
    }


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2])
@pytest.mark.parametrize("comment", [b"", b"c" * 65535])
def test_members_are_read_with_their_names(method: int, comment: bytes) -> None:
    assert read(zip_of(CONTENTS, method, comment)) == CONTENTS


def test_folders_are_known() -> None:
    entries = list(zip_entries(io.BytesIO(zip_of(CONTENTS, zipfile.ZIP_STORED))))
    assert [entry.is_folder for entry in entries] == [False, True, False]


def test_an_archive_with_data_before_it_is_read() -> None:
    """As a program that unpacks itself."""
    assert read(b"#!/bin/sh\n" * 100 + zip_of(CONTENTS)) == CONTENTS


def test_members_over_4_gib_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 100)
    assert read(zip_of(CONTENTS)) == CONTENTS


def test_more_members_than_a_small_directory_counts_are_read() -> None:
    data = zip_of({f"{number}": b"" for number in range(66_000)}, zipfile.ZIP_STORED)
    assert sum(1 for _ in zip_entries(io.BytesIO(data))) == 66_000


def test_a_directory_of_many_members_is_read_in_little_memory() -> None:
    data = zip_of({f"{number:0200}": b"" for number in range(20_000)}, zipfile.ZIP_STORED)
    tracemalloc.start()
    try:
        assert sum(1 for _ in zip_entries(io.BytesIO(data))) == 20_000
        assert tracemalloc.get_traced_memory()[1] < len(data) + (4 << 20)
    finally:
        tracemalloc.stop()


def test_encrypted_members_are_known() -> None:
    data = bytearray(zip_of({"a": b"1"}))
    data[data.index(b"PK\x01\x02") + 8] |= 1
    assert [entry.encrypted for entry in zip_entries(io.BytesIO(bytes(data)))] == [True]


def test_an_archive_without_a_directory_is_an_error() -> None:
    with pytest.raises(PMEScanError, match="without a directory"):
        list(zip_entries(io.BytesIO(zip_of(CONTENTS)[:-30])))


@pytest.mark.parametrize(("field", "change"), [(10, 1), (10, -1), (12, -1)])
def test_a_directory_of_another_length_is_an_error(field: int, change: int) -> None:
    """A count of members or a length that hides one of them."""
    data = bytearray(zip_of(CONTENTS))
    data[data.rindex(b"PK\x05\x06") + field] += change
    with pytest.raises(PMEScanError, match="directory"):
        list(zip_entries(io.BytesIO(bytes(data))))


def test_a_member_that_is_cut_off_is_an_error() -> None:
    section = ZipSection(io.BytesIO(zip_of({"a": b"token"}, zipfile.ZIP_STORED)), ZipEntry("a", 0, False, 0, 10_000))
    assert b"token" in section.read(10_000)
    with pytest.raises(EOFError):
        section.read(1)


def test_a_member_that_is_elsewhere_is_an_error() -> None:
    with pytest.raises(PMEScanError, match="not at the position"):
        ZipSection(io.BytesIO(zip_of({"a": b"1"})), ZipEntry("a", 0, False, 7, 1))


# -------------------------------------------------------------------------------- archives as other programs write them


def entry(name: bytes, *, flags: int = 0, extra: bytes = b"", comment: bytes = b"", start: int = 0) -> bytes:
    """Return an entry of a directory whose sizes and position say that they are in the zip64 field, if there is one."""
    big = 0xFFFFFFFF if extra else 5
    fields = (20, 20, flags, 0, 0, 0, 0, big, big, len(name), len(extra), len(comment), 0, 0, 0)
    place = 0xFFFFFFFF if extra else start
    return struct.pack("<4s6H3L5H2L", b"PK\x01\x02", *fields, place) + name + extra + comment


def archive(*entries: bytes, before: bytes = b"") -> bytes:
    directory = b"".join(entries)
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, len(entries), len(entries), len(directory), len(before), 0)
    return before + directory + end


def zip64(*values: int) -> bytes:
    return struct.pack(f"<HH{len(values)}Q", 1, 8 * len(values), *values)


def entries_of(data: bytes) -> list[ZipEntry]:
    return list(zip_entries(io.BytesIO(data)))


def test_names_are_read_in_their_encoding() -> None:
    found = entries_of(
        archive(entry("ä".encode(), flags=0x800), entry("ä".encode("cp437")), entry(b"\xff", flags=0x800))
    )
    assert [each.name for each in found] == ["ä", "ä", "\ufffd"]


def test_comments_and_other_fields_of_entries_are_passed_over() -> None:
    other = struct.pack("<HH4s", 0x5455, 4, b"time")
    found = entries_of(
        archive(entry(b"a", comment=b"PK\x01\x02"), entry(b"b", extra=other + zip64(9, 5, 7)), entry(b"c"))
    )
    assert [(each.name, each.packed_bytes, each.start) for each in found] == [("a", 5, 0), ("b", 5, 7), ("c", 5, 0)]


@pytest.mark.parametrize(
    "extra",
    [b"x", b"xxx", struct.pack("<HH", 1, 0), struct.pack("<HH4s", 1, 4, b"1234"), struct.pack("<HHQ", 2, 8, 9)],
)
def test_a_zip64_field_that_is_cut_off_leaves_what_the_entry_says(extra: bytes) -> None:
    (found,) = entries_of(archive(entry(b"a", extra=extra)))
    assert (found.packed_bytes, found.start) == (0xFFFFFFFF, 0xFFFFFFFF)


def test_a_zip64_field_holds_only_what_is_too_large() -> None:
    whole = entry(b"a", extra=zip64(7))
    small = whole[:20] + struct.pack("<LL", 5, 5) + whole[28:]  # the sizes are in the entry, the position is not
    (found,) = entries_of(archive(small))
    assert (found.packed_bytes, found.start) == (5, 7)


@pytest.mark.parametrize("cut", [1, 21, 22])
def test_an_end_record_that_is_cut_off_is_none(cut: int) -> None:
    with pytest.raises(PMEScanError, match="without a directory"):
        entries_of(archive(entry(b"a"))[:-cut])


def test_an_empty_archive_has_no_members() -> None:
    assert entries_of(archive()) == []


def test_a_directory_that_is_longer_than_the_file_is_an_error() -> None:
    data = bytearray(archive(entry(b"a")))
    data[-10:-6] = struct.pack("<L", len(data))
    with pytest.raises(PMEScanError, match="broken zip archive"):
        entries_of(bytes(data))


def test_a_broken_entry_is_an_error_behind_the_members_before() -> None:
    found = zip_entries(io.BytesIO(archive(entry(b"a"), b"PK\x01\x03" + entry(b"b")[4:])))
    assert next(found).name == "a"
    with pytest.raises(PMEScanError, match="members before were searched"):
        next(found)


def test_a_zip64_record_that_is_no_record_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    data = bytearray(zip_of({f"{number}": b"" for number in range(66_000)}, zipfile.ZIP_STORED))
    data[data.rindex(b"PK\x06\x06") + 3] = 7
    with pytest.raises(PMEScanError, match="broken zip archive"):
        entries_of(bytes(data))


def test_a_member_is_read_in_parts_and_whole() -> None:
    data = io.BytesIO(zip_of({"a": b"12345", "b": b"67"}, zipfile.ZIP_STORED))
    first, second = (ZipSection(data, each) for each in zip_entries(data))
    assert (first.read(2), second.read(1), first.read(), second.read(), first.read()) == (
        b"12",
        b"6",
        b"345",
        b"7",
        b"",
    )
    assert first.read(0) == b""


def test_an_empty_member_of_a_folders_name_is_a_folder() -> None:
    assert [ZipEntry(name, 0, False, 0, size).is_folder for name, size in (("a/", 0), ("a/", 1), ("a", 0))] == [
        True, False, False,
    ]  # fmt: skip


def lzma_member(content: bytes, *, end: bool) -> bytes:
    """What stands in a zip file of LZMA; 7-Zip leaves the mark of the end out."""
    packed = zipfile._get_compressor(zipfile.ZIP_LZMA)  # type: ignore[attr-defined]
    data: bytes = packed.compress(content) + packed.flush()
    return data if end else data[: len(data) - 6]


@pytest.mark.parametrize("end", [True, False])
@pytest.mark.parametrize("size", [0, 1, 5000, 3 << 20])
def test_members_in_lzma_are_read_also_without_a_mark_of_their_end(size: int, end: bool) -> None:
    content = bytes(range(256)) * (size // 256) + b"t" * (size % 256)
    stream = deflated(io.BytesIO(lzma_member(content, end=end or not size)), 14, lambda _: None, size)
    assert b"".join(iter(lambda: stream.read(70_000), b"")) == content


@pytest.mark.parametrize("step", [1, 8, 1000])
def test_lzma_is_read_from_a_stream_that_gives_little_at_a_time(step: int) -> None:
    class Slow(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            return super().read(step)

    assert deflated(Slow(lzma_member(b"token" * 900, end=True)), 14, lambda _: None, 4500).read(5000) == b"token" * 900


@pytest.mark.parametrize(
    ("head", "message"),
    [
        (b"\x09\x14\x05\x00\x5d\xff\xff\xff\xff", "needs over"),
        (b"\x09\x14\x05\x00\xff\x00\x00\x01\x00", "broken LZMA header"),
        (b"\x09\x14\x06\x00\x5d\x00\x00\x01\x00", "broken LZMA header"),
    ],
)
def test_an_lzma_header_is_checked_before_memory_is_taken(head: bytes, message: str) -> None:
    with pytest.raises(PMEScanError, match=message):
        deflated(io.BytesIO(head + bytes(100)), 14, lambda _: None, 100).read(10)


@pytest.mark.parametrize("length", range(9))
def test_an_lzma_member_that_is_cut_in_its_header_is_cut_off(length: int) -> None:
    with pytest.raises(EOFError):
        deflated(io.BytesIO(lzma_member(b"x", end=True)[:length]), 14, lambda _: None, 1).read(10)


def test_xz_in_a_zip_file_is_read() -> None:
    assert deflated(io.BytesIO(lzma.compress(b"token")), 95, lambda _: None).read(10) == b"token"


def test_random_content_in_lzma_is_read_whatever_the_steps() -> None:
    """Its mark of the end then comes in another piece than its last bytes."""
    content = random.Random(1).randbytes((16 << 10) * 3)
    for size in (len(content), len(content) - 7, len(content) - 20):
        data = lzma_member(content[:size], end=True)
        stream = deflated(io.BytesIO(data), 14, lambda _: None, size)
        assert b"".join(iter(partial(stream.read, 5000), b"")) == content[:size]


def test_a_directory_is_read_in_steps_and_not_beyond_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zip_reader, "_STEP_BYTES", 64)
    data = zip_of({f"{number}.txt": b"" for number in range(50)})
    end = data.rindex(b"PK\x05\x06")
    reads: list[tuple[int, int]] = []

    class Recorded(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            start = self.tell()
            found = super().read(size)
            reads.append((start, start + len(found)))
            return found

    assert [entry.name for entry in zip_entries(Recorded(data))] == [f"{number}.txt" for number in range(50)]
    in_directory = reads[2:]  # the first two look for the end of the directory
    assert all(stop - start <= 64 and stop <= end for start, stop in in_directory)
    assert sum(stop - start for start, stop in in_directory) == end - in_directory[0][0]
