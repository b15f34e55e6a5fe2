"""A warning is part of the audit, with the slot it is about."""

from __future__ import annotations

from pme_airflow.ledger.database import Database
from pme_airflow.ledger.read_model.at_risk import slots_at_risk
from pme_airflow.ledger.read_model.rules import Rules
from pme_airflow.ledger.slot_warnings import record_warnings
from tests.ledger.read_model.conftest import TARGET, show_in
from tests.support.clocks import FakeClock
from tests.support.ledgers import CLIENT, events_of, task


def test_a_warning_is_recorded_with_its_slot_and_link_and_not_twice(ledger: Database, clock: FakeClock) -> None:
    row = show_in(ledger, "page 1")
    clock.advance(14 * 3600)
    context = task("noon", "watch")
    with events_of(ledger) as events:
        for _ in range(2):
            with ledger.write(context) as tx:
                record_warnings(tx, CLIENT, slots_at_risk(tx, CLIENT, Rules(), context.run))
    (event,) = events
    assert (event["event"], event["link_id"], event["run"]) == ("at_risk", row.link_id, context.run)
    assert (event["target"], event["slot"]) == (TARGET, "page 1")
