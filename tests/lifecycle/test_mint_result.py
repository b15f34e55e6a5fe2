"""What minting came to: items while they fit in one XCom, a reference beyond that."""

from __future__ import annotations

from datetime import timedelta

import pytest

from pme_airflow.errors import PMEModelError, PMEUnavailableError
from pme_airflow.lifecycle import mint_result
from pme_airflow.lifecycle.mint_result import MintResult, MintTally
from pme_airflow.lifecycle.services import Services
from tests.conftest import MODELS
from tests.support.rooms import mint, rows

ALL = list(MODELS)
DAY = timedelta(hours=24)


def test_items_are_in_the_order_their_models_were_asked_for(services: Services) -> None:
    mint(services, "run", ALL[:4])
    by_model = {row.model_id: row for row in rows(services)}
    tally = MintTally(ALL[:4])
    for model_id in (ALL[2], ALL[0], ALL[3]):
        tally.add(model_id, by_model[model_id])
    assert ALL[2] in tally
    assert ALL[1] not in tally
    tally.minted, tally.reused, tally.lost = 1, 2, 3
    tally.fail(ALL[1], PMEModelError("no such model"))
    result = tally.result(services.database, "intranet")
    assert [item["model_id"] for item in result.items] == [ALL[0], ALL[2], ALL[3]]
    assert result.xcom_payload is result.items
    assert (result.links, result.minted, result.reused, result.lost) == (3, 1, 2, 3)
    assert [(f.model_id, f.reason, f.permanent) for f in result.failures] == [(ALL[1], "no such model", True)]


@pytest.mark.parametrize(("most", "by_reference"), [(3, True), (4, False)])
def test_more_than_an_xcom_carries_are_referred_to(
    services: Services, monkeypatch: pytest.MonkeyPatch, most: int, by_reference: bool
) -> None:
    mint(services, "run", ALL[:4])
    monkeypatch.setattr(mint_result, "MAX_XCOM_ITEMS", most)
    tally = MintTally(ALL[:4])
    for row in rows(services):
        tally.add(row.model_id, row)
    result = tally.result(services.database, "intranet")
    assert (result.reference is not None) == by_reference
    assert (result.items == []) == by_reference
    if by_reference:
        assert result.xcom_payload == result.reference
        assert result.reference is not None
        assert (result.reference["audience"], result.reference["links"]) == ("intranet", 4)


def test_a_failure_breaks_the_promise_and_is_permanent_unless_one_may_pass() -> None:
    assert MintResult().promise_kept
    tally = MintTally(["a", "b"])
    tally.fail("a", PMEModelError("no"))
    only = tally.result(None, "x")  # type: ignore[arg-type]
    assert not only.promise_kept
    assert only.permanent
    tally.fail("b", PMEUnavailableError("later"))
    assert not tally.result(None, "x").permanent  # type: ignore[arg-type]


def test_the_longest_validity_that_was_given_is_kept(caplog: pytest.LogCaptureFixture) -> None:
    tally = MintTally([])
    tally.note_validity(DAY, DAY - timedelta(seconds=5))
    assert tally.result(None, "x").given_validity is None  # type: ignore[arg-type]
    assert not caplog.records
    for minutes in (50, 60, 55):
        tally.note_validity(DAY, timedelta(minutes=minutes))
    assert tally.result(None, "x").given_validity == timedelta(hours=1)  # type: ignore[arg-type]
    assert len(caplog.records) == 1


def test_a_run_that_did_nothing_counts_nothing() -> None:
    result = MintResult()
    assert (result.links, result.minted, result.reused, result.lost, result.items) == (0, 0, 0, 0, [])
