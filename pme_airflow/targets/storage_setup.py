"""Checking object storage with a file of its own, which is written, read, replaced and deleted again."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

from pme_airflow.checks import CheckResult
from pme_airflow.errors import PMEError
from pme_airflow.targets.page_files import PageFiles

__all__ = ["check_storage"]

_LIMIT = 1000
_WRITE_CURE = "Give the account of the connection, or the worker's user, the right to write there, or correct path."


def check_storage(files: PageFiles, place: str) -> Iterator[CheckResult]:
    """Check that files can be written, read and deleted.

    :param place: the place's address, for people.
    """
    path = f"pme-check-{uuid.uuid4().hex}.json"
    try:
        files.write(path, "{}\n")
    except Exception as error:  # noqa: BLE001 - a store of any provider may raise anything
        yield _failed("write", place, error, _WRITE_CURE)
        return
    yield CheckResult.good("write", f"{place} can be written.")
    try:
        yield _check_read(files, path, place)
        remains = files.write(path, '{"replaced": true}\n')
    except Exception as error:  # noqa: BLE001
        yield _failed("read", place, error, "Give the account the right to read and to replace files there.")
        remains = False
    yield from files.describe(path)
    yield _check_delete(files, path, place, remains)


def _check_read(files: PageFiles, path: str, place: str) -> CheckResult:
    if files.read(path, _LIMIT) == "{}\n":
        return CheckResult.good("read", f"{place} gives back what was written.")
    cure = "Look whether another program changes the files, or a cache stands before the store."
    return CheckResult.bad("read", f"{place} does not give back what was just written.", cure)


def _check_delete(files: PageFiles, path: str, place: str, remains: bool) -> CheckResult:
    try:
        remains |= files.remove_trace(path)
    except Exception as error:  # noqa: BLE001
        result = _failed("delete", place, error, "Give the account the right to delete files.")
        finding = f"{result.finding} The file {path} was left there."
        return CheckResult.bad("delete", finding, f"{result.cure} Then delete that file.")
    if remains:
        return CheckResult.warning(
            "versions",
            f"{place} keeps old versions of files, with links in them, and this account may not delete them. Replaced "
            "links are therefore revoked without a grace period.",
            "Allow s3:ListBucketVersions and s3:DeleteObjectVersion.",
        )
    return CheckResult.good("delete", "Files and what the store keeps of them can be deleted.")


def _failed(check: str, place: str, error: Exception, cure: str) -> CheckResult:
    """Return the result for an exception; that of a library is named by its type alone."""
    if isinstance(error, PMEError):
        failed, _, advice = str(error).partition("): ")  # S3's code, and what it asks for
        finding = f"{place}: {failed}{')' if advice else ''}."
        return CheckResult.bad(check, finding, f"{advice[:1].upper()}{advice[1:]}." if advice else cure)
    return CheckResult.bad(check, f"{place}: the store failed ({type(error).__name__}).", cure)
