"""What a sweep came to: counts, exposures, and every flagged link that is still live."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest

from pme_airflow.ledger.exposed import FlaggedAlive
from pme_airflow.ledger.links import LinkRow
from pme_airflow.lifecycle import sweep_result
from pme_airflow.lifecycle.services import Services
from pme_airflow.lifecycle.sweep_result import SweepResult, summary
from tests.conftest import MODELS
from tests.support.rooms import mint, rows

ALL = list(MODELS)[:3]
NOW = datetime(2026, 5, 1, 12, tzinfo=timezone.utc)
OWN, OTHER = FlaggedAlive("own", 3, 1, NOW), FlaggedAlive("other", 2, 0, NOW + timedelta(hours=1))


@pytest.fixture
def links(services: Services) -> list[LinkRow]:
    """Three links: two flagged ten seconds and a minute ago, one replaced."""
    mint(services, "run", ALL)
    first, second, third = rows(services)
    return [
        replace(first, flagged_at=NOW - timedelta(seconds=10)),
        replace(second, flagged_at=NOW - timedelta(seconds=60), audience="brokers"),
        replace(third, audience="public"),
    ]


def test_revocations_are_counted_with_their_exposure(links: list[LinkRow]) -> None:
    result = SweepResult("own")
    result.note_revoked(links, NOW)
    assert result.revoked == links
    assert result.exposure_seconds == {links[0].fingerprint: 10.0, links[1].fingerprint: 60.0}
    assert result.longest_exposure == 60.0
    assert result.audiences == ["brokers", "intranet"]
    assert result.promise_kept


def test_a_flag_in_the_future_is_no_exposure(links: list[LinkRow]) -> None:
    result = SweepResult("own")
    result.note_revoked([replace(links[0], flagged_at=NOW + timedelta(seconds=5))], NOW)
    assert list(result.exposure_seconds.values()) == [0.0]


def test_retirements_are_counted_with_their_delay(links: list[LinkRow]) -> None:
    result = SweepResult("own")
    late, early, leaked = timedelta(seconds=-4), timedelta(seconds=1), replace(links[0], retire_at=NOW)
    result.note_revoked([replace(links[2], retire_at=NOW + by) for by in (late, early)] + [links[2], leaked], NOW)
    assert result.retirement_delays == [4.0, 0.0]


def test_only_so_many_exposures_and_reasons_are_kept(links: list[LinkRow], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep_result, "MAX_ENTRIES", 1)
    result = SweepResult("own")
    result.note_revoked(links[:2], NOW)
    assert len(result.exposure_seconds) == 1
    assert result.longest_exposure == 60.0
    for row in links:
        result.note_reason(row, "first")
    result.note_reason(links[0], "second")
    assert result.reasons == {links[0].link_id: "second"}


def test_reasons_are_of_flagged_links_alone(links: list[LinkRow]) -> None:
    result = SweepResult("own")
    for row in links:
        result.note_reason(row, "false")
    assert set(result.reasons) == {links[0].link_id, links[1].link_id}


def test_flagged_links_that_live_break_the_promise_and_are_named_by_client() -> None:
    result = SweepResult("own", alive=(OTHER, OWN), reasons={"lnk_1": "the API answered false"})
    assert not result.promise_kept
    assert (result.alive_count, result.pending) == (5, 2)
    assert result.other_clients == (OTHER,)
    own, other, reason = result.lines()
    assert own.startswith("NOT revoked: 3 flagged links of this connection's client are still live, 1 of them")
    assert "2026-05-01 12:00 UTC" in own
    assert "2 flagged links of client other" in other
    assert "2026-05-01 13:00 UTC" in other
    assert reason == "Link lnk_1: the API answered false"


@pytest.mark.parametrize("name", ["irrevocable", "unopened"])
def test_what_cannot_be_revoked_breaks_the_promise(links: list[LinkRow], name: str) -> None:
    result = SweepResult("own")
    getattr(result, name).append(links[2])
    assert not result.promise_kept


def test_a_clean_sweep_has_nothing_to_say() -> None:
    assert SweepResult("own").promise_kept
    assert SweepResult("own").lines() == []
    assert SweepResult("own").pending == 0


def test_the_json_has_no_links(links: list[LinkRow]) -> None:
    result = SweepResult("own", alive=(OWN, OTHER), expired=4, tombstones=["sha256:x"])
    result.note_revoked(links[:1], NOW)
    result.irrevocable.append(links[1])
    result.unopened.append(links[2])
    shown = json.loads(json.dumps(summary(result)))
    (revoked,) = shown["revoked"]
    assert revoked == {
        "link_id": links[0].link_id, "model_id": links[0].model_id, "models": [links[0].model_id], "audience": "intranet",
        "fingerprint": links[0].fingerprint, "flagged_at": (NOW - timedelta(seconds=10)).isoformat(), "exposure": 10.0,
    }  # fmt: skip
    assert (shown["revoked_count"], shown["expired"], shown["pending"], shown["alive"]) == (1, 4, 2, 5)
    assert (shown["irrevocable"], shown["unopened"]) == ([links[1].link_id], [links[2].link_id])
    assert (shown["tombstones_hit"], shown["other_clients"], shown["promise_kept"]) == (
        ["sha256:x"],
        {"other": 2},
        False,
    )
    assert "pme-sealed" not in json.dumps(shown)


def test_twenty_reasons_are_named() -> None:
    result = SweepResult("own", reasons={f"lnk_{number}": "the API answered false" for number in range(21)})
    assert len(result.lines()) == 20


def test_a_reason_is_found_for_a_link_of_either_kind(links: list[LinkRow]) -> None:
    result = SweepResult("own")
    result.note_reason(links[0], "of a leak")
    result.note_reason(links[2], "of a replaced one")
    assert [result.reason_of(row) for row in links] == ["of a leak", "", "of a replaced one"]
    assert result.retirement_reasons == {links[2].link_id: "of a replaced one"}
