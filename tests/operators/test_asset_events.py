"""What triggering asset events carry is read, and what is odd about them is a problem, never a crash."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from pme_airflow.leaks.reports import Findings
from pme_airflow.operators._asset_events import LeakEvents, leak_events

FINDINGS = Findings("gitleaks", 2, ("sha256:" + "a" * 64,), unread=1)


def context(*extras: Any) -> dict[str, Any]:
    return {"triggering_asset_events": {"pme://leaks": [SimpleNamespace(extra=extra) for extra in extras]}}


def test_a_report_that_was_read_in_part_is_findings_and_a_problem() -> None:
    report = {"path": "a.json", "problem": "1 of 2 findings is masked", **FINDINGS.as_json()}
    events = leak_events(context({"payload": {"reports": [report]}}))
    assert events.reports == (FINDINGS,)
    assert events.unread == ("a.json: 1 of 2 findings is masked",)


def test_a_report_that_was_read_and_one_that_was_not() -> None:
    whole = {"path": "a.json", **FINDINGS.as_json()}
    unread = {"path": "b\n.json", "problem": "is no known report"}
    for given in ([{"reports": [whole, unread]}], [{"report": whole}, {"report": unread}]):
        events = leak_events(context(*given))
        assert events.reports == (FINDINGS,)
        assert events.unread == ("b\\n.json: is no known report",)


@pytest.mark.parametrize("report", [{}, {"form": "gitleaks"}, {"form": "x", "total": "y", "fingerprints": 5}])
def test_an_event_that_somebody_else_wrote_is_a_problem(report: dict[str, Any]) -> None:
    events = leak_events(context({"reports": [report]}))
    assert (events.reports, len(events.unread)) == ((), 1)


@pytest.mark.parametrize(
    "extra",
    [
        None,
        5,
        "x",
        [],
        {},
        {"report": 5},
        {"reports": 5},
        {"reports": [5, None]},
        {"payload": None, "fingerprints": None},
    ],
)
def test_other_extras_hold_nothing(extra: Any) -> None:
    assert leak_events(context(extra)) == LeakEvents()


def test_fingerprints_and_tokens_of_all_events_are_listed() -> None:
    events = context({"fingerprints": ["sha256:a"]}, {"payload": {"tokens": ["b"], "fingerprints": ["sha256:c"]}})
    assert leak_events(events).tokens == ("sha256:a", "sha256:c", "b")
    assert leak_events({}) == LeakEvents()
