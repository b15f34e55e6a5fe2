from __future__ import annotations

from datetime import timedelta

from pme_airflow.ledger.database import Database
from pme_airflow.ledger.read_model.rules import NightlyRule, Rules
from pme_airflow.ledger.read_model.slots import ALL_SLOTS, find_slots
from tests.ledger.read_model.conftest import Show
from tests.support.clocks import FakeClock
from tests.support.ledgers import AUDIENCE, CLIENT

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
