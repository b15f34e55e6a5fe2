"""Paths and object stores' URLs are listed for a scan."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace

import pytest

from pme_airflow.errors import PMEInputError
from pme_airflow.hooks import scan_places
from pme_airflow.hooks.scan_places import open_place, open_place_or_stdin
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
    assert read(open_place(str(tmp_path))) == expected
    assert read(open_place(f"file://{tmp_path}")) == expected


def test_an_object_store_is_listed_and_each_object_opens(bucket: Bucket) -> None:
    bucket.put("a", b"first")
    bucket.put("deep/b", b"second")
    assert read(open_place(bucket.url)) == {f"{bucket.url}/a": b"first", f"{bucket.url}/deep/b": b"second"}
    assert read(open_place(f"{bucket.url}/a")) == {f"{bucket.url}/a": b"first"}


def test_a_store_with_nothing_there_is_refused_without_its_credentials(bucket: Bucket) -> None:
    with pytest.raises(PMEInputError, match="PATH"):
        list(open_place(f"{bucket.url}/nowhere"))
    with pytest.raises(PMEInputError) as refused:
        list(open_place("nosuchstore://key:secret@nowhere"))
    assert "secret" not in str(refused.value)


def test_a_dash_is_standard_input_on_the_command_line_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    stdin = SimpleNamespace(buffer=io.BytesIO(b"piped"))
    monkeypatch.setattr(scan_places.sys, "stdin", stdin)  # type: ignore[attr-defined]
    assert read(open_place_or_stdin("-")) == {"-": b"piped"}
    assert not stdin.buffer.closed
    with pytest.raises(PMEInputError):
        list(open_place("-"))
    assert not any(isinstance(source, Unread) for source in open_place_or_stdin("-"))
