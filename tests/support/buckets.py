"""A bucket on moto's S3 server, reached through an Airflow connection of its own."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
from moto.server import ThreadedMotoServer


class Bucket:
    """An empty bucket, and the URL under which ``ObjectStoragePath`` finds it."""

    def __init__(self, client: Any, conn_id: str) -> None:
        self.client = client
        self.conn_id = conn_id
        self.name = f"bucket-{uuid.uuid4().hex[:12]}"
        self.url = f"s3://{conn_id}@{self.name}"
        client.create_bucket(Bucket=self.name)

    def put(self, key: str, body: bytes) -> None:
        self.client.put_object(Bucket=self.name, Key=key, Body=body)

    def get(self, key: str) -> bytes:
        return self.client.get_object(Bucket=self.name, Key=key)["Body"].read()

    def listed(self) -> list[str]:
        return sorted(item["Key"] for item in self.client.list_objects_v2(Bucket=self.name).get("Contents", []))


@contextmanager
def bucket_server() -> Iterator[tuple[Any, str]]:
    """moto's S3 server: a client of it, and the id of a connection in the environment that leads to it."""
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    address = f"http://{host}:{port}"
    keys = {"aws_access_key_id": "key", "aws_secret_access_key": "secret"}
    client = boto3.client("s3", endpoint_url=address, region_name="us-east-1", **keys)
    extra = {"endpoint_url": address, "region_name": "us-east-1"}
    conn_id = f"aws_{port}"  # Airflow keeps a store for each connection id, so that every server needs its own
    variable = f"AIRFLOW_CONN_{conn_id.upper()}"
    os.environ[variable] = json.dumps({"conn_type": "aws", "login": "key", "password": "secret", "extra": extra})
    try:
        yield client, conn_id
    finally:
        del os.environ[variable]
        server.stop()
