"""Rows of links: which is the newest that can be used, what is locked, and that a state changes by an event alone."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import insert

from pme_airflow.errors import LedgerStateError
from pme_airflow.ledger import links
from pme_airflow.ledger.database import Database
from pme_airflow.ledger.mint_requests import Demand
from pme_airflow.ledger.states import Event, State
from pme_airflow.ledger.tables import links as link_table
from tests.support.clocks import FakeClock
from tests.support.ledgers import AUDIENCE, CLIENT, DAY, DEMAND, MODEL, OTHER, change, events_of, mint, row_of, task

RUN = task("monday")
NOW = FakeClock().now()
HOUR = timedelta(hours=1)


def newest(ledger: Database, *models: str) -> dict[str, str]:
    with ledger.read() as tx:
        found = links.newest_live_of(tx, CLIENT, AUDIENCE, models)
        assert all(links.newest_live(tx, CLIENT, AUDIENCE, model_id) == row for model_id, row in found.items())
    return {model_id: row.link_id for model_id, row in found.items()}


@pytest.mark.parametrize(
    ("given", "share"),
    [(HOUR, 1), (2 * HOUR, 1), (0.95 * HOUR, 1), (0.94 * HOUR, 0.94), (0.5 * HOUR, 0.5), (-HOUR, 0)],
)
def test_a_validity_that_is_a_little_short_was_given_whole(ledger: Database, given: timedelta, share: float) -> None:
    assert links.given_share(HOUR, given) == pytest.approx(share)
    row = replace(mint(ledger), valid_for=3600, minted_at=NOW, valid_until=NOW + given)
    assert row.given_share == pytest.approx(share)
    assert replace(row, minted_at=None).given_share == 1


USELESS: dict[str, dict[str, Any]] = {
    "flagged": {"flagged_at": NOW},
    "retired": {"retire_at": NOW + timedelta(days=1)},
    "without its text": {"sealed": None},
    "revoked": {"state": State.REVOKED},
    "minting": {"state": State.MINTING},
}


@pytest.mark.parametrize("values", USELESS.values(), ids=USELESS)
def test_a_link_cannot_be_used_that_is(ledger: Database, values: dict[str, Any]) -> None:
    first, second = mint(ledger), mint(ledger)
    assert second.usable
    assert newest(ledger, MODEL) == {MODEL: second.link_id}
    change(ledger, second.link_id, **values)
    assert not row_of(ledger, second.link_id).usable
    assert newest(ledger, MODEL) == {MODEL: first.link_id}


def test_the_newest_of_each_model_is_the_clients_and_audiences_own(ledger: Database) -> None:
    own, other_model = mint(ledger), mint(ledger, model_id="ModelBBBBBB")
    mint(ledger, Demand(OTHER, AUDIENCE, DAY))
    mint(ledger, Demand(CLIENT, "portal", DAY))
    assert newest(ledger, MODEL, "ModelBBBBBB", "ModelCCCCCC") == {
        MODEL: own.link_id, "ModelBBBBBB": other_model.link_id,
    }  # fmt: skip


def test_no_sealed_text_is_printed_and_an_item_is_json(ledger: Database) -> None:
    row = mint(ledger)
    assert row.sealed is not None
    assert row.sealed not in repr(row)
    item = links.item_of(row)
    assert json.loads(json.dumps(item)) == {
        "link_id": row.link_id, "model_id": MODEL, "audience": AUDIENCE, "fingerprint": row.fingerprint,
        "valid_until": "2026-05-02T12:00:00Z", "application": "showcase", "link": row.sealed,
    }  # fmt: skip


@pytest.mark.parametrize(("size", "sizes"), [(0, []), (1, [1]), (500, [500]), (501, [500, 1]), (1000, [500, 500])])
def test_keys_are_split_into_chunks_of_500(size: int, sizes: list[int]) -> None:
    chunks = list(links.chunked(range(size)))
    assert [len(chunk) for chunk in chunks] == sizes
    assert [key for chunk in chunks for key in chunk] == list(range(size))


@pytest.mark.parametrize("size", [0, 1, 500, 501, 1001])
def test_any_number_of_links_is_locked_and_read_the_oldest_first(ledger: Database, size: int) -> None:
    names = [f"lnk_{number}" for number in range(size, 0, -1)]
    row = {"client_id": "c", "model_id": MODEL, "audience": AUDIENCE, "state": "live", "run": "r", "run_uid": "u",
           "valid_for": 1, "requested_at": NOW, "valid_until": NOW, "revoke_attempts": 0, "irrevocable": False}  # fmt: skip
    with ledger.write(RUN) as tx:
        for name in names:
            tx.execute(insert(link_table), {**row, "link_id": name})
        assert list(links.lock(tx, [*sorted(names), "none", *names])) == names
        assert links.by_ids(tx, [*names, "none"]).keys() == set(names)
    with ledger.read() as tx:
        assert links.by_id(tx, "none") is None


def test_an_event_that_may_not_happen_changes_nothing(ledger: Database) -> None:
    revoked, live = mint(ledger), mint(ledger)
    change(ledger, revoked.link_id, state=State.REVOKED)

    def revoke_both() -> None:
        with ledger.write(RUN) as tx:
            rows = links.lock(tx, [live.link_id, revoked.link_id]).values()
            links.advance_all(tx, [(row, {"sealed": None}) for row in rows], Event.REVOKED, NOW, "why")

    with events_of(ledger) as events, pytest.raises(LedgerStateError):
        revoke_both()
    assert row_of(ledger, live.link_id) == live
    assert events == []


def test_several_links_change_each_with_its_own_values(ledger: Database) -> None:
    rows = [mint(ledger), mint(ledger)]
    bystander = mint(ledger)
    with events_of(ledger) as events, ledger.write(RUN) as tx:
        changes = [(row, {"verified": row.link_id, "sealed": None}) for row in rows]
        links.advance_all(tx, changes, Event.REVOKED, NOW, "why")
        links.advance_all(tx, [], Event.REVOKED, NOW, "why")
    for row in rows:
        assert row_of(ledger, row.link_id) == replace(row, state=State.REVOKED, verified=row.link_id, sealed=None)
    assert row_of(ledger, bystander.link_id) == bystander
    assert [(event["event"], event["link_id"], event["fingerprint"], event["run"]) for event in events] == [
        ("revoked", row.link_id, row.fingerprint, RUN.run) for row in rows
    ]


def test_a_link_is_claimed_under_its_demands_key(ledger: Database) -> None:
    assert mint(ledger).claim_key == DEMAND.claim_key(MODEL)
