"""Files in a store without features of its own are written, read up to a limit, and deleted."""

from __future__ import annotations

import io
import uuid
from typing import Any

import fsspec
import pytest
from airflow.sdk import ObjectStoragePath
from airflow.sdk.io import attach

from pme_airflow.targets.page_files import FsspecFiles


@pytest.fixture
def files() -> FsspecFiles:
    """Files in memory."""
    attach(protocol="memory", fs=fsspec.filesystem("memory"))
    return FsspecFiles(ObjectStoragePath(f"memory://{uuid.uuid4().hex}/root"))


def test_a_file_is_replaced_and_the_store_keeps_nothing_of_the_old_one(files: FsspecFiles) -> None:
    assert files.write("a/link.json", "first, and longer") is False
    assert files.write("a/link.json", "sécond") is False
    assert files.read("a/link.json", 100) == "sécond"


def test_no_more_is_read_than_the_limit(files: FsspecFiles) -> None:
    files.write("page", "0123456789")
    assert files.read("page", 4) == "0123"
    files.write("page", "é" * 5)
    assert files.read("page", 3) == "é\ufffd"  # cut inside of a character


def test_a_file_that_is_not_there_is_no_text_and_is_deleted_without_an_error(files: FsspecFiles) -> None:
    assert files.read("a/link.json", 10) is None
    assert files.delete("a/link.json") is False


def test_a_deleted_file_is_gone(files: FsspecFiles) -> None:
    files.write("a/link.json", "x")
    files.write("a/embed.html", "y")
    assert files.delete("a/link.json") is False
    assert files.read("a/link.json", 10) is None
    assert files.read("a/embed.html", 10) == "y"


def test_changes_cannot_be_seen_without_reading(files: FsspecFiles) -> None:
    files.write("a", "x")
    assert files.signatures(["a", "b"]) == {}


class Written(io.BytesIO):
    """A root whose files remember how they were opened."""

    def __init__(self, protocol: str) -> None:
        super().__init__()
        self.protocol = protocol
        self.opened: list[tuple[str, dict[str, Any]]] = []

    def __truediv__(self, path: str) -> Written:
        return self

    def open(self, mode: str, **options: Any) -> Written:
        self.opened.append((mode, options))
        return Written("")


@pytest.mark.parametrize(
    ("path", "content_type"),
    [
        ("index.html", "text/html; charset=utf-8"),
        ("a/link.json", "application/json"),
        ("x", "application/octet-stream"),
    ],
)
@pytest.mark.parametrize("protocol", ["gs", "gcs"])
def test_googles_caches_keep_no_file(protocol: str, path: str, content_type: str) -> None:
    root = Written(protocol)
    FsspecFiles(root).write(path, "x")
    assert root.opened == [("wb", {"content_type": content_type, "fixed_key_metadata": {"cache_control": "no-store"}})]


def test_other_stores_are_given_no_headers_that_they_do_not_know() -> None:
    root = Written("abfs")
    FsspecFiles(root).write("index.html", "x")
    assert root.opened == [("wb", {})]
