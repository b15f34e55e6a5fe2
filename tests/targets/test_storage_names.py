"""One place in object storage has one name, whichever connection leads there, and two places have two."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import ObjectStoragePath

from pme_airflow.targets.storage_names import storage_endpoint, storage_name
from tests.support.places import bucket_server


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("file:///srv/embeds", "file:///srv/embeds"),
        ("file:///srv/embeds/", "file:///srv/embeds"),
        ("file:///srv//embeds/./", "file:///srv/embeds"),
        ("file:///srv/other/../embeds", "file:///srv/embeds"),
        ("/srv/embeds", "file:///srv/embeds"),
        ("local:///srv/embeds", "file:///srv/embeds"),
        ("file:///srv/Embeds", "file:///srv/Embeds"),
    ],
)
def test_local_folder_has_one_name(path: str, name: str) -> None:
    assert storage_name(ObjectStoragePath(path)) == name


def bucket(monkeypatch: pytest.MonkeyPatch, conn_id: str, endpoint: str, path: str = "s3://tours/out") -> Any:
    extra = {"endpoint_url": endpoint, "region_name": "us-east-1"} if endpoint else {"region_name": "us-east-1"}
    fields = {"conn_type": "aws", "login": "key", "password": "x", "extra": extra}
    monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(fields))
    return ObjectStoragePath(path, conn_id=conn_id)


def test_bucket_of_aws_has_the_same_name_over_every_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    one = bucket(monkeypatch, "aws_names_one", "")
    other = bucket(monkeypatch, "aws_names_other", "https://s3.eu-west-1.amazonaws.com", "s3a://tours/out/")
    assert storage_name(one) == storage_name(other) == "s3://tours/out"


def test_buckets_of_one_name_in_two_stores_are_two_places(monkeypatch: pytest.MonkeyPatch) -> None:
    with bucket_server() as (one, _), bucket_server() as (other, _):
        names = [
            storage_name(bucket(monkeypatch, f"aws_store_{number}_{address.rpartition(':')[2]}", address))
            for number, address in enumerate((one, other))
        ]
        assert names == [f"s3://tours/out?endpoint={one}", f"s3://tours/out?endpoint={other}"]


def test_address_from_the_environment_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9000/")
    assert storage_name(bucket(monkeypatch, "aws_environment", "")) == "s3://tours/out?endpoint=http://127.0.0.1:9000"


@pytest.mark.parametrize(
    ("fs", "endpoint"),
    [
        (SimpleNamespace(), ""),
        (SimpleNamespace(account_name="contoso"), "contoso"),
        (SimpleNamespace(_endpoint="http://127.0.0.1:4443/"), "http://127.0.0.1:4443"),
        (SimpleNamespace(host="files.example"), "files.example"),
        (SimpleNamespace(endpoint_url="https://s3.us-gov-west-1.amazonaws.com"), ""),
        (
            SimpleNamespace(endpoint_url="https://s3.amazonaws.com.evil.example"),
            "https://s3.amazonaws.com.evil.example",
        ),
    ],
)
def test_other_stores_are_told_apart_by_their_account_or_host(fs: Any, endpoint: str) -> None:
    assert storage_endpoint(fs) == endpoint


def test_other_store_without_an_address_is_named_by_its_path(tmp_path: Path) -> None:
    root = SimpleNamespace(protocol="memory", path="/tours/out/", fs=SimpleNamespace())
    assert storage_name(root) == "memory://tours/out"
