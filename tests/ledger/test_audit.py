"""The ledger as a whole: nothing that may be alive or is shown is dropped, and no page repeats or skips a row."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import insert, select

from pme_airflow.errors import LedgerUnavailableError
from pme_airflow.ledger import audit, flags, mint_runs, publications
from pme_airflow.ledger.database import Database
from pme_airflow.ledger.publications import Shown
from pme_airflow.ledger.states import ALIVE, State
from pme_airflow.ledger.tables import events as event_table
from pme_airflow.ledger.tables import flags as flag_table
from pme_airflow.ledger.tables import links as link_table
from pme_airflow.ledger.tables import runs
from pme_airflow.ledger.transaction import WriteTransaction
from tests.support.clocks import FakeClock
from tests.support.ledgers import AUDIENCE, MODEL, change, insert_link, mint, row_of, task

RUN = task("monday", "purge")
NOW = FakeClock().now()
LONG_AGO = NOW - timedelta(days=90)
BEFORE = NOW - timedelta(days=30)
MOMENT = timedelta(microseconds=1)
OVER = {"state": "revoked", "requested_at": LONG_AGO, "valid_until": LONG_AGO + timedelta(days=1)}


def purge(ledger: Database, before: datetime = BEFORE) -> int:
    return audit.purge(ledger, before)


def listed(ledger: Database, **named: Any) -> list[str]:
    with ledger.read() as tx:
        return [row.link_id for row in audit.list_links(tx, **named)]


def history(ledger: Database, link_id: str) -> list[str]:
    with ledger.read() as tx:
        return [event["event"] for event in audit.history(tx, link_id)]


# --------------------------------------------------------------------- purge


@pytest.mark.parametrize("state", State)
def test_a_purge_never_drops_what_may_be_alive(ledger: Database, state: State) -> None:
    insert_link(ledger, "lnk", NOW, **{**OVER, "state": state})
    assert purge(ledger) == (0 if state in ALIVE else 1)
    assert listed(ledger) == (["lnk"] if state in ALIVE else [])


@pytest.mark.parametrize("values", [{"valid_until": BEFORE}, {"requested_at": BEFORE}], ids=["ended", "requested"])
def test_a_purge_keeps_what_was_not_over_at_the_moment(ledger: Database, values: dict[str, Any]) -> None:
    insert_link(ledger, "lnk", NOW, **{**OVER, **values})
    assert purge(ledger) == 0
    assert purge(ledger, BEFORE + MOMENT) == 1


def test_a_purge_never_drops_a_publication_nor_the_link_it_shows(ledger: Database) -> None:
    row, gone = mint(ledger), mint(ledger)
    with ledger.write(RUN) as tx:
        assert publications.publish(tx, "site", [Shown("page", row.link_id, {})], claimed=False) == {}
    for link in (row, gone):
        change(ledger, link.link_id, **OVER)
    assert purge(ledger) == 1
    assert listed(ledger) == [row.link_id]
    assert history(ledger, row.link_id) == ["requested", "made", "published"]
    assert history(ledger, gone.link_id) == []
    with ledger.read() as tx:
        assert [found["slot"] for found in audit.shown_slots(tx, row.link_id)] == ["page"]
        assert audit.shown_slots(tx, gone.link_id) == []


def test_a_purge_drops_more_than_one_page(ledger: Database) -> None:
    for number in range(501):
        insert_link(ledger, f"lnk_{number}", NOW, **OVER)
    with ledger.read() as tx:
        assert (audit.count_ended(tx, BEFORE), audit.count_ended(tx, LONG_AGO)) == (501, 0)
    assert purge(ledger) == 501
    assert listed(ledger) == []


def test_a_purge_is_no_transaction_that_tasks_wait_for(ledger: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(501):
        insert_link(ledger, f"lnk_{number}", NOW, **OVER)
    first = audit.purge_part

    def second(tx: WriteTransaction, before: datetime) -> int:
        raise LedgerUnavailableError("went away")

    def purge_part(tx: WriteTransaction, before: datetime) -> int:
        monkeypatch.setattr(audit, "purge_part", second)
        return first(tx, before)

    monkeypatch.setattr(audit, "purge_part", purge_part)
    with pytest.raises(LedgerUnavailableError):
        purge(ledger)
    assert len(listed(ledger)) == 1


def test_a_purge_keeps_tombstones_and_events_of_no_link(ledger: Database) -> None:
    with ledger.write(RUN) as tx:
        flags.flag(tx, "a leak", fingerprints=["sha256:a"])
    insert_link(ledger, "lnk", NOW, **OVER)
    assert purge(ledger) == 1
    with ledger.read() as tx:
        assert tx.scalars(select(flag_table.c.fingerprint)).all() == ["sha256:a"]
        assert [event["event"] for event in audit.export_events(tx)] == ["tombstone"]


def test_a_purge_drops_runs_a_day_after_what_they_minted(ledger: Database, clock: FakeClock) -> None:
    clock.advance(-86400)
    with ledger.write(task("old")) as tx:
        mint_runs.begin(tx)
    clock.advance(86400)
    purge(ledger, NOW)
    with ledger.read() as tx:
        assert len(tx.scalars(select(runs.c.run)).all()) == 1
    purge(ledger, NOW + MOMENT)
    with ledger.read() as tx:
        assert tx.scalars(select(runs.c.run)).all() == []


# --------------------------------------------------------------------- reading


def test_links_are_listed_newest_first_each_once_however_many_pages(ledger: Database) -> None:
    names = [f"lnk_{number}" for number in range(1001)]
    with ledger.write(RUN) as tx:
        columns = {"client_id": "c", "model_id": MODEL, "audience": AUDIENCE, "state": "live", "run": "r",
                   "run_uid": "u", "valid_for": 1, "requested_at": NOW, "valid_until": NOW, "revoke_attempts": 0,
                   "irrevocable": False}  # fmt: skip
        tx.execute(insert(link_table), [{**columns, "link_id": name} for name in names])
    newest = names[::-1]
    assert listed(ledger) == newest
    for limit in (0, 1, 1000, 1001, 2000):
        assert listed(ledger, limit=limit) == newest[:limit]


def test_links_are_listed_by_state_model_and_audience(ledger: Database) -> None:
    insert_link(ledger, "a", NOW, state="live", model_id="A", audience="x")
    insert_link(ledger, "b", NOW, state="revoked", model_id="A", audience="y")
    insert_link(ledger, "c", NOW, state="live", model_id="B", audience="y")
    assert listed(ledger, states=["live"]) == ["c", "a"]
    assert listed(ledger, models=["A"]) == ["b", "a"]
    assert listed(ledger, audiences=["y"]) == ["c", "b"]
    assert listed(ledger, states=["live"], models=["A", "B"], audiences=["y"]) == ["c"]
    insert_link(ledger, "d", NOW, state="live", viewer="sha256:v")
    assert listed(ledger, viewers=["sha256:v"]) == ["d"]


def test_events_are_exported_oldest_first_each_once_however_many_pages(ledger: Database) -> None:
    with ledger.write(RUN) as tx:
        event = {"at": NOW, "event": "published", "run": "r"}
        tx.execute(insert(event_table), [{**event, "reason": str(number)} for number in range(1001)])
    with ledger.read() as tx:
        assert [found["reason"] for found in audit.export_events(tx)] == [str(number) for number in range(1001)]


def test_a_links_history_is_its_own_and_in_order(ledger: Database) -> None:
    row = mint(ledger)
    mint(ledger)
    with ledger.read() as tx:
        found = audit.history(tx, row.link_id)
    assert [event["event"] for event in found] == ["requested", "made"]
    assert found[1] == {
        "event": "made", "link_id": row.link_id, "model_id": MODEL, "audience": AUDIENCE,
        "fingerprint": row.fingerprint, "run": row.run, "reason": "the API answered with a token",
        "at": "2026-05-01T12:00:00Z", "target": None, "slot": None,
    }  # fmt: skip


def test_a_link_as_json_never_holds_its_sealed_text(ledger: Database) -> None:
    found = audit.as_json(mint(ledger))
    assert "pme-sealed" not in json.dumps(found)
    assert (found["state"], found["requested_at"], found["retire_at"]) == ("live", "2026-05-01T12:00:00Z", None)


# ------------------------------------------------------------------- resealing


def test_only_live_links_with_a_text_are_sealed_anew_page_by_page(ledger: Database) -> None:
    for name, values in (("a", {}), ("b", {"sealed": None}), ("c", {"state": "expired"}), ("d", {})):
        insert_link(ledger, name, NOW, **{"state": "live", "sealed": f"text {name}", **values})
    with ledger.read() as tx:
        (first,) = audit.sealed_rows(tx, 0, 1)
        rest = audit.sealed_rows(tx, first.seq)
    assert (first.link_id, [row.link_id for row in rest]) == ("a", ["d"])


def test_a_text_that_was_erased_meanwhile_is_not_brought_back(ledger: Database, clock: FakeClock) -> None:
    kept, erased = mint(ledger), mint(ledger)
    change(ledger, erased.link_id, sealed=None)
    with ledger.write(RUN) as tx:
        for row in (kept, erased):
            audit.replace_sealed(tx, row, "new text", clock.now())
    assert row_of(ledger, kept.link_id).sealed == "new text"
    assert row_of(ledger, erased.link_id).sealed is None
    assert history(ledger, kept.link_id)[-1] == "resealed"
    assert "resealed" not in history(ledger, erased.link_id)


def test_mints_under_way_are_counted_for_their_client(ledger: Database) -> None:
    for name, values in (("a", {}), ("b", {}), ("made", {"state": "live"}), ("theirs", {"client_id": "client-b"})):
        insert_link(ledger, name, NOW, **values)
    with ledger.read() as tx:
        assert [audit.count_in_flight(tx, client) for client in ("client-a", "client-b", "nobody")] == [2, 1, 0]
