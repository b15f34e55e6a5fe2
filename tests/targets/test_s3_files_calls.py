"""Which calls of S3 write, read, list and delete a file, and what their answers and errors mean."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from fsspec import asyn

from pme_airflow.checks import CheckResult, Verdict
from pme_airflow.errors import SlotError, TargetUnavailableError
from pme_airflow.targets import s3_files
from pme_airflow.targets.s3_files import S3Files
from tests.support.answers import Answers

KEY = "out/m/link.json"
NEW = {"VersionId": "v9"}


class Denied(Exception):
    """What s3fs raises: an error of its own, with that of the AWS client as its cause."""


class Body:
    """A body that comes in pieces of at most three bytes."""

    def __init__(self, content: bytes, asked: list[int]) -> None:
        self._content, self._asked = content, asked

    async def __aenter__(self) -> Body:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._asked.append(-1)

    async def read(self, size: int) -> bytes:
        self._asked.append(size)
        piece, self._content = self._content[: min(size, 3)], self._content[min(size, 3) :]
        return piece


class Store(Answers):
    """S3 with scripted answers; ``calls`` leave out the bucket."""

    def __init__(self, **answers: Any) -> None:
        self.loop = asyn.get_loop()
        super().__init__(answers)

    async def _call_s3(self, method: str, *, Bucket: str, **arguments: Any) -> Any:  # noqa: N803
        assert Bucket == "tours"
        return self.answer(method, arguments)

    def named(self, method: str) -> list[dict[str, Any]]:
        return [arguments for name, arguments in self.calls if name == method]


@pytest.fixture(autouse=True)
def _plain_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3_files, "bound_filesystem", lambda fs: None)


def files(store: Store, path: str = "tours/out", **options: Any) -> S3Files:
    return S3Files(SimpleNamespace(fs=store, path=path), options)


def error(status: Any = 403, code: Any = "AccessDenied", kind: type[Exception] = Denied) -> Exception:
    raised = kind("a message that repeats what was sent")
    response = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    raised.__cause__ = ClientError(response)
    return raised


class ClientError(Exception):
    """An error of the AWS client."""

    def __init__(self, response: Any) -> None:
        super().__init__()
        self.response = response


def version(number: str, key: str = KEY, *, latest: bool = False) -> dict[str, Any]:
    return {"Key": key, "VersionId": number, "IsLatest": latest}


# ------------------------------------------------------------------ writing and reading


@pytest.mark.parametrize(
    ("name", "kind"),
    [("m/link.json", "application/json"), ("m/a.html", "text/html; charset=utf-8"), ("m/x.y.js", "text/javascript")],
)
def test_a_file_is_written_with_its_type_uncached_and_with_the_placements_options(name: str, kind: str) -> None:
    store = Store(put_object={})
    assert files(store, ACL="private").write(name, "ünï") is False
    sent = {
        "Key": f"out/{name}",
        "Body": "ünï".encode(),
        "ContentType": kind,
        "CacheControl": "no-store",
        "ACL": "private",
    }
    assert store.calls == [("put_object", sent)]


@pytest.mark.parametrize(
    ("path", "key"), [("tours", "f.json"), ("/tours/", "f.json"), ("tours/a/b/", "a/b/f.json"), ("tours/a", "a/f.json")]
)
def test_a_key_is_the_path_in_the_bucket(path: str, key: str) -> None:
    store = Store(delete_object={})
    assert files(store, path).delete("f.json") is False
    assert store.calls == [("delete_object", {"Key": key})]


@pytest.mark.parametrize(
    ("limit", "text", "asked"),
    [(100, "0123456", [100, 97, 94, 93, -1]), (7, "0123456", [7, 4, 1, -1]), (5, "01234", [5, 2, -1]), (0, "", [-1])],
)
def test_a_file_is_read_up_to_a_limit(limit: int, text: str, asked: list[int]) -> None:
    sizes: list[int] = []
    store = Store(get_object={"Body": Body(b"0123456", sizes)})
    assert files(store).read("m/link.json", limit) == text
    assert sizes == asked
    assert store.calls == [("get_object", {"Key": KEY})]


def test_what_is_no_utf8_is_read_all_the_same_and_a_file_that_is_not_there_is_none() -> None:
    assert files(Store(get_object={"Body": Body(b"a\xff", [])})).read("m/link.json", 9) == "a\ufffd"
    assert files(Store(get_object=error(404, "NoSuchKey", FileNotFoundError))).read("m/link.json", 9) is None
    with pytest.raises(SlotError):
        files(Store(get_object=error())).read("m/link.json", 9)


def test_a_call_takes_two_minutes_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds: list[float] = []

    def sync(loop: Any, function: Any, *args: Any, timeout: float, **arguments: Any) -> dict[str, Any]:
        seconds.append(timeout)
        return {}

    monkeypatch.setattr(asyn, "sync", sync)
    files(Store()).delete("m/link.json")
    assert seconds == [120]


# ------------------------------------------------------------------ old versions


def test_a_bucket_without_versions_is_not_asked_for_them() -> None:
    for answer in ({}, {"VersionId": None}, {"VersionId": ""}):
        store = Store(put_object=answer, delete_object=answer)
        assert files(store).write("m/link.json", "x") is files(store).delete("m/link.json") is False
        assert len(store.calls) == 2


def test_old_versions_of_the_file_alone_are_deleted_and_the_latest_stays() -> None:
    listed = [version("v9", latest=True), version("v8"), version("other", f"{KEY}x"), version("v7")]
    store = Store(put_object=NEW, list_object_versions={"Versions": listed}, delete_object={})
    assert files(store).write("m/link.json", "x") is False
    assert store.calls[1:] == [
        ("list_object_versions", {"Prefix": KEY, "MaxKeys": 1000}),
        ("delete_object", {"Key": KEY, "VersionId": "v8"}),
        ("delete_object", {"Key": KEY, "VersionId": "v7"}),
    ]


def test_all_pages_of_versions_are_listed_before_one_is_deleted() -> None:
    more = {"IsTruncated": True, "NextKeyMarker": KEY}
    pages = [
        {"Versions": [version("v3")], **more, "NextVersionIdMarker": "v3"},
        {**more, "NextVersionIdMarker": "marker"},
        {"Versions": [version("v1")], "IsTruncated": True, "NextKeyMarker": f"{KEY}x", "NextVersionIdMarker": "x"},
    ]
    store = Store(put_object=NEW, list_object_versions=pages, delete_object={})
    assert files(store).write("m/link.json", "x") is False
    assert store.named("list_object_versions")[1:] == [
        {"Prefix": KEY, "MaxKeys": 1000, "KeyMarker": KEY, "VersionIdMarker": marker} for marker in ("v3", "marker")
    ]
    assert [method for method, _ in store.calls[-2:]] == ["delete_object", "delete_object"]


def test_versions_beyond_twenty_pages_remain() -> None:
    page = {"Versions": [version("v1")], "IsTruncated": True, "NextKeyMarker": KEY, "NextVersionIdMarker": "v1"}
    store = Store(put_object=NEW, list_object_versions=page, delete_object={})
    assert files(store).write("m/link.json", "x") is True
    assert (len(store.named("list_object_versions")), len(store.named("delete_object"))) == (20, 20)


def test_versions_that_cannot_be_deleted_or_listed_remain_and_are_named(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    listed = {"Versions": [version("v1"), version("v2"), version("v3")]}
    store = Store(put_object=NEW, list_object_versions=listed, delete_object=[error(), {}, error()])
    assert files(store).write("m/link.json", "x") is True
    assert f"{KEY}: 2 old versions still contain links. Allow s3:DeleteObjectVersion." in caplog.messages
    assert files(Store(put_object=NEW, list_object_versions=error())).write("m/link.json", "x") is True
    assert f"{KEY}: the old versions cannot be listed: S3 failed at list_object_versions" in caplog.text
    caplog.clear()
    assert files(Store(put_object=NEW, list_object_versions={})).write("m/link.json", "x") is False
    assert caplog.messages == []


# ------------------------------------------------------------------ signatures


def entries(*names: str) -> list[dict[str, str]]:
    return [{"Key": f"out/{name}", "ETag": f"e-{name}"} for name in names]


def test_signatures_are_read_page_by_page() -> None:
    pages = [
        {"Contents": entries("a", "b"), "IsTruncated": True, "NextContinuationToken": "t1"},
        {"Contents": entries("c"), "IsTruncated": False},
    ]
    store = Store(list_objects_v2=pages)
    assert files(store).signatures(["a", "c", "d"]) == {"a": "e-a", "c": "e-c", "d": None}
    first = {"Prefix": "out/", "MaxKeys": 1000}
    assert store.named("list_objects_v2") == [first, {**first, "ContinuationToken": "t1"}]
    assert files(Store(list_objects_v2={})).signatures(["a"]) == {"a": None}


def test_files_behind_twenty_pages_have_no_signature() -> None:
    pages = [
        {"Contents": entries(f"{number:02}"), "IsTruncated": True, "NextContinuationToken": "t"} for number in range(30)
    ]
    store = Store(list_objects_v2=pages)
    assert files(store).signatures(["00", "05x", "19", "20"]) == {"00": "e-00", "05x": None, "19": "e-19"}
    assert len(store.calls) == 20


# ------------------------------------------------------------------ checking


@pytest.mark.parametrize(
    ("asked", "found", "verdict", "finding"),
    [
        ("aws:kms", "AES256", Verdict.BAD, "Files are encrypted by AES256, not aws:kms."),
        ("aws:kms", None, Verdict.BAD, "Files are encrypted by nothing, not aws:kms."),
        ("aws:kms", "aws:kms", Verdict.GOOD, "S3 encrypts files with aws:kms."),
        ("", "AES256", Verdict.GOOD, "S3 encrypts files with AES256."),
        ("", None, Verdict.GOOD, "S3 encrypts files with what the store is set to."),
    ],
)
def test_a_check_names_the_encryption(asked: str, found: str | None, verdict: Verdict, finding: str) -> None:
    store = Store(head_object={"ServerSideEncryption": found}, get_bucket_versioning={"Status": "Enabled"})
    options = {"ServerSideEncryption": asked} if asked else {}
    cure = "Look into the bucket's default encryption and the rights of the account for the key."
    assert list(files(store, **options).describe("m/link.json")) == [
        CheckResult("encryption", verdict, finding, cure if verdict is Verdict.BAD else ""),
        CheckResult("versions", Verdict.GOOD, "Versions of the bucket: enabled."),
    ]
    assert store.calls == [("head_object", {"Key": KEY}), ("get_bucket_versioning", {})]


@pytest.mark.parametrize(
    ("answer", "finding"),
    [
        ({}, "Versions of the bucket: never enabled."),
        ({"Status": "Suspended"}, "Versions of the bucket: suspended."),
        (error(), "Whether the bucket keeps old versions shows when one is deleted."),
    ],
)
def test_a_check_says_whether_versions_are_kept_as_well_as_it_may_ask(answer: Any, finding: str) -> None:
    store = Store(head_object=error(), get_bucket_versioning=answer)
    assert list(files(store).describe("m/link.json")) == [CheckResult("versions", Verdict.GOOD, finding)]


def test_every_trace_of_a_checks_file_is_deleted() -> None:
    page = {"Versions": [version("v1")], "DeleteMarkers": [version("d1")]}
    store = Store(list_object_versions=page, delete_object={})
    assert files(store).remove_trace("m/link.json") is False
    assert store.calls == [
        ("list_object_versions", {"Prefix": KEY}),
        ("delete_object", {"Key": KEY, "VersionId": "v1"}),
        ("delete_object", {"Key": KEY, "VersionId": "d1"}),
    ]


def test_a_file_whose_versions_may_not_be_deleted_is_deleted_as_far_as_it_may() -> None:
    page = {"Versions": [version("v1"), version("v2")]}
    store = Store(list_object_versions=page, delete_object=[error(), {}, {}])
    assert files(store).remove_trace("m/link.json") is True
    assert store.calls[-1] == ("delete_object", {"Key": KEY})


@pytest.mark.parametrize(("answer", "remains"), [({}, False), (error(), True)])
def test_a_file_whose_versions_cannot_be_listed_is_deleted(answer: Any, remains: bool) -> None:
    store = Store(list_object_versions=answer, delete_object=NEW)
    assert files(store).remove_trace("m/link.json") is remains
    assert store.calls[1] == ("delete_object", {"Key": KEY})


# ------------------------------------------------------------------ errors


def problem(raised: Exception, *, listing: bool = False) -> SlotError:
    """The error of a deletion, or of a listing."""
    tried = files(Store(delete_object=raised, list_objects_v2=raised))
    with pytest.raises(SlotError) as failure:
        _ = tried.signatures(["m/link.json"]) if listing else tried.delete("m/link.json")
    assert failure.value.__cause__ is None
    return failure.value


@pytest.mark.parametrize(
    ("status", "permanent"),
    [(399, False), (400, True), (404, True), (408, False), (409, False), (425, False), (429, False), (499, True),
     (500, False), (503, False), (None, False), ("403", False)],
)  # fmt: skip
def test_a_status_says_whether_another_try_may_help(status: Any, permanent: bool) -> None:
    assert problem(error(status)).permanent is permanent


def test_only_a_denial_is_answered_with_advice() -> None:
    assert str(problem(error())) == (
        "S3 failed at delete_object (AccessDenied): allow s3:DeleteObject and s3:DeleteObjectVersion"
    )
    assert str(problem(error(400, "Bad"))) == "S3 failed at delete_object (Bad)"
    assert str(problem(error(), listing=True)).endswith(": allow s3:ListBucket")


@pytest.mark.parametrize(
    ("code", "named"), [("a" * 60, "a" * 60), ("a" * 61, "Denied"), ("a b", "Denied"), (None, "Denied"), (5, "Denied")]
)
def test_an_error_is_named_by_its_code_or_else_by_its_type(code: Any, named: str) -> None:
    assert str(problem(error(400, code))) == f"S3 failed at delete_object ({named})"


@pytest.mark.parametrize(
    "name", ["NoCredentialsError", "PartialCredentialsError", "ParamValidationError", "ProfileNotFound"]
)
def test_an_error_of_the_set_up_is_permanent_and_any_other_may_pass(name: str) -> None:
    kind: type[Exception] = type(name, (Exception,), {})
    raised = problem(kind("a secret"))
    assert (str(raised), raised.permanent) == (f"S3 failed at delete_object ({name})", True)
    assert not problem(OSError("a secret")).permanent
    broken: Mapping[str, Any] = {}
    for response in (broken, "text", None):
        odd = OSError()
        odd.__cause__ = ClientError(response)
        assert not problem(odd).permanent


@pytest.mark.parametrize(
    ("name", "unavailable"),
    [("EndpointConnectionError", True), ("ConnectTimeoutError", True), ("ReadTimeoutError", True),
     ("FSTimeoutError", True), ("ClientConnectorError", True), ("SSLError", False), ("ChecksumError", False)],
)  # fmt: skip
def test_where_s3_gave_no_response_it_is_unavailable(name: str, unavailable: bool) -> None:
    kind: type[Exception] = type(name, (Exception,), {})
    raised = problem(kind("a secret"))
    assert isinstance(raised, TargetUnavailableError) is unavailable
    assert (str(raised), raised.permanent) == (f"S3 failed at delete_object ({name})", False)


def test_a_connection_that_s3_reports_as_an_error_of_its_own_is_a_response() -> None:
    assert not isinstance(problem(error(503, "RequestTimeout")), TargetUnavailableError)
