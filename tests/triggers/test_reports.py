"""The report trigger fires once for each report, and outlives every report and every error of the store."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import threading
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Any

import boto3
import pytest
from airflow.sdk import BaseHook, Connection
from airflow.triggers.base import TriggerEvent
from fsspec.implementations.local import LocalFileSystem
from moto import settings

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
    real_due, real_open = ReportInbox.due, reports._Watcher._open
    opened = [ValueError("no such connection")]

    def due(inbox: ReportInbox) -> Any:
        if errors:
            raise errors.pop(0)
        return real_due(inbox)

    async def open_(watcher: reports._Watcher, inbox: ReportInbox | None) -> ReportInbox:
        if opened:
            raise opened.pop()
        return await real_open(watcher, inbox)

    monkeypatch.setattr(ReportInbox, "due", due)
    monkeypatch.setattr(reports._Watcher, "_open", open_)
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


def test_rotated_keys_need_no_restart_and_no_report_fires_twice(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store is moto's, which checks keys here as S3 does."""
    variable = f"AIRFLOW_CONN_{bucket.conn_id.upper()}"
    connection = json.loads(os.environ[variable])
    at: Any = {"endpoint_url": connection["extra"]["endpoint_url"], "region_name": "us-east-1"}
    iam = boto3.client("iam", **at, aws_access_key_id="key", aws_secret_access_key="secret")
    policy = {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}

    def made_for(user: str) -> list[tuple[str, str]]:
        iam.create_user(UserName=user)
        iam.put_user_policy(UserName=user, PolicyName="all", PolicyDocument=json.dumps(policy))
        keys = [iam.create_access_key(UserName=user)["AccessKey"] for _ in range(2)]
        return [(key["AccessKeyId"], key["SecretAccessKey"]) for key in keys]

    own, (before, after) = made_for("admin")[0], made_for("scanner")

    def use(login: str, password: str) -> None:
        monkeypatch.setenv(variable, json.dumps({**connection, "login": login, "password": password}))

    use(*before)
    monkeypatch.setattr(settings, "INITIAL_NO_AUTH_ACTION_COUNT", 0)
    monkeypatch.setattr(reports, "_REOPEN_FAILING_EVERY", 0.0)
    monkeypatch.setattr(ReportInbox, "_move", lambda *_: None)  # so that the first stays, and would be found again
    bucket.client = boto3.client("s3", **at, aws_access_key_id=own[0], aws_secret_access_key=own[1])
    iam = boto3.client("iam", **at, aws_access_key_id=own[0], aws_secret_access_key=own[1])

    async def script(payload: Callable[[], Awaitable[Any]]) -> None:
        bucket.put("drop/first.txt", link().encode())
        assert reports_in([await payload()])[0]["path"] == "first.txt"
        iam.delete_access_key(UserName="scanner", AccessKeyId=before[0])
        use(*after)
        bucket.put("drop/second.txt", link().encode())
        assert [report["path"] for report in reports_in([await payload()])] == ["second.txt"]

    watched = trigger(f"{bucket.url}/drop")
    logged = warnings_of(watched, monkeypatch)
    run(watched, script)
    assert len([line for line in logged if "cannot be listed (PermissionError)" in line]) == 1


def test_a_changed_connection_is_used_without_an_error(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    """Old keys may still list while others are in the connection: the store is asked with what the connection has."""
    variable = f"AIRFLOW_CONN_{bucket.conn_id.upper()}"
    used: list[tuple[str, str]] = []
    real_open = reports.get_fs

    def get_fs(protocol: str, conn_id: str | None) -> Any:
        used.append((protocol, json.loads(os.environ[variable])["login"]))
        return real_open(protocol, conn_id)

    monkeypatch.setattr(reports, "get_fs", get_fs)
    monkeypatch.setattr(reports, "_REOPEN_EVERY", 0.0)

    async def script(payload: Callable[[], Awaitable[Any]]) -> None:
        for name in ("first.txt", "second.txt"):
            bucket.put(f"drop/{name}", link().encode())
            assert reports_in([await payload()])[0]["path"] == name
        monkeypatch.setenv(variable, os.environ[variable].replace('"key"', '"other"'))
        bucket.put("drop/third.txt", link().encode())
        assert reports_in([await payload()])[0]["path"] == "third.txt"

    run(trigger(f"{bucket.url}/drop"), script)
    assert used == [("s3", "key"), ("s3", "other")]


def test_a_store_that_fails_is_opened_anew_now_and_then_and_none_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[weakref.ref[Any]] = []

    class Failing(LocalFileSystem):
        def ls(self, *_: Any, **__: Any) -> list[Any]:
            raise ConnectionError

    def get_fs(*_: object) -> Any:
        made = Failing()
        assert all(made is not each() for each in opened)
        opened.append(weakref.ref(made))
        return made

    monkeypatch.setattr(reports, "get_fs", get_fs)
    fired(trigger(tmp_path), 0)
    assert len(opened) == 1
    Failing.clear_instance_cache()  # another trigger's
    monkeypatch.setattr(reports, "_REOPEN_FAILING_EVERY", 0.0)
    fired(trigger(tmp_path), 0)
    gc.collect()
    assert len(opened) > 3
    assert len([each for each in opened if each() is not None]) <= 2


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
