"""Zip archives are read member by member, by their directory."""

from __future__ import annotations

import io
import tracemalloc
import zipfile

import pytest

from pme_airflow.errors import PMEScanError
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
    with pytest.raises(PMEScanError, match="not where"):
        ZipSection(io.BytesIO(zip_of({"a": b"1"})), ZipEntry("a", 0, False, 7, 1))
