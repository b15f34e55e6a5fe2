"""Pages in object storage: whole files, no-store on S3, and no old link in a versioned bucket."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from pme_airflow.emulator import World
from pme_airflow.ledger.actor import Actor
from pme_airflow.rotation.publish import Publisher
from pme_airflow.rotation.services import Services
from pme_airflow.targets.object_storage import ObjectStorageTarget
from tests.conftest import MODELS
from tests.support.rooms import mint, publish

ONE = next(iter(MODELS))


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A versioned bucket on moto's server."""
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    address = f"http://{host}:{port}"
    client = boto3.client(
        "s3", endpoint_url=address, aws_access_key_id="key", aws_secret_access_key="x", region_name="us-east-1"
    )
    client.create_bucket(Bucket="versioned")
    client.put_bucket_versioning(Bucket="versioned", VersioningConfiguration={"Status": "Enabled"})
    extra = {"endpoint_url": address, "region_name": "us-east-1"}
    fields = {"conn_type": "aws", "login": "key", "password": "x", "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", json.dumps(fields))
    yield client
    server.stop()


def versions(bucket: Any) -> str:
    """All that a versioned bucket holds of pages and links, old versions too."""
    listed = bucket.list_object_versions(Bucket="versioned", Prefix="out/")
    held = [
        bucket.get_object(Bucket="versioned", Key=v["Key"], VersionId=v["VersionId"])["Body"].read().decode()
        for v in listed.get("Versions", [])
    ]
    return "\n".join(held)


def test_no_version_of_a_file_holds_an_old_link(bucket: Any, services: Services, world: World) -> None:
    from airflow.sdk import ObjectStoragePath

    target = ObjectStorageTarget(ObjectStoragePath("s3://aws_default@versioned/out"))
    for night in ("monday", "tuesday", "wednesday"):
        assert publish(services, night, target, mint(services, night, [ONE]).items).failed == []
    *old, newest = world.tokens
    held = versions(bucket)
    assert newest in held
    assert [token for token in old if token in held] == []
    head = bucket.head_object(Bucket="versioned", Key=f"out/{ONE}/embed.html")
    assert head["CacheControl"] == "no-store"
    assert head["ContentType"].startswith("text/html")
    Publisher(services, Actor("dag/thursday/publish/-1"), target).retire_others("intranet", [])
    assert newest not in versions(bucket)


def test_files_are_whole_and_leave_no_drafts(tmp_path: Path, services: Services, world: World) -> None:
    from airflow.sdk import ObjectStoragePath

    target = ObjectStorageTarget(ObjectStoragePath(f"file://{tmp_path}/out"))
    publish(services, "monday", target, mint(services, "monday", [ONE]).items)
    found = sorted(path.name for path in (tmp_path / "out").rglob("*") if path.is_file())
    assert found == ["embed.html", "index.html", "link.json"]
    record = json.loads((tmp_path / "out" / ONE / "link.json").read_text())
    assert set(record) == {"model_id", "audience", "link", "access_token", "valid_until"}
    assert record["access_token"] == next(iter(world.tokens))
