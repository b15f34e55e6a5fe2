"""What triggering asset events carry is read, and what is odd about them is a problem, never a crash."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from pme_airflow.leaks.reports import Findings
from pme_airflow.operators._asset_events import event_reports, event_tokens

FINDINGS = Findings("gitleaks", 2, ("sha256:" + "a" * 64,), unread=1)


def context(*extras: Any) -> dict[str, Any]:
    return {"triggering_asset_events": {"pme://leaks": [SimpleNamespace(extra=extra) for extra in extras]}}


def test_a_report_that_was_read_in_part_is_findings_and_a_problem() -> None:
    report = {"path": "a.json", "problem": "1 of 2 findings is masked", **FINDINGS.as_json()}
    findings, unread_sentences = event_reports(context({"payload": {"report": report}}))
    assert list(findings) == [FINDINGS]
    assert list(unread_sentences) == ["a.json: 1 of 2 findings is masked"]


def test_a_report_that_was_read_and_one_that_was_not() -> None:
    whole = {"path": "a.json", **FINDINGS.as_json()}
    unread = {"path": "b\n.json", "problem": "is no known report"}
    findings, unread_sentences = event_reports(context({"report": whole}, {"report": unread}))
    assert list(findings) == [FINDINGS]
    assert list(unread_sentences) == ["b\\n.json: is no known report"]


@pytest.mark.parametrize("report", [{}, {"form": "gitleaks"}, {"form": "x", "total": "y", "fingerprints": 5}])
def test_an_event_that_somebody_else_wrote_is_a_problem(report: dict[str, Any]) -> None:
    findings, unread_sentences = event_reports(context({"report": report}))
    assert list(findings) == []
    assert len(unread_sentences) == 1


@pytest.mark.parametrize("extra", [None, 5, "x", [], {}, {"report": 5}, {"payload": None, "fingerprints": None}])
def test_other_extras_hold_nothing(extra: Any) -> None:
    findings, unread_sentences = event_reports(context(extra))
    assert list(findings) == []
    assert event_tokens(context(extra)) == []
    assert not unread_sentences


def test_fingerprints_and_tokens_of_all_events_are_listed() -> None:
    events = context({"fingerprints": ["sha256:a"]}, {"payload": {"tokens": ["b"], "fingerprints": ["sha256:c"]}})
    assert event_tokens(events) == ["sha256:a", "sha256:c", "b"]
    assert event_tokens({}) == []
