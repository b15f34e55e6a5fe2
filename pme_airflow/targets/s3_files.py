"""Published files in S3: not cached, encrypted as the bucket requires, and without old versions."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from pme_airflow.checks import CheckResult
from pme_airflow.errors import PMEInputError, SlotError, TargetUnavailableError
from pme_airflow.targets.page_files import CONTENT_TYPES
from pme_airflow.targets.s3_http import bound_filesystem

__all__ = ["S3Files", "checked_storage_options"]

#: The options that a placement or a connection may set, as S3's API names them.
_OPTIONS = frozenset(
    {
        "ACL",
        "BucketKeyEnabled",
        "ExpectedBucketOwner",
        "SSEKMSEncryptionContext",
        "SSEKMSKeyId",
        "ServerSideEncryption",
        "StorageClass",
        "Tagging",
    }
)
#: Storage classes whose files cannot be read without a restore.
_ARCHIVES = frozenset({"GLACIER", "DEEP_ARCHIVE"})
#: Seconds for one call, its repetitions included.
_CALL_SECONDS = 120
_PAGE = 1000
_MAX_PAGES = 20

_CODE = re.compile(r"[A-Za-z0-9.]{1,60}\Z")
#: Statuses of requests that were throttled, timed out, or conflicted with another one.
_PASSING = frozenset({408, 409, 425, 429})
#: Errors of botocore, aiohttp and fsspec where S3 gave no response.
_NO_RESPONSE = re.compile("Connect|Timeout|Endpoint")
_PERMANENT = frozenset({"NoCredentialsError", "PartialCredentialsError", "ParamValidationError", "ProfileNotFound"})
_ADVICE = {
    "put_object": ": allow s3:PutObject. If the bucket demands encryption or an ACL, name it in storage_options",
    "get_object": ": allow s3:GetObject, and kms:Decrypt for the key of the bucket",
    "delete_object": ": allow s3:DeleteObject and s3:DeleteObjectVersion",
    "list_objects_v2": ": allow s3:ListBucket",
    "list_object_versions": ": allow s3:ListBucketVersions",
}

log = logging.getLogger(__name__)


class _NotFoundError(SlotError):
    """The file or the bucket does not exist."""


def checked_storage_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Check the options that files are written with.

    :raises PMEInputError: for an unknown option or an invalid value.
    """
    if not isinstance(options, Mapping):
        raise PMEInputError("storage_options: expected a mapping such as {ServerSideEncryption: aws:kms}.")
    for name, value in options.items():
        if name not in _OPTIONS:
            raise PMEInputError(f"storage_options: {name} is unknown. The options are {', '.join(sorted(_OPTIONS))}.")
        if not isinstance(value, bool if name == "BucketKeyEnabled" else str) or value == "":
            kind = "true or false" if name == "BucketKeyEnabled" else "a text"
            raise PMEInputError(f"storage_options: {name} must be {kind}.")
        if isinstance(value, str) and (value != value.strip() or not value.isprintable()):
            raise PMEInputError(
                f"storage_options: {name} has spaces at its start or end, or line breaks. Write it without them."
            )
    if options.get("StorageClass") in _ARCHIVES:
        raise PMEInputError(
            "storage_options: files of this StorageClass cannot be read without a restore. Choose another."
        )
    return dict(options)


class S3Files:
    """Files under a prefix of a bucket.

    :param root: an ``ObjectStoragePath``.
    :param options: what every file is written with, such as ``ServerSideEncryption``.
    """

    def __init__(self, root: Any, options: Mapping[str, Any]) -> None:
        self._fs = root.fs
        bound_filesystem(self._fs)
        self._bucket, _, prefix = root.path.strip("/").partition("/")
        self._prefix = f"{prefix}/" if prefix else ""
        self._options = checked_storage_options(options)

    def write(self, path: str, text: str) -> bool:
        """Replace a file, and delete what a versioned bucket keeps of it; return whether something remains.

        :raises SlotError: if S3 denies it.
        """
        key = self._prefix + path
        content_type = CONTENT_TYPES[path.rpartition(".")[2]]
        written = self._call(
            "put_object",
            Key=key,
            Body=text.encode(),
            ContentType=content_type,
            CacheControl="no-store",
            **self._options,
        )
        return self._old_versions_remain(key, written)

    def read(self, path: str, limit: int) -> str | None:
        """Return a file's text, or its first ``limit`` bytes; ``None`` if there is no such file."""
        key = self._prefix + path
        try:
            return bytes(self._run("get_object", _read, self._fs, self._bucket, key, limit)).decode("utf-8", "replace")
        except _NotFoundError:
            return None

    def delete(self, path: str) -> bool:
        """Delete a file if it is there, and what a versioned bucket keeps of it; return whether something remains."""
        key = self._prefix + path
        return self._old_versions_remain(key, self._call("delete_object", Key=key))

    def signatures(self, paths: Iterable[str]) -> dict[str, str | None]:
        """Return the ``ETag`` of each file, from one listing; ``None`` for a file that is not there.

        :return: no entry for a file beyond the first 20,000 of the prefix.
        """
        listed: dict[str, str] = {}
        complete_to = ""
        token: dict[str, str] = {}
        for _ in range(_MAX_PAGES):
            page = self._call("list_objects_v2", Prefix=self._prefix, MaxKeys=_PAGE, **token)
            listed.update({entry["Key"]: str(entry["ETag"]) for entry in page.get("Contents", ())})
            if not page.get("IsTruncated"):
                return {path: listed.get(self._prefix + path) for path in paths}
            complete_to = page["Contents"][-1]["Key"]
            token = {"ContinuationToken": page["NextContinuationToken"]}
        known = [path for path in paths if self._prefix + path <= complete_to]
        return {path: listed.get(self._prefix + path) for path in known}

    # ---------------------------------------------------------------- checking

    def describe(self, path: str) -> Iterator[CheckResult]:
        """Return the encryption of a file that was just written, and whether the bucket keeps old versions."""
        with suppress(SlotError):
            found = self._call("head_object", Key=self._prefix + path).get("ServerSideEncryption")
            asked = self._options.get("ServerSideEncryption")
            if asked and found != asked:
                cure = "Look into the bucket's default encryption and the rights of the account for the key."
                yield CheckResult.bad("encryption", f"Files are encrypted by {found or 'nothing'}, not {asked}.", cure)
            else:
                yield CheckResult.good("encryption", f"S3 encrypts files with {found or 'what the store is set to'}.")
        yield self._versioning()

    def _versioning(self) -> CheckResult:
        try:
            status = self._call("get_bucket_versioning").get("Status") or "never enabled"
        except SlotError:
            return CheckResult.good("versions", "Whether the bucket keeps old versions shows when one is deleted.")
        return CheckResult.good("versions", f"Versions of the bucket: {str(status).lower()}.")

    def remove_trace(self, path: str) -> bool:
        """Delete a file with all of its versions and delete markers; return whether something remains."""
        key = self._prefix + path
        try:
            page = self._call("list_object_versions", Prefix=key)
        except SlotError:
            return self.delete(path)
        kept = [*page.get("Versions", ()), *page.get("DeleteMarkers", ())]
        if not kept:
            return self.delete(path)
        remaining = [entry for entry in kept if not self._delete_version(key, entry["VersionId"])]
        if remaining:
            self._call("delete_object", Key=key)
        return bool(remaining)

    # ------------------------------------------------------------- old versions

    def _old_versions_remain(self, key: str, response: Mapping[str, Any]) -> bool:
        """Delete what a bucket keeps of a file that was replaced or deleted, and return whether something remains.

        :param response: of the call that replaced or deleted it. A bucket that never had versions names none.
        """
        if not response.get("VersionId"):
            return False
        try:
            versions, complete = self._old_versions(
                key
            )  # all pages before any is deleted: the next page is requested by the id of the last version
        except SlotError as error:
            log.warning("%s: the old versions cannot be listed: %s", key, error)
            return True
        kept = sum(not self._delete_version(key, version) for version in versions)
        if kept:
            log.warning("%s: %d old versions still contain links. Allow s3:DeleteObjectVersion.", key, kept)
        return kept > 0 or not complete

    def _old_versions(self, key: str) -> tuple[list[str], bool]:
        """Return the ids of the versions of a file but the latest, and whether they are all; at most 20,000.

        :raises SlotError: if they cannot be listed.
        """
        found: list[str] = []
        markers: dict[str, str] = {}
        for _ in range(_MAX_PAGES):
            page = self._call("list_object_versions", Prefix=key, MaxKeys=_PAGE, **markers)
            versions = [version for version in page.get("Versions", ()) if version["Key"] == key]
            found += [version["VersionId"] for version in versions if not version["IsLatest"]]
            if not page.get("IsTruncated") or page.get("NextKeyMarker", "") != key:
                return found, True
            markers = {"KeyMarker": key, "VersionIdMarker": page["NextVersionIdMarker"]}
        return found, False

    def _delete_version(self, key: str, version: str) -> bool:
        try:
            self._call("delete_object", Key=key, VersionId=version)
        except SlotError:
            return False
        return True

    # ------------------------------------------------------------------ calling

    def _call(self, method: str, **arguments: Any) -> Mapping[str, Any]:
        response: Mapping[str, Any] = self._run(method, self._fs._call_s3, method, Bucket=self._bucket, **arguments)
        return response

    def _run(self, method: str, function: Any, *args: Any, **arguments: Any) -> Any:
        """Run a coroutine function of the file system.

        :raises SlotError: if it fails; with S3's code and without its message, which may repeat what was sent.
        """
        from fsspec.asyn import sync

        problem: SlotError | None = None
        try:
            return sync(self._fs.loop, function, *args, timeout=_CALL_SECONDS, **arguments)
        except Exception as error:  # noqa: BLE001 - the libraries below raise errors of many kinds
            problem = _problem_of(method, error)
        raise problem


async def _read(fs: Any, bucket: str, key: str, limit: int) -> bytes:
    response = await fs._call_s3("get_object", Bucket=bucket, Key=key)
    read = bytearray()
    async with response["Body"] as body:
        while len(read) < limit and (chunk := await body.read(limit - len(read))):
            read += chunk
    return bytes(read)


def _problem_of(method: str, error: Exception) -> SlotError:
    response = getattr(error.__cause__, "response", None)
    response = response if isinstance(response, Mapping) else {}
    code, status = response.get("Error", {}).get("Code"), response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    named = code if isinstance(code, str) and _CODE.match(code) else type(error).__name__
    message = f"S3 failed at {method} ({named}){_ADVICE.get(method, '') if status == 403 else ''}"
    if isinstance(error, FileNotFoundError):
        return _NotFoundError(message)
    if code is None and _NO_RESPONSE.search(type(error).__name__):
        return TargetUnavailableError(message, passing=True)
    permanent = isinstance(status, int) and 400 <= status < 500 and status not in _PASSING
    return SlotError(message, passing=not permanent and type(error).__name__ not in _PERMANENT)
