"""What publishing came to, as JSON without links."""

from __future__ import annotations

import json

import pytest

from pme_airflow.errors import SlotError
from pme_airflow.lifecycle import bounded_list
from pme_airflow.lifecycle.publish_result import PublishResult


def test_the_json_has_counts_and_the_first_slots(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded_list, "MAX_ENTRIES", 2)
    result = PublishResult("shelf", links=5)
    for number in range(3):
        result.published.append({"slot": str(number), "link_id": "lnk", "model_id": "m"})
    result.unchanged.append({"slot": "u"})
    result.removed.append({"slot": "r"})
    result.fail("f", "model", SlotError("it is broken"))
    shown = json.loads(json.dumps(result.as_json()))
    assert shown["target"] == "shelf"
    assert shown["counts"] == {"published": 3, "unchanged": 1, "removed": 1, "failed": 1}
    assert [slot["slot"] for slot in shown["published"]] == ["0", "1"]
    assert shown["unchanged"] == [{"slot": "u"}]
    assert shown["removed"] == [{"slot": "r"}]
    assert shown["failed"] == [{"slot": "f", "model_id": "model", "reason": "it is broken", "permanent": True}]


def test_a_failure_breaks_the_promise_and_is_permanent_unless_one_may_pass() -> None:
    result = PublishResult("shelf")
    assert result.promise_kept
    result.fail("a", "m", SlotError("no"))
    assert not result.promise_kept
    assert result.permanent
    result.fail("b", "m", SlotError("later", passing=True))
    assert not result.permanent
