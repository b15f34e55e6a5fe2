"""A report's exit status, and that it contains no secret."""

from __future__ import annotations

import json

import pytest

from pme_airflow.doctor import CheckResult, Entry, Report

GOOD = CheckResult.good("a", "It works.")
WARNING = CheckResult.warning("b", "It may not work.", "Look.")
BAD = CheckResult.bad("c", "It does not work.", "Mend it.")


def report(*results: CheckResult) -> Report:
    return Report(tuple(Entry("part", result) for result in results))


@pytest.mark.parametrize(
    ("results", "status"), [((), 0), ((GOOD,), 0), ((GOOD, WARNING), 1), ((BAD, WARNING), 2), ((BAD,), 2)]
)
def test_exit_status_is_that_of_the_worst_result(results: tuple[CheckResult, ...], status: int) -> None:
    assert report(*results).exit_status == status == report(*results).as_json()["exit_status"]


def test_json_lists_each_check_with_its_cure() -> None:
    found = report(GOOD, WARNING, BAD).as_json()
    assert (found["good"], found["doubtful"], found["bad"]) == (1, 1, 1)
    assert found["checks"][2] == {
        "section": "part", "check": "c", "verdict": "bad", "finding": "It does not work.", "cure": "Mend it."
    }  # fmt: skip
    assert report(GOOD, WARNING, BAD).summary == "1 good, 1 doubtful, 1 bad."


def test_secrets_and_tokens_are_masked() -> None:
    token, secret = "k3v9x" * 5, "a secret of the connection"
    text = f"sent {secret} and https://my.matterport.com/show?m=SxQL3iGyoDo&auth=Bearer+{token}"
    masked = report(CheckResult.bad("x", text, text)).without([secret, ""])
    shown = json.dumps(masked.as_json())
    assert token not in shown
    assert secret not in shown
    assert "SxQL3iGyoDo" in shown


def test_fingerprint_is_not_masked() -> None:
    named = f"The link sha256:{'0a' * 32} is alive."
    assert report(CheckResult.bad("x", named, "")).without([]).entries[0].result.finding == named
