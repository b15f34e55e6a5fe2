"""Roots in object storage: their store's address is checked, and their connection must be there."""

from __future__ import annotations

import builtins
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.io import store

from pme_airflow.errors import PMEInputError
from pme_airflow.hooks.object_storage import storage_root

Define = Callable[..., str]


@pytest.fixture
def define(monkeypatch: pytest.MonkeyPatch) -> Define:
    """Define an AWS connection by its Extra, and return its id; Airflow keeps a store for each id it has met."""
    monkeypatch.setattr(store, "_STORE_CACHE", {})

    def made(**extra: Any) -> str:
        fields = {"conn_type": "aws", "login": "key", "password": "x", "extra": {"region_name": "us-east-1", **extra}}
        monkeypatch.setenv("AIRFLOW_CONN_BUCKETS", json.dumps(fields))
        return "buckets"

    return made


def test_local_path_needs_no_connection(tmp_path: Path) -> None:
    root, options = storage_root(f"file://{tmp_path}/out")
    assert (root.path, options) == (f"{tmp_path}/out", {})


@pytest.mark.parametrize("path", ["s3://tours/out", "s3://buckets@tours/out", "s3a://tours/out"])
def test_connection_is_given_beside_the_path_or_in_it(define: Define, path: str) -> None:
    define()
    root, options = storage_root(path, None if "@" in path else "buckets")
    assert (root.conn_id, root.path, options) == ("buckets", "tours/out", {})


def test_options_of_the_connection_are_returned(define: Define) -> None:
    _, options = storage_root("s3://tours/out", define(storage_options={"ServerSideEncryption": "aws:kms"}))
    assert options == {"ServerSideEncryption": "aws:kms"}


@pytest.mark.parametrize("scheme", ["abc", "https", "s4"])
def test_a_store_that_airflow_does_not_know_is_named_with_a_cure(scheme: str) -> None:
    with pytest.raises(PMEInputError, match=rf"path: this Airflow knows no store {scheme}://. Use file, s3"):
        storage_root(f"{scheme}://bucket/out")


@pytest.mark.parametrize(
    "extra",
    [
        {},
        {"endpoint_url": "https://minio.example:9000"},
        {"endpoint_url": "http://127.0.0.1:9000"},
        {"endpoint_url": "http://minio.internal:9000", "allow_http": True},
    ],
)
def test_address_is_accepted(define: Define, extra: dict[str, Any]) -> None:
    assert storage_root("s3://tours/out", define(**extra))[0].path == "tours/out"


@pytest.mark.parametrize(
    "extra",
    [
        {"endpoint_url": "http://minio.example:9000"},
        {"endpoint_url": "http://127.0.0.1.evil.example:9000"},
        {"endpoint_url": "http://minio.example:9000", "allow_http": False},
        {"service_config": {"s3": {"endpoint_url": "http://minio.example:9000"}}},
    ],
)
def test_plain_http_to_another_machine_is_refused(define: Define, extra: dict[str, Any]) -> None:
    with pytest.raises(PMEInputError, match="connection buckets, endpoint: plain http"):
        storage_root("s3://tours/out", define(**extra))


def test_plain_http_from_the_environment_is_refused(define: Define, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://minio.example:9000")
    with pytest.raises(PMEInputError, match=r"plain http to minio\.example"):
        storage_root("s3://tours/out", define())


@pytest.mark.parametrize("path", ["ftp://files.example/out", "http://files.example/out"])
def test_store_that_sends_links_in_clear_is_refused(path: str) -> None:
    with pytest.raises(PMEInputError, match="sends links in clear"):
        storage_root(path)


@pytest.mark.parametrize("path", ["s3://tours/out", "file:///srv/out"])
def test_connection_that_is_not_defined_is_named(path: str) -> None:
    """Airflow would go on without credentials."""
    with pytest.raises(PMEInputError, match="The connection no_such_connection is not defined"):
        storage_root(path, "no_such_connection")


def test_options_of_the_connection_must_be_a_mapping(define: Define) -> None:
    with pytest.raises(PMEInputError, match="storage_options must be a mapping"):
        storage_root("s3://tours/out", define(storage_options=["ACL"]))


def test_missing_library_is_named_with_its_extra(define: Define, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without_s3fs(name: str, *args: Any, **named: Any) -> Any:
        if name.partition(".")[0] == "s3fs":
            raise ModuleNotFoundError("No module named 's3fs'", name="s3fs")
        return real(name, *args, **named)

    monkeypatch.setattr(builtins, "__import__", without_s3fs)
    with pytest.raises(PMEInputError, match=r"pip install 'pme-airflow\[s3\]'"):
        storage_root("s3://tours/out", define())
