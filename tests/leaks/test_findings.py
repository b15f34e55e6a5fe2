"""Findings go through JSON, and are merged."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pme_airflow.errors import PMEReportError
from pme_airflow.leaks.findings import Findings, PartialReportError, merged

FIRST = Findings("gitleaks", 3, ("sha256:a", "sha256:b"), frozenset({"d1"}), 1)
SECOND = Findings("plain text", 2, ("sha256:b", "sha256:c"), frozenset({"d2"}), 2)


def test_findings_go_through_json_and_back() -> None:
    assert Findings.of_json(json.loads(json.dumps(FIRST.as_json()))) == FIRST


def test_an_event_of_an_earlier_version_is_read() -> None:
    value = {key: value for key, value in FIRST.as_json().items() if key != "unread"}
    assert Findings.of_json(value).unread == 0


@pytest.mark.parametrize(
    "change",
    [{"fingerprints": None}, {"fingerprints": [5]}, {"fingerprints": "x"}, {"sha1": {}}, {"total": "3"}, {"total": None},
     {"unread": []}],
)  # fmt: skip
def test_an_event_that_the_trigger_did_not_write_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(PMEReportError, match="not as the report trigger writes it"):
        Findings.of_json({**FIRST.as_json(), **change})
    with pytest.raises(PMEReportError):
        Findings.of_json({})


def test_reports_are_merged_without_repeats() -> None:
    both = merged([FIRST, None, SECOND])
    assert both == Findings("gitleaks, plain text", 5, ("sha256:a", "sha256:b", "sha256:c"), frozenset({"d1", "d2"}), 3)
    assert merged([None, FIRST]) is FIRST
    assert merged([None]) is None


def test_a_partial_report_has_what_was_read() -> None:
    error = PartialReportError("findings: 1 line is broken.", FIRST)
    assert error.findings is FIRST
    assert error.permanent


def test_a_report_without_secrets_has_none_unread() -> None:
    assert Findings("gitleaks", 3) == Findings("gitleaks", 3, (), frozenset(), 0)
