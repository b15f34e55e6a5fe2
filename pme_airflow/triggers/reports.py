"""The trigger that watches a folder or bucket for scanners' reports and starts the leak response."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow.sdk import BaseHook, ObjectStoragePath
from airflow.sdk.io import get_fs
from airflow.triggers.base import BaseEventTrigger, TriggerEvent

from pme_airflow.extras import require_store

if TYPE_CHECKING:
    from pme_airflow.leaks.report_inbox import Dropped, ReportInbox

__all__ = ["PMEReportTrigger"]

_MIN_POLL_SECONDS = 0.01
#: How many reports one event carries, and how many bytes of them: the payload is kept in Airflow's database and passed
#: whole to the task, and no small report waits until a large one has been read.
_MOST_REPORTS = 20
_MOST_BYTES = 256 * 1024
#: How often the connection is read again, so that a changed connection needs no restart.
_REOPEN_EVERY = 300.0
#: How often the store is opened anew while it fails: opening S3 takes up to 0.3 s of processor time.
_REOPEN_FAILING_EVERY = 30.0
_environment_lock = threading.Lock()


@contextmanager
def _connection_in_environment(conn_id: str | None, connection: str | None) -> Iterator[None]:
    """Define a connection in this process's environment while the block runs; a store reads it by its id alone."""
    if conn_id is None or connection is None:
        yield
        return
    variable = f"AIRFLOW_CONN_{conn_id.upper()}"
    with _environment_lock:
        before = os.environ.get(variable)
        os.environ[variable] = connection
        try:
            yield
        finally:
            if before is None:
                del os.environ[variable]
            else:
                os.environ[variable] = before


class PMEReportTrigger(BaseEventTrigger):
    """Fires for each report under a path, once, and moves it to ``handled/`` or ``unreadable/`` there.

    For an ``AssetWatcher`` on ``Asset("pme://leaks")``. Reports that are found together are one event, with the
    payload ``{"reports": […]}``, up to 20 of 256 kB in all; one alone is ``{"report": …}``. It carries fingerprints,
    never a token, and what of a report could not be read. A file is read once its size and version are the same in two
    successive listings, so that no half-written file is read. Neither a report nor an error of the store ends the
    trigger; what it skips is logged.

    :param path: any ``ObjectStoragePath``: a folder or bucket that the triggerer can read and write.
    :param poll_interval: seconds between two listings.
    :raises PMEInputError: if what the path's store needs is not installed.
    """

    def __init__(self, path: str, poll_interval: float = 5.0) -> None:
        require_store(path, "path")
        super().__init__()
        self.path = path
        self.poll_interval = poll_interval

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class and its arguments, from which Airflow creates the trigger again."""
        name = f"{type(self).__module__}.{type(self).__qualname__}"
        return name, {"path": self.path, "poll_interval": self.poll_interval}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield an event for the reports of each listing, until the watcher is removed."""
        watcher = _Watcher(self.path)
        problem = ""
        while True:
            try:
                inbox, due = await watcher.look()
                problem = self._log_problem(problem, "")
            except Exception as error:  # noqa: BLE001 - a store of any kind may raise anything, with its keys in it
                due = []
                watcher.fail()
                problem = self._log_problem(problem, type(error).__name__)
            for batch in _batches(due):
                reports = await asyncio.to_thread(_read, inbox, batch)
                self._log_messages(inbox)
                if reports:
                    yield TriggerEvent(_payload(list(reports.values())))
                    await asyncio.to_thread(_file_away, inbox, reports)
                    self._log_messages(inbox)
            await asyncio.sleep(max(_MIN_POLL_SECONDS, self.poll_interval))

    def _log_messages(self, inbox: ReportInbox) -> None:
        for message in inbox.messages():
            self.log.warning("%s: %s", self._shown_path, message)

    def _log_problem(self, before: str, now: str) -> str:
        """Log that the path cannot be listed, or can be again; once, not at every listing."""
        if now and now != before:
            self.log.warning("%s cannot be listed (%s). It is tried again.", self._shown_path, now)
        elif before and not now:
            self.log.info("%s can be listed again.", self._shown_path)
        return now

    @property
    def _shown_path(self) -> str:
        from pme_airflow.printable import printable

        scheme, separator, rest = self.path.partition("://")
        return printable(f"{scheme}://{rest.rpartition('@')[2]}" if separator else self.path)


class _Watcher:
    """Keeps the store open between listings, and opens it again where it failed or its connection changed.

    A report that fired and could not be moved does not fire again then.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._inbox: ReportInbox | None = None
        self._opened_as: object = None
        self._opened_at = 0.0
        self._reopen_at = 0.0
        self._has_failed = False

    async def look(self) -> tuple[ReportInbox, list[Dropped]]:
        """Return the inbox and the reports that are due in it."""
        if self._inbox is None or time.monotonic() >= self._reopen_at:
            self._inbox = await self._open(self._inbox)
        return self._inbox, await asyncio.to_thread(self._inbox.due)

    def fail(self) -> None:
        """Let the store be opened anew, also where its connection is the same: its keys may be elsewhere."""
        self._has_failed = True
        self._reopen_at = min(self._reopen_at, self._opened_at + _REOPEN_FAILING_EVERY)

    async def _open(self, inbox: ReportInbox | None) -> ReportInbox:
        """Open the store in a thread, with its connection read before.

        Stores run an event loop of their own, so that they cannot be opened in the triggerer's; and a connection that
        is read in a thread stalls the whole triggerer on Airflow 3.2.
        """
        conn_id = urlsplit(self._path).netloc.rpartition("@")[0] or None
        connection = (await BaseHook.aget_connection(conn_id)).as_json() if conn_id else None
        self._reopen_at = time.monotonic() + _REOPEN_EVERY
        if inbox is not None and connection == self._opened_as and not self._has_failed:
            return inbox
        self._opened_at = time.monotonic()
        opened = await asyncio.to_thread(self._open_store, conn_id, connection, inbox)
        self._opened_as, self._has_failed = connection, False
        return opened

    def _open_store(self, conn_id: str | None, connection: str | None, inbox: ReportInbox | None) -> ReportInbox:
        from pme_airflow.leaks.report_inbox import ReportInbox

        # Without its connection: with one, an ObjectStoragePath opens the store at once, and Airflow keeps it for good.
        root = ObjectStoragePath(self._path.replace(f"{conn_id}@", "", 1) if conn_id else self._path)

        def open_store() -> Any:
            with _connection_in_environment(conn_id, connection):
                return get_fs(root.protocol or "file", conn_id)

        if inbox is None:
            return ReportInbox(open_store(), root.path)
        inbox.reopen(open_store)
        return inbox


def _payload(reports: list[dict[str, Any]]) -> dict[str, Any]:
    return {"report": reports[0]} if len(reports) == 1 else {"reports": reports}


def _batches(due: Sequence[Dropped]) -> Iterator[list[Dropped]]:
    """Split reports into those that one event carries."""
    batch: list[Dropped] = []
    for dropped in due:
        size = sum(other.size for other in batch) + dropped.size
        if batch and (len(batch) == _MOST_REPORTS or size > _MOST_BYTES):
            yield batch
            batch = []
        batch.append(dropped)
    if batch:
        yield batch


def _read(inbox: ReportInbox, batch: Sequence[Dropped]) -> dict[Dropped, dict[str, Any]]:
    """Return what reports contain; one that the store does not give now is left out, and is due again."""
    read = {dropped: inbox.read(dropped) for dropped in batch}
    return {dropped: report for dropped, report in read.items() if report is not None}


def _file_away(inbox: ReportInbox, reports: Iterable[Dropped]) -> None:
    for dropped in reports:
        inbox.file_away(dropped)
