"""Watch a folder or bucket for scanners' reports: find new ones, read them, and move them away."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from pme_airflow.errors import PMEError, PMEReportError
from pme_airflow.leaks.findings import PartialReportError
from pme_airflow.leaks.reports import MAX_REPORT_BYTES, read_report
from pme_airflow.printable import printable

__all__ = ["Dropped", "ReportInbox"]

#: Where reports go that were read whole, and the others.
_HANDLED, _UNREADABLE = "handled", "unreadable"
#: How many times to try to read a report that the store fails to return.
_MAX_READS = 3
#: Keys of ``fsspec`` file systems that change with a file's content: S3, Azure, GCS, local files, HDFS, SFTP.
_VERSION_KEYS = ("ETag", "etag", "mtime", "LastModified", "last_modified", "updated", "modified")


@dataclass(frozen=True)
class Dropped:
    """A file in the inbox.

    :param name: its name in the inbox.
    :param key: its path in the store.
    :param size: its length in bytes.
    :param version: changes with its content: an ETag or a time.
    """

    name: str
    key: str
    size: int
    version: str


class ReportInbox:
    """Returns each report once, also one that cannot be moved. Not safe to share between threads.

    :param fs: an ``fsspec`` file system.
    :param root: the path of the folder in it.
    """

    def __init__(self, fs: Any, root: str) -> None:
        self._fs = fs
        self._root = root.rstrip("/")
        self._listed: dict[str, Dropped] = {}
        self._given: dict[str, Dropped] = {}
        self._read_whole: set[str] = set()
        self._failures: dict[str, int] = {}
        self._skipped: set[str] = set()
        self._messages: list[str] = []

    def reopen(self, open_store: Callable[[], Any]) -> None:
        """Continue with the same store opened anew, as with new keys. What was given stays given.

        :param open_store: returns an ``fsspec`` file system.
        """
        self._fs.clear_instance_cache()  # else fsspec may return the old one, and keeps each that was ever opened
        self._fs = open_store()

    def messages(self) -> list[str]:
        """Return the messages since the last call, one sentence each."""
        messages, self._messages = self._messages, []
        return messages

    def due(self) -> list[Dropped]:
        """Return the reports that did not change between the last two listings and were not given before.

        :raises Exception: whatever the store raises; nothing is lost then.
        """
        listed = {dropped.name: dropped for dropped in self._list()}
        unchanged = [dropped for name, dropped in sorted(listed.items()) if self._listed.get(name) == dropped]
        self._given = {name: dropped for name, dropped in self._given.items() if listed.get(name) == dropped}
        self._failures = {name: count for name, count in self._failures.items() if name in listed}
        self._listed = listed
        return [dropped for dropped in unchanged if dropped.name not in self._given]

    def _list(self) -> Iterator[Dropped]:
        self._fs.invalidate_cache()  # s3fs caches each listing without a time limit
        try:
            entries = self._fs.ls(self._root, detail=True)
        except FileNotFoundError:
            return
        for entry in entries:
            key = str(entry["name"])
            name = key.removeprefix(f"{self._root}/")
            if not name or "/" in name or name.startswith(".") or entry["type"] == "directory":
                continue
            if entry["type"] == "file":
                yield _dropped(name, key, entry)
            elif name not in self._skipped:
                self._skipped.add(name)
                self._messages.append(f"{printable(name)} is no file and was skipped.")

    def read(self, dropped: Dropped) -> dict[str, Any] | None:
        """Return what a report contains, as JSON without tokens: its findings, a problem, or both.

        The report is not given again. ``None`` if the store does not give it now; it is due again then.
        """
        shown = printable(dropped.name)
        try:
            raw = self._bytes_of(dropped)
        except Exception as error:  # noqa: BLE001 - a store of any kind may raise anything, with its keys in it
            self._failures[dropped.name] = self._failures.get(dropped.name, 0) + 1
            if self._failures[dropped.name] < _MAX_READS:
                self._messages.append(f"{shown} cannot be read now ({type(error).__name__}) and will be tried again.")
                return None
            report: dict[str, Any] = {"problem": f"cannot be read ({type(error).__name__})."}
        else:
            report = _contents(raw)
        self._given[dropped.name] = dropped
        self._read_whole.discard(dropped.name)
        if "problem" in report:
            self._messages.append(f"{shown} was not read whole: {printable(report['problem'])}")
        else:
            self._read_whole.add(dropped.name)
        return {"path": shown, **report}

    def _bytes_of(self, dropped: Dropped) -> bytes:
        if dropped.size == 0:
            return b""
        return bytes(self._fs.cat_file(dropped.key, start=0, end=min(dropped.size, MAX_REPORT_BYTES + 1)))

    def file_away(self, dropped: Dropped) -> None:
        """Move a report to ``handled/`` or ``unreadable/``, next to those of the same name there.

        One that was replaced since it was read stays, and is due again. One that cannot be moved stays too.
        """
        folder = _HANDLED if dropped.name in self._read_whole else _UNREADABLE
        self._read_whole.discard(dropped.name)
        try:
            self._fs.invalidate_cache()
            if _dropped(dropped.name, dropped.key, self._fs.info(dropped.key)) != dropped:
                return
            with suppress(Exception):  # object stores need no folders
                self._fs.makedirs(f"{self._root}/{folder}", exist_ok=True)
            self._move(dropped.key, self._free_name(folder, dropped.name))
            del self._listed[dropped.name], self._given[dropped.name]
        except Exception as error:  # noqa: BLE001 - a store of any kind may raise anything, with its keys in it
            self._messages.append(
                f"{printable(dropped.name)} was read and cannot be moved to {folder}/ ({type(error).__name__}). Remove "
                "it, or let the triggerer write there."
            )

    def _free_name(self, folder: str, name: str) -> str:
        target = f"{self._root}/{folder}/{name}"
        if not self._fs.exists(target):
            return target
        path = PurePosixPath(name)
        return f"{self._root}/{folder}/{path.stem}.{uuid.uuid4().hex[:12]}{path.suffix}"

    def _move(self, key: str, target: str) -> None:
        """Move one object. ``mv`` of object stores takes a name for a pattern and copies into folders."""
        if getattr(self._fs, "async_impl", False):
            self._fs.cp_file(key, target)
            self._fs.rm_file(key)
        else:
            self._fs.mv(key, target)


def _dropped(name: str, key: str, entry: Mapping[str, Any]) -> Dropped:
    version = next((entry[version] for version in _VERSION_KEYS if entry.get(version) is not None), "")
    return Dropped(name, key, int(entry.get("size") or 0), str(version))


def _contents(raw: bytes) -> dict[str, Any]:
    try:
        return read_report(raw).as_json()
    except PartialReportError as error:
        return {**error.findings.as_json(), "problem": str(error)}
    except PMEError as error:
        return {"problem": str(error)}
    except Exception as error:  # noqa: BLE001 - no report ends the trigger, whatever it makes a parser do
        return {"problem": str(PMEReportError(f"findings: the report cannot be read ({type(error).__name__})."))}
