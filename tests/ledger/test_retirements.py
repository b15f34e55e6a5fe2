"""A link is retired once, with its own grace, and never while a slot shows it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from pme_airflow.ledger import links, publications, retirements
from pme_airflow.ledger.database import Database
from pme_airflow.ledger.publications import Shown
from pme_airflow.ledger.retirements import Retirement
from pme_airflow.ledger.states import State
from tests.support.clocks import FakeClock
from tests.support.ledgers import change, events_of, insert_link, mint, row_of, task

RUN = task("monday", "publish")
NOW = FakeClock().now()


def retire(ledger: Database, which: dict[str, Retirement]) -> None:
    with ledger.write(RUN) as tx:
        retirements.retire_unshown(tx, links.lock(tx, which), which, NOW)


def test_each_link_has_the_grace_and_the_reason_of_its_own(ledger: Database) -> None:
    rows = [mint(ledger) for _ in range(3)]
    graces = [timedelta(minutes=5), timedelta(0), timedelta(minutes=5)]
    which = {row.link_id: (grace, f"why {row.seq}") for row, grace in zip(rows, graces, strict=True)}
    with events_of(ledger) as events:
        retire(ledger, {**which, "none": (timedelta(0), "unknown")})
    assert [row_of(ledger, row.link_id).retire_at for row in rows] == [NOW + grace for grace in graces]
    assert [(event["event"], event["link_id"], event["reason"]) for event in events] == [
        ("retiring", row.link_id, f"why {row.seq}") for row in rows
    ]


def test_a_link_that_a_slot_shows_is_not_retired(ledger: Database) -> None:
    shown, unshown = mint(ledger), mint(ledger)
    with ledger.write(RUN) as tx:
        publications.publish(tx, "site", [Shown("page", shown.link_id, {})], claimed=False)
    retire(ledger, {row.link_id: (timedelta(0), "why") for row in (shown, unshown)})
    assert row_of(ledger, shown.link_id).retire_at is None
    assert row_of(ledger, unshown.link_id).retire_at == NOW


@pytest.mark.parametrize("values", [{"retire_at": NOW + timedelta(hours=1)}, *({"state": state} for state in State
                                    if state is not State.LIVE)])  # fmt: skip
def test_a_link_that_is_retired_or_not_live_stays_as_it_is(ledger: Database, values: dict[str, Any]) -> None:
    row = mint(ledger)
    change(ledger, row.link_id, **values)
    before = row_of(ledger, row.link_id)
    with events_of(ledger) as events:
        retire(ledger, {row.link_id: (timedelta(0), "why")})
    assert (row_of(ledger, row.link_id), events) == (before, [])


def test_more_links_than_one_statement_takes_are_retired(ledger: Database) -> None:
    names = [f"lnk_{number}" for number in range(501)]
    for name in names:
        insert_link(ledger, name, NOW, state="live")
    retire(ledger, {name: (timedelta(0), "why") for name in names})
    with ledger.read() as tx:
        assert {row.retire_at for row in links.by_ids(tx, names).values()} == {NOW}
