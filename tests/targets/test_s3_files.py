"""Files in S3: written as the bucket demands, without old versions, and read within bounds."""

from __future__ import annotations

import json
import re
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import IO, Any

import pytest
from airflow.sdk import ObjectStoragePath

from pme_airflow.errors import PMEInputError, SlotError
from pme_airflow.targets import s3_files
from pme_airflow.targets.s3_files import S3Files, checked_storage_options
from tests.support.links import TOKEN_A
from tests.support.places import BucketPlace, bucket_place
from tests.support.web import Reply, WebServer, serving_web

MIB = 1024 * 1024


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[BucketPlace]:
    with bucket_place(monkeypatch.setenv) as place:
        yield place


def files_in(place: BucketPlace, prefix: str = "out", **options: Any) -> S3Files:
    return S3Files(ObjectStoragePath(f"s3://{place.conn_id}@tours/{prefix}"), options)


def keys(place: BucketPlace) -> list[str]:
    return [entry["Key"] for entry in place.client.list_objects_v2(Bucket="tours").get("Contents", [])]


def versions(place: BucketPlace, key: str) -> int:
    return len(place.client.list_object_versions(Bucket="tours", Prefix=key).get("Versions", []))


@pytest.mark.parametrize("prefix", ["out", "out/", "a/b", ""])
def test_file_is_written_read_and_deleted(bucket: BucketPlace, prefix: str) -> None:
    files = files_in(bucket, prefix)
    assert files.write("m/link.json", "ünï") is False
    key = f"{prefix.strip('/')}/m/link.json".strip("/")
    assert key in keys(bucket)
    assert files.read("m/link.json", 100) == "ünï"
    assert files.read("m/link.json", 3) == "ün"
    assert files.delete("m/link.json") is False
    assert files.read("m/link.json", 100) is None
    assert key not in keys(bucket)
    assert files.delete("m/link.json") is False


# --------------------------------------------------------------- storage options


def demanding(**demanded: str) -> Callable[[str, str, Any], bool]:
    """A bucket policy that denies every write without certain headers."""
    return lambda method, path, headers: (
        method == "PUT" and any(headers.get(name.replace("_", "-")) != value for name, value in demanded.items())
    )


def test_bucket_that_demands_encryption_is_written_with_it(bucket: BucketPlace) -> None:
    bucket.proxy.denies = demanding(
        x_amz_server_side_encryption="aws:kms", x_amz_server_side_encryption_aws_kms_key_id="key-1"
    )
    with pytest.raises(
        SlotError, match=r"S3 failed at put_object \(AccessDenied\).*encryption.*storage_options"
    ) as failure:
        files_in(bucket).write("m/link.json", "text")
    assert failure.value.permanent
    files = files_in(bucket, ServerSideEncryption="aws:kms", SSEKMSKeyId="key-1")
    files.write("m/link.json", "text")
    head = bucket.client.head_object(Bucket="tours", Key="out/m/link.json")
    assert (head["ServerSideEncryption"], head["SSEKMSKeyId"]) == ("aws:kms", "key-1")
    assert files.read("m/link.json", 100) == "text"


@pytest.mark.parametrize(
    ("options", "demanded"),
    [
        ({"ACL": "bucket-owner-full-control"}, {"x_amz_acl": "bucket-owner-full-control"}),
        ({"StorageClass": "STANDARD_IA"}, {"x_amz_storage_class": "STANDARD_IA"}),
        ({"ServerSideEncryption": "AES256"}, {"x_amz_server_side_encryption": "AES256"}),
        ({"BucketKeyEnabled": True, "ServerSideEncryption": "aws:kms"},
         {"x_amz_server_side_encryption_bucket_key_enabled": "true"}),
        ({"Tagging": "team=tours"}, {"x_amz_tagging": "team=tours"}),
    ],
)  # fmt: skip
def test_every_option_reaches_the_bucket(
    bucket: BucketPlace, options: dict[str, Any], demanded: dict[str, str]
) -> None:
    bucket.proxy.denies = demanding(**demanded)
    files_in(bucket, **options).write("m/link.json", "text")
    assert "out/m/link.json" in keys(bucket)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"ServerSideEncription": "aws:kms"}, "ServerSideEncription is unknown"),
        ({"CacheControl": "public"}, "CacheControl is unknown"),
        ({"Body": "x"}, "Body is unknown"),
        ({"ACL": 1}, "ACL must be a text"),
        ({"ACL": ""}, "ACL must be a text"),
        ({"BucketKeyEnabled": "true"}, "BucketKeyEnabled must be true or false"),
        ({"SSEKMSKeyId": "key\n"}, "SSEKMSKeyId has spaces at its start or end, or line breaks"),
        ({"Tagging": "a=b\r\nx-amz-acl: public-read"}, "Tagging has spaces at its start or end, or line breaks"),
        ({"StorageClass": "GLACIER"}, "files of this StorageClass cannot be read"),
        ({"StorageClass": "DEEP_ARCHIVE"}, "files of this StorageClass cannot be read"),
        (["ACL"], "expected a mapping"),
        ("ACL", "expected a mapping"),
    ],
)
def test_option_that_cannot_be_right_is_refused(options: Any, problem: str) -> None:
    with pytest.raises(PMEInputError, match=f"storage_options: {problem}"):
        checked_storage_options(options)


# ------------------------------------------------------------------- old versions


def test_old_versions_are_deleted_with_the_links_in_them(bucket: BucketPlace) -> None:
    files = files_in(bucket)
    for text in "ab":
        files.write("m/link.json.js", text)
        assert files.write("m/link.json", text) is False
    assert (versions(bucket, "out/m/link.json.js"), versions(bucket, "out/m/link.json")) == (1, 2)
    bucket.client.put_object(Bucket="tours", Key="out/m/link.jsonx", Body=b"1")
    bucket.client.put_object(Bucket="tours", Key="out/m/link.jsonx", Body=b"2")
    assert files.delete("m/link.json") is False
    assert versions(bucket, "out/m/link.jsonx") == 2  # of a file that is not ours
    assert versions(bucket, "out/m/link.json") == 3


def test_the_check_says_whether_the_bucket_keeps_old_versions(bucket: BucketPlace) -> None:
    files = files_in(bucket)
    files.write("m/link.json", "a")
    assert [result.finding for result in files.describe("m/link.json")][1:] == ["Versions of the bucket: enabled."]
    bucket.proxy.denies = lambda method, path, headers: "versioning" in path
    assert "shows when one is deleted" in [result.finding for result in files.describe("m/link.json")][-1]


def test_bucket_that_never_had_versions_is_not_asked_for_them(bucket: BucketPlace) -> None:
    bucket.client.create_bucket(Bucket="plain")
    files = S3Files(ObjectStoragePath(f"s3://{bucket.conn_id}@plain/out"), {})
    bucket.proxy.denies = lambda method, path, headers: "versions" in path
    for text in "ab":
        assert files.write("m/link.json", text) is False
    assert files.delete("m/link.json") is False


def test_more_old_versions_than_a_page_are_deleted(bucket: BucketPlace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3_files, "_PAGE", 3)
    for number in range(10):
        bucket.client.put_object(Bucket="tours", Key="out/m/link.json", Body=str(number).encode())
    assert files_in(bucket).write("m/link.json", "new") is False
    assert versions(bucket, "out/m/link.json") == 1


def test_old_versions_beyond_what_is_listed_remain(bucket: BucketPlace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3_files, "_PAGE", 2)
    monkeypatch.setattr(s3_files, "_MAX_PAGES", 2)
    for number in range(10):
        bucket.client.put_object(Bucket="tours", Key="out/m/link.json", Body=str(number).encode())
    files = files_in(bucket)
    assert [files.write("m/link.json", "new") for _ in range(5)] == [True, True, True, True, False]
    assert versions(bucket, "out/m/link.json") == 1


@pytest.mark.parametrize(
    ("denied", "advice"),
    [
        (lambda method, path, headers: method == "DELETE" and "versionId" in path, "s3:DeleteObjectVersion"),
        (lambda method, path, headers: method == "GET" and "versions" in path, "s3:ListBucketVersions"),
    ],
)
def test_old_versions_that_cannot_be_deleted_remain_and_are_named(
    bucket: BucketPlace, caplog: pytest.LogCaptureFixture, denied: Any, advice: str
) -> None:
    files = files_in(bucket)
    files.write("m/link.json", "a")
    bucket.proxy.denies = denied
    assert files.write("m/link.json", "b") is True
    assert files.delete("m/link.json") is True
    assert files.remove_trace("m/link.json") is True
    assert advice in caplog.text


# ---------------------------------------------------------------------- signatures


def test_signatures_are_of_one_listing(bucket: BucketPlace) -> None:
    files = files_in(bucket)
    files.write("m/link.json", "a")
    files.write("n/link.json", "b")
    seen: list[str] = []
    bucket.proxy.denies = lambda method, path, headers: bool(seen.append(f"{method} {path}"))
    first = files.signatures(["m/link.json", "n/link.json", "o/link.json"])
    assert len(seen) == 1
    assert first["o/link.json"] is None
    files.write("m/link.json", "c")
    second = files.signatures(["m/link.json", "n/link.json"])
    assert second["m/link.json"] != first["m/link.json"]
    assert second["n/link.json"] == first["n/link.json"]


def test_files_beyond_the_listing_are_unknown(bucket: BucketPlace, monkeypatch: pytest.MonkeyPatch) -> None:
    files = files_in(bucket)
    for name in "abcdef":
        files.write(f"{name}/link.json", name)
    monkeypatch.setattr(s3_files, "_PAGE", 2)
    assert len(files.signatures([f"{name}/link.json" for name in "abcdefg"])) == 7
    monkeypatch.setattr(s3_files, "_MAX_PAGES", 2)
    found = files.signatures([f"{name}/link.json" for name in ("a", "a0", "d", "e", "g")])
    assert list(found) == ["a/link.json", "a0/link.json", "d/link.json"]
    assert found["a0/link.json"] is None


# -------------------------------------------------------------------- failures


@pytest.mark.parametrize(
    ("method", "call", "advice"),
    [
        ("GET", lambda files: files.read("m/link.json", 9), "s3:GetObject"),
        ("PUT", lambda files: files.write("m/link.json", "x"), "s3:PutObject"),
        ("DELETE", lambda files: files.delete("m/link.json"), "s3:DeleteObject"),
        ("GET", lambda files: files.signatures(["m/link.json"]), "s3:ListBucket"),
    ],
)
def test_denied_call_is_permanent_and_names_the_right(
    bucket: BucketPlace, method: str, call: Callable[[S3Files], Any], advice: str
) -> None:
    bucket.proxy.denies = lambda verb, path, headers: verb == method
    with pytest.raises(SlotError, match=rf"\(AccessDenied\).*{advice}") as failure:
        call(files_in(bucket))
    assert failure.value.permanent
    assert failure.value.__context__ is None


def test_missing_bucket_is_named(bucket: BucketPlace) -> None:
    files = S3Files(ObjectStoragePath(f"s3://{bucket.conn_id}@nothing/out"), {})
    with pytest.raises(SlotError, match="NoSuchBucket") as failure:
        files.write("m/link.json", "x")
    assert failure.value.permanent


@pytest.fixture
def hostile(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[WebServer, S3Files]]:
    """A store that answers as a test likes."""
    monkeypatch.setattr(s3_files, "_CALL_SECONDS", 3)
    with serving_web() as server:
        conn_id = f"aws_hostile_{server.address.rpartition(':')[2]}"
        extra = {
            "endpoint_url": server.address, "region_name": "us-east-1",
            "config_kwargs": {"retries": {"max_attempts": 0}},
        }  # fmt: skip
        fields = {"conn_type": "aws", "login": "key", "password": "x", "extra": extra}
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(fields))
        yield server, S3Files(ObjectStoragePath(f"s3://{conn_id}@tours/out"), {})


CALLS: dict[str, Callable[[S3Files], Any]] = {
    "write": lambda files: files.write("m/link.json", "x"),
    "delete": lambda files: files.delete("m/link.json"),
    "signatures": lambda files: files.signatures(["m/link.json"]),
}


def endless(stream: IO[bytes]) -> None:
    with suppress(OSError):
        for _ in range(1024):
            stream.write(b" " * MIB)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("status", [200, 400])
def test_response_of_a_gibibyte_is_not_read_whole(hostile: tuple[WebServer, S3Files], call: str, status: int) -> None:
    server, files = hostile
    server.reply = lambda request: Reply(status, headers={"Content-Type": "application/xml"}, stream=endless)
    tracemalloc.start()
    with suppress(SlotError):
        CALLS[call](files)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 48 * MIB


def test_file_of_a_gibibyte_is_read_as_far_as_the_limit(hostile: tuple[WebServer, S3Files]) -> None:
    server, files = hostile
    server.reply = lambda request: Reply(headers={"Content-Type": "text/html"}, stream=endless)
    tracemalloc.start()
    assert files.read("m/link.json", 1000) == " " * 1000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 24 * MIB


@pytest.mark.parametrize("call", [*CALLS, "read"])
def test_response_that_arrives_byte_by_byte_ends_with_the_time_limit(
    hostile: tuple[WebServer, S3Files], monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    server, files = hostile
    monkeypatch.setattr(s3_files, "_CALL_SECONDS", 0.5)
    ended = threading.Event()

    def dribble(stream: IO[bytes]) -> None:
        with suppress(OSError):
            while not ended.wait(0.02):
                stream.write(b" ")
                stream.flush()

    server.reply = lambda request: Reply(headers={"Content-Type": "application/xml"}, stream=dribble)
    with pytest.raises(SlotError, match=r"S3 failed at \w+ \(FSTimeoutError\)") as failure:
        {**CALLS, "read": lambda found: found.read("m/link.json", MIB)}[call](files)
    ended.set()
    assert not failure.value.permanent


@pytest.mark.parametrize(
    ("status", "code", "permanent"),
    [(400, "InvalidRequest", True), (403, "SignatureDoesNotMatch", True), (409, "OperationAborted", False),
     (500, "InternalError", False), (503, "ServiceUnavailable", False)],
)  # fmt: skip
def test_error_is_named_by_its_code_and_not_by_its_words(
    hostile: tuple[WebServer, S3Files], status: int, code: str, permanent: bool
) -> None:
    server, files = hostile
    body = f"<Error><Code>{code}</Code><Message>you sent Bearer {TOKEN_A}</Message></Error>".encode()
    server.reply = lambda request: Reply(status, body, {"Content-Type": "application/xml"})
    with pytest.raises(SlotError, match=re.escape(f"({code})")) as failure:
        files.write("m/link.json", "x")
    assert failure.value.permanent is permanent
    assert TOKEN_A not in str(failure.value)


@pytest.mark.parametrize("code", [f"Bearer {TOKEN_A}", "x" * 61, ""])
def test_code_that_is_none_is_not_repeated(hostile: tuple[WebServer, S3Files], code: str) -> None:
    server, files = hostile
    body = f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode()
    server.reply = lambda request: Reply(400, body, {"Content-Type": "application/xml"})
    with pytest.raises(SlotError) as failure:
        files.write("m/link.json", "x")
    assert TOKEN_A not in str(failure.value)
    assert "x" * 61 not in str(failure.value)


def test_store_that_cannot_be_reached_is_temporary(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3_files, "_CALL_SECONDS", 2)
    extra = {"endpoint_url": "http://127.0.0.1:9", "region_name": "us-east-1"}
    fields = {"conn_type": "aws", "login": "key", "password": "x", "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_AWS_NOBODY", json.dumps(fields))
    with pytest.raises(SlotError, match="S3 failed at put_object") as failure:
        S3Files(ObjectStoragePath("s3://aws_nobody@tours/out"), {}).write("m/link.json", "x")
    assert not failure.value.permanent
