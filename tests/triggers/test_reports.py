"""The report trigger fires once a report, and moves it aside."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Any

from airflow.triggers.base import TriggerEvent

from pme_airflow.triggers.reports import PMEReportTrigger
from tests.support.leaked import FINGERPRINT, TOKEN, link


def trigger(path: Path | str) -> PMEReportTrigger:
    return PMEReportTrigger(str(path), poll_interval=0.01)


def fired(watched: PMEReportTrigger, count: int, seconds: float = 20) -> list[dict[str, Any]]:
    """The payloads of the first events; the trigger goes on to its next listing, so that the last report is moved."""

    async def collect() -> list[dict[str, Any]]:
        payloads: list[dict[str, Any]] = []
        events: AsyncIterator[TriggerEvent] = watched.run()
        async with aclosing(events):  # type: ignore[type-var]
            while len(payloads) < count:
                payloads.append((await asyncio.wait_for(anext(events), seconds)).payload)
            with suppress(TimeoutError, asyncio.TimeoutError):
                payloads.append((await asyncio.wait_for(anext(events), 0.3)).payload)
        return payloads

    return asyncio.run(collect())


def test_the_trigger_is_created_again_from_its_arguments() -> None:
    name, arguments = PMEReportTrigger("s3://reports", 7.0).serialize()
    assert name == "pme_airflow.triggers.reports.PMEReportTrigger"
    assert arguments == {"path": "s3://reports", "poll_interval": 7.0}
    again = PMEReportTrigger(**arguments)
    assert (again.path, again.poll_interval) == ("s3://reports", 7.0)


def test_a_report_fires_once_with_fingerprints_and_is_moved(tmp_path: Path) -> None:
    (tmp_path / "report.txt").write_text(link())
    (payload,) = fired(trigger(tmp_path), 1)
    assert payload["report"]["path"] == "report.txt"
    assert payload["report"]["fingerprints"] == [FINGERPRINT]
    assert TOKEN not in str(payload)
    assert (tmp_path / "handled" / "report.txt").read_text() == link()
    assert not (tmp_path / "report.txt").exists()


def test_an_unreadable_report_fires_with_the_problem_and_is_moved_apart(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text('{"a": 1}')
    (payload,) = fired(trigger(tmp_path), 1)
    assert "no known report format" in payload["report"]["problem"]
    assert (tmp_path / "unreadable" / "report.json").exists()


def test_hidden_files_and_folders_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / ".partial").write_text(link())
    (tmp_path / "folder").mkdir()
    (tmp_path / "report.txt").write_text(link())
    assert [payload["report"]["path"] for payload in fired(trigger(tmp_path), 1)] == ["report.txt"]
    assert (tmp_path / ".partial").exists()


def test_a_file_that_grows_is_read_once_its_size_is_unchanged(tmp_path: Path) -> None:
    watched = trigger(tmp_path)
    (tmp_path / "report.txt").write_text("half")
    sizes, unchanged = watched._list({})
    assert unchanged == []
    (tmp_path / "report.txt").write_text("half and more")
    sizes, unchanged = watched._list(sizes)
    assert unchanged == []
    assert watched._list(sizes)[1] == ["report.txt"]


def test_a_folder_that_does_not_exist_yet_is_waited_for(tmp_path: Path) -> None:
    watched = trigger(tmp_path / "later")
    assert watched._list({"gone": 1}) == ({}, [])
