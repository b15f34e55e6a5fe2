from __future__ import annotations

from datetime import timedelta

from pme_airflow.ledger.database import Database
from pme_airflow.ledger.read_model.rules import NightlyRule, Rules
from pme_airflow.ledger.read_model.slots import ALL_SLOTS, find_slots
from pme_airflow.ledger.tables import links
from tests.ledger.read_model.conftest import Show
from tests.support.clocks import FakeClock
from tests.support.ledgers import AUDIENCE, CLIENT, change

HOUR = timedelta(hours=1)


def test_links_of_the_nightly_run_alone_are_due_when_a_night_was_left_out(
    ledger: Database, show: Show, clock: FakeClock
) -> None:
    row = show("page 1")
    assert row.minted_at is not None
    tonight = row.minted_at + 20 * HOUR
    before = Rules({AUDIENCE: NightlyRule(tonight - 24 * HOUR, tonight)})
    after = Rules({AUDIENCE: NightlyRule(tonight, tonight + 24 * HOUR)})
    seen = []
    for hours, rules in ((19, before), (1.5, after), (1, after), (3, after)):
        clock.advance(hours * 3600)
        with ledger.read() as tx:
            (slot,) = find_slots(tx, CLIENT, rules, ALL_SLOTS)
        assert slot.renews_at == tonight
        seen.append((slot.state.value, slot.overdue))
    assert seen == [("live", False), ("due", False), ("due", True), ("dark", False)]


def test_a_link_that_was_minted_when_the_night_began_is_of_that_night(
    ledger: Database, show: Show, clock: FakeClock
) -> None:
    row = show("page 1")
    assert row.minted_at is not None
    rules = Rules({AUDIENCE: NightlyRule(row.minted_at, row.minted_at + 24 * HOUR)})
    with ledger.read() as tx:
        (slot,) = find_slots(tx, CLIENT, rules, ALL_SLOTS)
    assert slot.renews_at == row.minted_at + 24 * HOUR


def test_a_link_whose_mint_has_no_time_counts_from_its_request(ledger: Database, show: Show) -> None:
    row = show("page 1")
    change(ledger, row.link_id, minted_at=None, requested_at=row.valid_until - 10 * HOUR)
    with ledger.read() as tx:
        (slot,) = find_slots(tx, CLIENT, Rules(), ALL_SLOTS)
    assert slot.renews_at == row.valid_until - 5 * HOUR


def test_a_slot_whose_link_is_no_longer_in_the_ledger_is_dark_and_is_due_never(ledger: Database, show: Show) -> None:
    row = show("page 1")
    with ledger.write() as tx:
        tx.execute(links.delete().where(links.c.link_id == row.link_id))
    with ledger.read() as tx:
        (slot,) = find_slots(tx, CLIENT, Rules(), ALL_SLOTS)
    assert (slot.state.value, slot.renews_at, slot.link_state, slot.overdue, slot.at_risk) == (
        "dark", None, None, False, False
    )  # fmt: skip
