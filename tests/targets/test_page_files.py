"""Files in a store without features of its own are written, read up to a limit, and deleted."""

from __future__ import annotations

import uuid

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
