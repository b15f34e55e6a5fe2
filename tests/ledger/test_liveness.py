"""Links that are asked about: which are drawn, and what is noted of them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from pme_airflow.ledger.bulk import insert_rows
from pme_airflow.ledger.database import Database
from pme_airflow.ledger.links import LinkRow
from pme_airflow.ledger.liveness import DEAD, mints_of_last_day, note_alive, note_dead, reusable, unasked
from pme_airflow.ledger.tables import links
from tests.support.clocks import FakeClock
from tests.support.ledgers import AUDIENCE, CLIENT, OTHER, change, events_of, insert_link, mint, row_of, task

OUTDATED: dict[str, dict[str, Any]] = {
    "another client's": {"client_id": OTHER},
    "another audience's": {"audience": "portal"},
    "revoked": {"state": "revoked"},
    "flagged": {"flagged_at": "now"},
    "retiring": {"retire_at": "now"},
    "erased": {"sealed": None},
}


def drawn(ledger: Database, count: int = 9) -> list[str]:
    with ledger.read() as tx:
        return sorted(row.link_id for row in unasked(tx, CLIENT, AUDIENCE, count))


def in_use(ledger: Database) -> list[str]:
    with ledger.read() as tx:
        return sorted(row.link_id for row in reusable(tx, CLIENT, AUDIENCE))


def found_dead(ledger: Database, *rows: LinkRow) -> list[str]:
    with ledger.write(task()) as tx:
        return [row.link_id for row in note_dead(tx, rows)]


@pytest.mark.parametrize("kind", OUTDATED)
def test_a_link_that_is_not_reused_is_not_asked_about(ledger: Database, clock: FakeClock, kind: str) -> None:
    kept, other = mint(ledger), mint(ledger, model_id="ModelBBBBBB")
    values = {name: clock.now() if value == "now" else value for name, value in OUTDATED[kind].items()}
    change(ledger, other.link_id, **values)
    assert drawn(ledger) == in_use(ledger) == [kept.link_id]


def test_a_sample_has_the_size_that_was_asked_for(ledger: Database) -> None:
    rows = {mint(ledger, model_id=f"ModelAAAAA{digit}").link_id for digit in "123"}
    assert len(drawn(ledger, 2)) == 2
    assert set(drawn(ledger, 2)) < rows
    assert set(drawn(ledger, 3)) == rows
    assert drawn(ledger, 0) == []


def test_a_link_that_works_is_asked_about_once_and_stays_in_use(ledger: Database) -> None:
    asked, other = mint(ledger), mint(ledger, model_id="ModelBBBBBB")
    with ledger.write(task()) as tx:
        note_alive(tx, [asked])
    assert drawn(ledger) == [other.link_id]
    assert in_use(ledger) == sorted([asked.link_id, other.link_id])


def test_a_dead_link_is_retired_at_once_and_named_once(ledger: Database, clock: FakeClock) -> None:
    dead, other = mint(ledger), mint(ledger, model_id="ModelBBBBBB")
    clock.advance(60)
    with events_of(ledger) as events:
        assert found_dead(ledger, dead) == [dead.link_id]
        assert found_dead(ledger, dead) == []
    assert [(event["event"], event["link_id"], event["reason"]) for event in events] == [
        ("found_dead", dead.link_id, "the API accepts its token no more")
    ]
    assert (row_of(ledger, dead.link_id).retire_at, row_of(ledger, other.link_id).retire_at) == (clock.now(), None)
    assert row_of(ledger, dead.link_id).state.value == "live"
    assert in_use(ledger) == [other.link_id]
    with ledger.write(task()) as tx:
        note_alive(tx, [dead, other])
    assert [row_of(ledger, row.link_id).verified for row in (dead, other)] == [DEAD, "alive"]


def test_a_link_that_was_revoked_meanwhile_was_not_found_dead(ledger: Database) -> None:
    row = mint(ledger)
    change(ledger, row.link_id, state="revoked")
    assert found_dead(ledger, row) == []
    assert row_of(ledger, row.link_id).retire_at is None


def test_mints_of_the_last_day_are_those_of_an_audience_in_24_hours(ledger: Database, clock: FakeClock) -> None:
    now = clock.now()
    for name, age, values in (
        ("now", 0, {}), ("late", 86_399, {}), ("a day ago", 86_400, {}), ("client", 0, {"client_id": OTHER}),
        ("audience", 0, {"audience": "portal"}),
    ):  # fmt: skip
        insert_link(ledger, name, now, requested_at=now - timedelta(seconds=age), **values)
    with ledger.read() as tx:
        assert mints_of_last_day(tx, CLIENT, AUDIENCE) == 2
        assert mints_of_last_day(tx, CLIENT, "nobody") == 0


def test_a_sample_is_drawn_among_the_newest_thousand(ledger: Database, clock: FakeClock) -> None:
    now = clock.now()
    same = {"client_id": CLIENT, "model_id": "m", "audience": AUDIENCE, "state": "live", "run": "r", "run_uid": "u",
            "valid_for": 60, "requested_at": now, "valid_until": now, "revoke_attempts": 0, "irrevocable": False,
            "sealed": "text"}  # fmt: skip
    names = [f"lnk_{number}" for number in range(1001)]
    with ledger.write() as tx:
        insert_rows(tx, links, {"link_id": names}, same)
    assert set(drawn(ledger, 2000)) == set(names[1:])
    assert len(in_use(ledger)) == 1001
