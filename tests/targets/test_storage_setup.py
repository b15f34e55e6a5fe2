"""The check of a store writes, reads, replaces and deletes a file of its own, and names the step that fails."""

from __future__ import annotations

import re
from collections.abc import Iterable

import pytest

from pme_airflow.checks import CheckResult, Verdict
from pme_airflow.errors import SlotError
from pme_airflow.targets.storage_setup import check_storage

GOOD, WARNING, BAD = Verdict.GOOD, Verdict.WARNING, Verdict.BAD
WRITTEN = CheckResult("write", GOOD, "tours can be written.")
READ = CheckResult("read", GOOD, "tours gives back what was written.")
DELETED = CheckResult("delete", GOOD, "Files and what the store keeps of them can be deleted.")
ENCRYPTED = CheckResult("encryption", GOOD, "It is encrypted.")
VERSIONS = CheckResult(
    "versions", WARNING,
    "tours keeps old versions of files, with links in them, and this account may not delete them. Replaced links are "
    "therefore revoked without a grace period.",
    "Allow s3:ListBucketVersions and s3:DeleteObjectVersion.",
)  # fmt: skip
WRITE_CURE = "Give the account of the connection, or the worker's user, the right to write there, or correct path."
READ_CURE = "Give the account the right to read and to replace files there."


class Store:
    """Files in memory.

    :param fails: what is raised by a step: ``write``, ``read``, ``replace`` or ``delete``.
    :param changes: whether it gives back something else than what was written.
    :param keeps: the steps after which the store keeps an old version: ``write``, ``replace``, ``delete``.
    """

    def __init__(
        self, fails: dict[str, Exception] | None = None, changes: str = "", keeps: tuple[str, ...] = ()
    ) -> None:
        self.files: dict[str, str] = {}
        self.steps: list[tuple[str, str]] = []
        self.limits: list[int] = []
        self._fails, self._changes, self._keeps = fails or {}, changes, keeps

    def _step(self, step: str, path: str) -> bool:
        self.steps.append((step, path))
        if step in self._fails:
            raise self._fails[step]
        return step in self._keeps

    def write(self, path: str, text: str) -> bool:
        kept = self._step("replace" if path in self.files else "write", path)
        self.files[path] = text
        return kept

    def read(self, path: str, limit: int) -> str | None:
        self._step("read", path)
        self.limits.append(limit)
        return (self._changes or self.files[path])[:limit]

    def describe(self, path: str) -> Iterable[CheckResult]:
        self._step("describe", path)
        return [ENCRYPTED]

    def remove_trace(self, path: str) -> bool:
        kept = self._step("delete", path)
        del self.files[path]
        return kept

    def delete(self, path: str) -> bool:
        raise AssertionError("the check removes every trace")

    def signatures(self, paths: Iterable[str]) -> dict[str, str | None]:
        raise AssertionError("the check needs none")


def test_a_good_store_is_called_good_in_each_respect_and_nothing_is_left() -> None:
    store = Store()
    assert list(check_storage(store, "tours")) == [WRITTEN, READ, ENCRYPTED, DELETED]
    assert store.files == {}
    assert [step for step, _ in store.steps] == ["write", "read", "replace", "describe", "delete"]
    (path,) = {path for _, path in store.steps}
    assert re.fullmatch(r"pme-check-[0-9a-f]{32}\.json", path)
    assert store.limits[0] >= 100


def test_two_checks_use_two_files() -> None:
    one, other = Store(), Store()
    list(check_storage(one, "tours")), list(check_storage(other, "tours"))
    assert one.steps[0] != other.steps[0]


def test_a_store_that_cannot_be_written_ends_the_check() -> None:
    store = Store({"write": OSError("s3cret")})
    finding = "tours: the store failed (OSError)."
    assert list(check_storage(store, "tours")) == [CheckResult("write", BAD, finding, WRITE_CURE)]
    assert len(store.steps) == 1


@pytest.mark.parametrize("step", ["read", "replace"])
def test_a_file_that_cannot_be_read_or_replaced_is_deleted_all_the_same(step: str) -> None:
    store = Store({step: PermissionError("s3cret")})
    failed = CheckResult("read", BAD, "tours: the store failed (PermissionError).", READ_CURE)
    good = [WRITTEN] if step == "read" else [WRITTEN, READ]
    assert list(check_storage(store, "tours")) == [*good, failed, ENCRYPTED, DELETED]
    assert store.files == {}


@pytest.mark.parametrize("changed", ["{}", "something else", "{}\n\n"])
def test_a_store_that_gives_back_something_else_is_bad(changed: str) -> None:
    assert list(check_storage(Store(changes=changed), "tours"))[1] == CheckResult(
        "read", BAD, "tours does not give back what was just written.",
        "Look whether another program changes the files, or a cache stands before the store.",
    )  # fmt: skip


@pytest.mark.parametrize("keeps", [("replace",), ("delete",), ("replace", "delete")])
def test_a_store_that_keeps_old_versions_is_doubtful(keeps: tuple[str, ...]) -> None:
    assert list(check_storage(Store(keeps=keeps), "tours")) == [WRITTEN, READ, ENCRYPTED, VERSIONS]


def test_a_new_file_replaces_nothing() -> None:
    assert list(check_storage(Store(keeps=("write",)), "tours")) == [WRITTEN, READ, ENCRYPTED, DELETED]


def test_a_file_that_cannot_be_deleted_is_named() -> None:
    store = Store({"delete": OSError("s3cret")}, keeps=("replace",))
    (*_, result) = check_storage(store, "tours")
    (path,) = store.files
    assert result == CheckResult(
        "delete", BAD, f"tours: the store failed (OSError). The file {path} was left there.",
        "Give the account the right to delete files. Then delete that file.",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("message", "finding", "cure"),
    [
        ("S3 refused (AccessDenied): allow s3:PutObject", "tours: S3 refused (AccessDenied).", "Allow s3:PutObject."),
        ("S3 does not answer", "tours: S3 does not answer.", WRITE_CURE),
        ("S3 refused: no key", "tours: S3 refused: no key.", WRITE_CURE),
    ],
)
def test_an_error_of_this_package_says_itself_what_to_do(message: str, finding: str, cure: str) -> None:
    (result,) = check_storage(Store({"write": SlotError(message)}), "tours")
    assert result == CheckResult("write", BAD, finding, cure)
