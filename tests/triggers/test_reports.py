"""The report trigger fires once for each report, and outlives every report and every error of the store."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import BaseHook, Connection
from airflow.triggers.base import TriggerEvent

from pme_airflow.leaks.report_inbox import ReportInbox
from pme_airflow.triggers import reports
from pme_airflow.triggers.reports import PMEReportTrigger
from tests.support.buckets import Bucket
from tests.support.leaked import FINGERPRINT, TOKEN, link


def trigger(path: Path | str) -> PMEReportTrigger:
    return PMEReportTrigger(str(path), poll_interval=0.01)


def run(watched: PMEReportTrigger, script: Callable[[Callable[[], Awaitable[Any]]], Awaitable[None]]) -> None:
    """Run a trigger while a script asks it for its next payload."""

    async def main() -> None:
        events: AsyncIterator[TriggerEvent] = watched.run()
        async with aclosing(events):  # type: ignore[type-var]

            async def payload() -> Any:
                return (await asyncio.wait_for(anext(events), 60)).payload

            await script(payload)

    asyncio.run(main())


def fired(watched: PMEReportTrigger, count: int) -> list[dict[str, Any]]:
    """The payloads of the first events, and of those that follow within a while."""
    payloads: list[dict[str, Any]] = []

    async def script(payload: Callable[[], Awaitable[Any]]) -> None:
        payloads.extend([await payload() for _ in range(count)])
        with suppress(TimeoutError, asyncio.TimeoutError):
            payloads.append(await asyncio.wait_for(payload(), 0.3))

    run(watched, script)
    return payloads


def reports_in(payloads: list[dict[str, Any]]) -> list[dict[str, Any]]:
    assert all(len(payload.get("reports", "two")) > 1 for payload in payloads)
    return [report for payload in payloads for report in payload.get("reports") or [payload["report"]]]


def warnings_of(watched: PMEReportTrigger, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    logged: list[str] = []
    monkeypatch.setattr(watched.log, "warning", lambda message, *args: logged.append(message % args))
    return logged


def test_the_trigger_is_created_again_from_its_arguments() -> None:
    name, arguments = PMEReportTrigger("s3://reports", 7.0).serialize()
    assert name == "pme_airflow.triggers.reports.PMEReportTrigger"
    assert arguments == {"path": "s3://reports", "poll_interval": 7.0}
    again = PMEReportTrigger(**arguments)
    assert (again.path, again.poll_interval) == ("s3://reports", 7.0)


def test_a_report_fires_once_with_fingerprints_and_is_moved(tmp_path: Path) -> None:
    (tmp_path / "report.txt").write_text(link())
    (report,) = reports_in(fired(trigger(tmp_path), 1))
    assert report["path"] == "report.txt"
    assert report["fingerprints"] == [FINGERPRINT]
    assert TOKEN not in json.dumps(report)
    assert (tmp_path / "handled" / "report.txt").read_text() == link()
    assert not (tmp_path / "report.txt").exists()


def test_an_odd_report_blocks_none_behind_it_and_is_logged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number, content in enumerate(['{"alert": 5}', "[1]", "null", '{"runs": {}}', "[" * 5000, "\udcff"]):
        (tmp_path / f"{number}").write_bytes(content.encode(errors="surrogateescape"))
    (tmp_path / "z.txt").write_text(link())
    watched = trigger(tmp_path)
    logged = warnings_of(watched, monkeypatch)
    (payload,) = fired(watched, 1)
    found = reports_in([payload])
    assert [report["path"] for report in found] == ["0", "1", "2", "3", "4", "5", "z.txt"]
    assert found[-1]["fingerprints"] == [FINGERPRINT]
    assert "no known report format" in found[0]["problem"]
    assert any(f"{tmp_path}: 0 was not read whole" in line for line in logged)


def test_reports_that_are_found_together_are_one_event_unless_they_are_many_or_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Airflow may start one run for two events that come together, with the first of them alone."""
    monkeypatch.setattr(reports, "_MOST_REPORTS", 2)
    monkeypatch.setattr(reports, "_MOST_BYTES", 5 * len(link()))
    for name, links in (("a", 1), ("b", 1), ("c", 1), ("d", 6), ("e", 1), ("f", 1)):
        (tmp_path / name).write_text("\n".join([link()] * links))
    payloads = fired(trigger(tmp_path), 4)
    assert [[report["path"] for report in reports_in([payload])] for payload in payloads] == [
        ["a", "b"], ["c"], ["d"], ["e", "f"],
    ]  # fmt: skip
    assert sorted(path.name for path in (tmp_path / "handled").iterdir()) == list("abcdef")


def test_reports_in_a_bucket_fire_each_time_one_is_put(bucket: Bucket) -> None:
    bucket.put("drop/.keep", b"")

    async def script(payload: Callable[[], Awaitable[Any]]) -> None:
        for name in ("first.txt", "second.txt", "first.txt"):
            bucket.put(f"drop/{name}", link().encode())
            assert reports_in([await payload()])[0]["path"] == name

    run(trigger(f"{bucket.url}/drop"), script)
    assert len([key for key in bucket.listed() if key.startswith("drop/handled/")]) >= 2


def test_a_folder_that_does_not_exist_yet_is_waited_for(tmp_path: Path) -> None:
    async def script(payload: Callable[[], Awaitable[Any]]) -> None:
        waiting = asyncio.ensure_future(payload())
        await asyncio.sleep(0.1)
        (tmp_path / "later").mkdir()
        (tmp_path / "later" / "report.txt").write_text(link())
        assert reports_in([await waiting])[0]["path"] == "report.txt"

    run(trigger(tmp_path / "later"), script)


def test_errors_of_the_store_end_nothing_and_are_logged_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "report.txt").write_text(link())
    watched = trigger(tmp_path)
    logged = warnings_of(watched, monkeypatch)
    errors: list[Exception] = [
        ConnectionError(),
        ConnectionError(),
        RuntimeError("a key"),
        KeyError("x"),
        MemoryError(),
    ]
    real_due, real_open = ReportInbox.due, PMEReportTrigger._open
    opened = [ValueError("no such connection")]

    def due(inbox: ReportInbox) -> Any:
        if errors:
            raise errors.pop(0)
        return real_due(inbox)

    async def open_(watched: PMEReportTrigger) -> ReportInbox:
        if opened:
            raise opened.pop()
        return await real_open(watched)

    monkeypatch.setattr(ReportInbox, "due", due)
    monkeypatch.setattr(PMEReportTrigger, "_open", open_)
    assert len(fired(watched, 1)) == 1
    assert [line.rpartition("(")[2].split(")")[0] for line in logged] == [
        "ValueError", "ConnectionError", "RuntimeError", "KeyError", "MemoryError",
    ]  # fmt: skip
    assert not any("a key" in line for line in logged)


def test_a_report_that_cannot_be_moved_fires_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(ReportInbox, "_move", refuse)
    (tmp_path / "report.txt").write_text(link())
    watched = trigger(tmp_path)
    logged = warnings_of(watched, monkeypatch)
    assert len(fired(watched, 1)) == 1
    assert any("cannot be moved" in line for line in logged)


def test_the_connection_is_read_in_the_event_loop_and_the_store_is_opened_in_a_thread(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection is in a database here: what a thread reads of the environment would hide where it is read."""
    conn_id = f"{bucket.conn_id}_database"
    connection = Connection.from_json(os.environ[f"AIRFLOW_CONN_{bucket.conn_id.upper()}"], conn_id)
    threads: list[str] = []

    async def aget_connection(_: str) -> Connection:
        threads.append(threading.current_thread().name)
        return connection

    monkeypatch.setattr(BaseHook, "aget_connection", aget_connection)
    bucket.put("drop/report.txt", link().encode())
    watched = trigger(bucket.url.replace(bucket.conn_id, conn_id) + "/drop")
    assert len(fired(watched, 1)) == 1
    assert threads == [threading.main_thread().name]
    assert f"AIRFLOW_CONN_{conn_id.upper()}" not in os.environ


def test_a_connection_of_the_environment_is_left_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_X", "before")
    with reports._connection_in_environment("x", "inside"):
        assert os.environ["AIRFLOW_CONN_X"] == "inside"
    assert os.environ["AIRFLOW_CONN_X"] == "before"
    with reports._connection_in_environment(None, None):
        assert os.environ["AIRFLOW_CONN_X"] == "before"


@pytest.mark.parametrize("interval", [0, -5])
def test_a_poll_interval_of_nothing_does_not_spin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, interval: float
) -> None:
    slept: list[float] = []
    real_sleep = asyncio.sleep

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        await real_sleep(0)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    (tmp_path / "report.txt").write_text(link())
    watched = PMEReportTrigger(str(tmp_path), interval)
    run(watched, lambda payload: payload())
    assert set(slept) == {0.01}


def test_the_path_is_logged_without_its_connection() -> None:
    assert trigger("s3://key:secret@bucket/drop")._shown_path == "s3://bucket/drop"
    assert trigger("/srv/drop\n")._shown_path == "/srv/drop\\n"
