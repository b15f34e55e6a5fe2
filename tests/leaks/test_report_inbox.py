"""The inbox gives each report once, whatever it contains and whatever the store does, and files it away."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import fsspec
import pytest

from pme_airflow.leaks import report_inbox
from pme_airflow.leaks.report_inbox import Dropped, ReportInbox
from tests.support.buckets import Bucket
from tests.support.leaked import FINGERPRINT, TOKEN, link

Put = Callable[[str, bytes], None]
MASKED = json.dumps([{"RuleID": "x", "Secret": TOKEN}, {"RuleID": "x", "Secret": "REDACTED"}]).encode()


class Store:
    """An inbox on a store: local files, or a bucket whose client is another process's."""

    def __init__(self, kind: str, folder: Path, bucket: Bucket) -> None:
        self.kind, self.folder, self.bucket = kind, folder, bucket
        if kind == "local":
            folder.mkdir()
            self.fs: Any = fsspec.filesystem("file")
            self.root = str(folder)
        else:
            from airflow.sdk import ObjectStoragePath

            root = ObjectStoragePath(f"{bucket.url}/drop")
            self.fs, self.root = root.fs, root.path
        self.inbox = ReportInbox(self.fs, self.root)

    def put(self, name: str, content: bytes) -> None:
        if self.kind == "local":
            (self.folder / name).parent.mkdir(exist_ok=True)
            (self.folder / name).write_bytes(content)
            os.utime(self.folder / name, ns=(0, hash(content) & 0xFFFF_FFFF_FFFF))
        else:
            self.bucket.put(f"drop/{name}", content)

    def files(self) -> dict[str, bytes]:
        if self.kind == "local":
            return {str(p.relative_to(self.folder)): p.read_bytes() for p in self.folder.rglob("*") if p.is_file()}
        return {key.removeprefix("drop/"): self.bucket.get(key) for key in self.bucket.listed()}

    def due(self) -> list[str]:
        """The names that are due at the second of two listings."""
        self.inbox.due()
        return [dropped.name for dropped in self.inbox.due()]

    def take(self, *, file_away: bool = True) -> list[dict[str, Any]]:
        """What the due reports contain; they are filed away."""
        self.inbox.due()
        taken = []
        for dropped in self.inbox.due():
            report = self.inbox.read(dropped)
            if report is not None:
                taken.append(report)
                if file_away:
                    self.inbox.file_away(dropped)
        return taken


@pytest.fixture(params=["local", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path, bucket: Bucket) -> Store:
    return Store(request.param, tmp_path / "drop", bucket)


def test_reports_are_read_and_filed_away(store: Store) -> None:
    store.put("a.txt", link().encode())
    store.put("b.json", b'{"alert": 5}')
    store.put("c.json", MASKED)
    first, second, third = store.take()
    assert (first["path"], first["fingerprints"]) == ("a.txt", [FINGERPRINT])
    assert "problem" not in first
    assert "no known report format" in second["problem"]
    assert FINGERPRINT in third["fingerprints"]
    assert "1 of 2 gitleaks findings" in third["problem"]
    assert TOKEN not in json.dumps([first, second, third])
    assert set(store.files()) == {"handled/a.txt", "unreadable/b.json", "unreadable/c.json"}
    assert store.take() == []
    messages = store.inbox.messages()
    assert [message.split()[0] for message in messages] == ["b.json", "c.json"]
    assert store.inbox.messages() == []


def test_a_report_put_after_earlier_listings_is_seen(store: Store) -> None:
    assert store.take() == []
    store.put("a.txt", link().encode())
    assert len(store.take()) == 1
    store.put("b.txt", link().encode())
    assert len(store.take()) == 1


def test_a_report_is_due_once_it_did_not_change_between_two_listings(store: Store) -> None:
    store.put("a.txt", b"half")
    assert store.inbox.due() == []
    store.put("a.txt", b"half and more")
    assert store.inbox.due() == []
    store.put("a.txt", b"half and MORE")  # the same size
    assert store.inbox.due() == []
    assert [dropped.name for dropped in store.inbox.due()] == ["a.txt"]


def test_a_second_report_of_a_name_keeps_the_first(store: Store) -> None:
    contents = [link().encode(), link("b2" * 12 + "b").encode(), link().encode()]
    for content in contents:
        store.put("report.json.gz", content)
        assert len(store.take()) == 1
    handled = {name: content for name, content in store.files().items() if name.startswith("handled/")}
    assert sorted(handled.values()) == sorted(contents)
    assert "handled/report.json.gz" in handled
    assert all(name.startswith("handled/report.json") and name.endswith(".gz") for name in handled)


def test_the_same_report_dropped_again_is_given_again(store: Store) -> None:
    for _ in range(2):
        store.put("a.txt", link().encode())
        assert len(store.take()) == 1
    assert len(store.files()) == 2


@pytest.mark.parametrize(
    "name", ["report[1].json", "a*b.txt", "q?.txt", "ü 😀.txt", "%41.txt", "a#b.txt", "no-suffix", "a..b"]
)
def test_every_name_is_read_and_moved(store: Store, name: str) -> None:
    store.put(name, link().encode())
    store.put("reportx.json", b"another")
    assert name in [report["path"] for report in store.take()]
    assert f"handled/{name}" in store.files()
    assert "handled/reportx.json" in store.files()


def test_hidden_files_and_folders_are_left_alone(store: Store) -> None:
    store.put(".partial", link().encode())
    store.put("folder/report.txt", link().encode())
    assert store.take() == []
    assert set(store.files()) == {".partial", "folder/report.txt"}


def test_a_report_that_cannot_be_moved_is_given_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError("with a key: hidden")

    for name in ("cp_file", "mv", "rm_file"):
        monkeypatch.setattr(store.fs, name, refuse)
    store.put("a.txt", link().encode())
    store.put("b.txt", link().encode())
    assert len(store.take()) == 2
    assert "cannot be moved to handled/ (PermissionError)" in store.inbox.messages()[0]
    assert store.take() == []
    store.put("a.txt", b"another report")
    assert [report["path"] for report in store.take()] == ["a.txt"]


def test_a_report_that_was_replaced_while_it_was_read_stays_and_is_due_again(store: Store) -> None:
    store.put("a.txt", b"first")
    store.inbox.due()
    (dropped,) = store.inbox.due()
    assert store.inbox.read(dropped) is not None
    store.put("a.txt", link().encode())
    store.inbox.file_away(dropped)
    assert list(store.files()) == ["a.txt"]
    (report,) = store.take()
    assert report["fingerprints"] == [FINGERPRINT]


def test_a_report_that_vanished_is_tried_and_then_a_problem(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> bytes:
        raise RuntimeError("with a key: hidden")

    monkeypatch.setattr(store.fs, "cat_file", refuse)
    store.put("a.txt", link().encode())
    assert store.take() == []
    assert store.take() == []
    (report,) = store.take()
    assert report == {"path": "a.txt", "problem": "cannot be read (RuntimeError)."}
    assert len([message for message in store.inbox.messages() if "tried again" in message]) == 2
    assert list(store.files()) == ["unreadable/a.txt"]


def test_a_listing_that_fails_loses_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise ConnectionError

    store.put("a.txt", link().encode())
    store.inbox.due()
    with monkeypatch.context() as patched:
        patched.setattr(store.fs, "ls", refuse)
        with pytest.raises(ConnectionError):
            store.inbox.due()
    assert [dropped.name for dropped in store.inbox.due()] == ["a.txt"]


def test_an_empty_report_and_one_over_the_limit_are_problems(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report_inbox, "MAX_REPORT_BYTES", 100)
    monkeypatch.setattr("pme_airflow.leaks.reports.MAX_REPORT_BYTES", 100)
    store.put("empty", b"")
    store.put("large", b"x" * 1000)
    first, second = store.take()
    assert "is empty" in first["problem"]
    assert "over the limit of 100" in second["problem"]


def test_whatever_a_parser_does_is_a_problem_of_that_report(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def explode(_: bytes) -> None:
        raise MemoryError

    monkeypatch.setattr(report_inbox, "read_report", explode)
    store.put("a.txt", b"x")
    assert "MemoryError" in store.take()[0]["problem"]


def test_an_inbox_that_does_not_exist_yet_is_empty(store: Store) -> None:
    assert ReportInbox(store.fs, f"{store.root}/later/").due() == []


def test_an_object_whose_name_is_a_prefix_too_is_read(bucket: Bucket, tmp_path: Path) -> None:
    store = Store("s3", tmp_path / "drop", bucket)
    store.put("a", link().encode())
    store.put("a/below", b"x")
    (report,) = store.take()
    assert report["fingerprints"] == [FINGERPRINT]


def test_pipes_and_broken_links_are_skipped_by_name(tmp_path: Path, bucket: Bucket) -> None:
    store = Store("local", tmp_path / "drop", bucket)
    os.mkfifo(store.folder / "pipe")
    (store.folder / "gone").symlink_to(store.folder / "nowhere")
    store.put("z.txt", link().encode())
    assert [report["path"] for report in store.take()] == ["z.txt"]
    assert "pipe is no file and was skipped." in store.inbox.messages()


def test_a_name_with_a_line_break_forges_no_message(tmp_path: Path, bucket: Bucket) -> None:
    store = Store("local", tmp_path / "drop", bucket)
    (store.folder / "a\nforged\udcff").write_bytes(b"{}")
    (report,) = store.take()
    assert report["path"] == "a\\nforged\\udcff"
    assert all("\n" not in message for message in store.inbox.messages())


def test_a_dropped_file_without_a_version_is_compared_by_its_size() -> None:
    assert report_inbox._dropped("a", "x/a", {"size": None}) == Dropped("a", "x/a", 0, "")
    assert report_inbox._dropped("a", "x/a", {"size": 3, "ETag": "e", "mtime": 5}).version == "e"


# -------------------------------------------------------------------------------- what the store is asked for


def listed(name: str, size: int = 5, kind: str = "file") -> dict[str, Any]:
    return {"name": name, "size": size, "type": kind, "ETag": "1"}


@pytest.fixture
def fs() -> MagicMock:
    """A store that answers at once: an object store, whose report is ``drop/a``."""
    store = MagicMock(async_impl=True)
    store.exists.return_value = False
    store.ls.return_value = [listed("drop/a")]
    store.info.return_value = listed("drop/a")
    store.cat_file.return_value = b"hello"
    return store


def taken(inbox: ReportInbox) -> Dropped:
    inbox.due()
    (dropped,) = inbox.due()
    return dropped


def test_every_listing_and_every_move_looks_at_the_store_anew(fs: MagicMock) -> None:
    inbox = ReportInbox(fs, "drop/")
    dropped = taken(inbox)
    assert fs.invalidate_cache.call_count == 2
    inbox.read(dropped)
    inbox.file_away(dropped)
    assert fs.invalidate_cache.call_count == 3
    fs.cp_file.assert_called_once_with("drop/a", "drop/handled/a")
    fs.rm_file.assert_called_once_with("drop/a")
    fs.mv.assert_not_called()


def test_the_folder_itself_what_is_deeper_and_hidden_files_are_no_reports(fs: MagicMock) -> None:
    fs.ls.return_value = [listed("drop/"), listed("drop/b/c"), listed("drop/.d"), listed("drop/e", kind="directory")]
    inbox = ReportInbox(fs, "drop")
    assert [inbox.due(), inbox.due(), inbox.messages()] == [[], [], []]


def test_what_is_no_file_is_named_once(fs: MagicMock) -> None:
    fs.ls.return_value = [listed("drop/pipe", kind="other")]
    inbox = ReportInbox(fs, "drop")
    assert [inbox.due(), inbox.due()] == [[], []]
    assert inbox.messages() == ["pipe is no file and was skipped."]


def test_a_report_that_became_unreadable_is_filed_away_as_such(fs: MagicMock) -> None:
    inbox = ReportInbox(fs, "drop")
    dropped = taken(inbox)
    assert "problem" not in (inbox.read(dropped) or {})
    fs.cat_file.return_value = b'{"alert": 5}'
    assert "problem" in (inbox.read(dropped) or {})
    inbox.file_away(dropped)
    fs.cp_file.assert_called_once_with("drop/a", "drop/unreadable/a")


@pytest.mark.parametrize(("size", "end"), [(1, 1), ((64 << 20) + 1, (64 << 20) + 1), (1 << 30, (64 << 20) + 1)])
def test_no_more_of_a_report_is_read_than_shows_that_it_is_too_large(fs: MagicMock, size: int, end: int) -> None:
    fs.ls.return_value = [listed("drop/a", size)]
    inbox = ReportInbox(fs, "drop")
    inbox.read(taken(inbox))
    fs.cat_file.assert_called_once_with("drop/a", start=0, end=end)


def test_an_empty_report_is_not_asked_for(fs: MagicMock) -> None:
    fs.ls.return_value = [listed("drop/a", 0)]
    inbox = ReportInbox(fs, "drop")
    assert "is empty" in (inbox.read(taken(inbox)) or {})["problem"]
    fs.cat_file.assert_not_called()
