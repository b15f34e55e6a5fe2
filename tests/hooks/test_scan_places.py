"""Paths and object stores' URLs are listed for a scan."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace

import pytest

from pme_airflow.hooks import scan_places
from pme_airflow.hooks.scan_places import Places
from pme_airflow.leaks.files import Source, Unread
from tests.support.buckets import Bucket


def read(sources: object) -> dict[str, bytes]:
    found = {}
    for source in sources:  # type: ignore[attr-defined]
        assert isinstance(source, Source)
        with source.open() as stream:
            found[source.path] = stream.read()
    return found


def test_a_path_and_a_file_url_list_files(tmp_path: Path) -> None:
    (tmp_path / "note").write_bytes(b"content")
    expected = {str(tmp_path / "note"): b"content"}
    assert read(Places().open(str(tmp_path))) == expected
    assert read(Places().open(f"file://{tmp_path}")) == expected


def test_a_work_tree_whose_repository_is_not_here_is_unread(tmp_path: Path) -> None:
    (tmp_path / ".git").write_text("gitdir: /nowhere\n")
    assert [type(found) for found in Places().open(str(tmp_path))] == [Source, Unread]


KEYS = ["a", "a/below", "deep/b", "deep//c", "deep/../d", "x y/#?é", "folder/", "%41", ".."]


def test_every_object_of_a_bucket_is_read_whatever_its_key(bucket: Bucket) -> None:
    for key in KEYS:
        bucket.put(key, f"content of {key}".encode())
    bucket.put("empty", b"")
    expected = {f"{bucket.url}/{key}": f"content of {key}".encode() for key in KEYS}
    assert read(Places().open(bucket.url)) == {**expected, f"{bucket.url}/empty": b""}


def test_an_object_whose_name_is_a_folder_too_is_read_with_what_is_below(bucket: Bucket) -> None:
    bucket.put("a", b"object")
    bucket.put("a/below", b"below")
    bucket.put("ab", b"another")
    assert read(Places().open(f"{bucket.url}/a")) == {f"{bucket.url}/a": b"object", f"{bucket.url}/a/below": b"below"}


def test_a_large_object_is_read_in_blocks_and_seeks(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan_places, "_BLOCK_BYTES", 1000)
    content = bytes(range(256)) * 20
    bucket.put("large", content)
    (source,) = Places().open(bucket.url)
    assert isinstance(source, Source)
    with source.open() as stream:
        assert stream.read() == content
        assert stream.seek(-6, io.SEEK_END) == len(content) - 6
        assert stream.read(100) == content[-6:]
        assert stream.seek(300) == 300
        assert stream.read(3) == content[300:303]
        assert stream.seek(2, io.SEEK_CUR) == 305
        assert stream.read(1) == content[305:306]


def test_an_object_that_shrinks_while_it_is_read_is_an_error(bucket: Bucket) -> None:
    bucket.put("a", b"x" * 100)
    (source,) = Places().open(bucket.url)
    bucket.put("a", b"x" * 50)
    assert isinstance(source, Source)
    with source.open() as stream, pytest.raises(OSError, match="changed"):
        stream.read()


def test_an_object_that_was_put_after_the_first_listing_is_listed(bucket: Bucket) -> None:
    bucket.put("a", b"first")
    assert len(list(Places().open(bucket.url))) == 1
    bucket.put("b", b"second")
    assert len(list(Places().open(bucket.url))) == 2


@pytest.mark.parametrize("place", ["{bucket}/nowhere", "{conn}-no-such-bucket/x", "nosuchstore://key:secret@nowhere"])
def test_a_store_with_nothing_there_is_named_without_its_credentials(bucket: Bucket, place: str) -> None:
    (found,) = Places().open(place.format(bucket=bucket.url, conn=bucket.url))
    assert isinstance(found, Unread)
    assert "secret" not in str(found)
    assert "@" not in str(found)


def test_a_store_that_does_not_know_sizes_is_read_by_its_own_streams() -> None:
    fs = SimpleNamespace(open=lambda key, mode: (key, mode))
    assert scan_places._open(fs, "key", None) == ("key", "rb")


def test_a_dash_is_standard_input_on_the_command_line_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    stdin = SimpleNamespace(buffer=io.BytesIO(b"piped"))
    monkeypatch.setattr(scan_places.sys, "stdin", stdin)  # type: ignore[attr-defined]
    assert read(Places(stdin=True).open("-")) == {"-": b"piped"}
    assert not stdin.buffer.closed
    assert isinstance(next(Places().open("-")), Unread)
