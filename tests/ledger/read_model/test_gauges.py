"""Monitoring's figures count the slots of each audience and target, and the links that are alive."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from pme_airflow.ledger import slot_claims
from pme_airflow.ledger.database import Database
from pme_airflow.ledger.read_model.at_risk import slots_at_risk
from pme_airflow.ledger.read_model.gauges import LinkGauges, link_gauges, slot_gauges
from pme_airflow.ledger.read_model.rules import Rules
from pme_airflow.ledger.states import State
from pme_airflow.ledger.tables import publications
from tests.ledger.read_model.conftest import TARGET, Show, show_in
from tests.support.clocks import FakeClock
from tests.support.ledgers import AUDIENCE, CLIENT, OTHER, change, insert_link, ledger_at

HOUR = timedelta(hours=1)


def test_slots_are_counted_by_what_is_the_case_with_them(ledger: Database, show: Show, clock: FakeClock) -> None:
    now = clock.now()
    live, due, late, dark, flagged, elsewhere = (
        show(f"page {number}", f"Model{number:06d}", target=target)
        for number, target in enumerate([TARGET] * 5 + ["slack:#tours"])
    )
    change(ledger, due.link_id, minted_at=now - 12.5 * HOUR, valid_until=now + 11.5 * HOUR)
    change(ledger, late.link_id, minted_at=now - 14 * HOUR, valid_until=now + 10 * HOUR)
    change(ledger, dark.link_id, minted_at=now - 24 * HOUR, valid_until=now)
    change(ledger, flagged.link_id, flagged_at=now - HOUR, irrevocable=True)
    with ledger.read() as tx:
        slack, web = slot_gauges(tx, CLIENT, Rules())
        assert slot_gauges(tx, OTHER, Rules()) == []
        assert slot_gauges(tx, CLIENT, Rules(), TARGET) == [web]
    assert (web.audience, web.target, web.slots) == (AUDIENCE, TARGET, 5)
    assert (web.dark, web.due, web.overdue, web.unaccounted, web.at_risk, web.irrevocable) == (1, 2, 1, 0, 2, 1)
    assert (web.first_end, web.oldest_flag) == (now + 10 * HOUR, now - HOUR)
    assert web.first_renewal == now - 2 * HOUR
    assert (slack.slots, slack.at_risk, slack.first_end) == (1, 0, elsewhere.valid_until)
    assert slack.first_at_risk == slack.first_renewal + timedelta(minutes=65)  # type: ignore[operator]
    assert live.valid_until == elsewhere.valid_until


def test_links_are_counted_whether_or_not_a_slot_shows_them(ledger: Database, show: Show, clock: FakeClock) -> None:
    now = clock.now()
    show("page 1")
    for number, values in enumerate(
        [
            {"state": State.LIVE, "flagged_at": now - 2 * HOUR},
            {"state": State.LIVE, "flagged_at": now - HOUR, "irrevocable": True},
            {"state": State.UNACCOUNTED},
            {"state": State.UNACCOUNTED, "valid_until": now},
            {"state": State.REVOKED, "flagged_at": now - 9 * HOUR},
            {"state": State.UNACCOUNTED, "irrevocable": True, "audience": "a portal"},
        ]
    ):
        insert_link(ledger, f"lnk_{number}", now, **values)
    with ledger.read() as tx:
        assert link_gauges(tx, CLIENT) == [
            LinkGauges("a portal", 0, 1, 0, None), LinkGauges(AUDIENCE, 2, 1, 1, now - 2 * HOUR)
        ]  # fmt: skip
        assert link_gauges(tx, OTHER) == []


def test_what_a_dark_slot_showed_is_neither_flagged_nor_irrevocable_any_more(
    ledger: Database, show: Show, clock: FakeClock
) -> None:
    dark = show("page 1")
    show("page 2", "ModelBBBBBB")
    change(ledger, dark.link_id, flagged_at=clock.now(), irrevocable=True, valid_until=clock.now())
    with ledger.write() as tx:
        slot_claims.set_uncertain(tx, TARGET, ["page 2"])
    with ledger.read() as tx:
        (found,) = slot_gauges(tx, CLIENT, Rules())
    assert (found.dark, found.unaccounted, found.irrevocable, found.oldest_flag) == (1, 1, 0, None)


def test_figures_are_in_the_order_of_audiences_and_targets(ledger: Database, show: Show) -> None:
    for target, audience in (("b", "y"), ("a", "y"), ("c", "x")):
        row = show(f"page {target}", target=target)
        with ledger.write() as tx:
            tx.execute(publications.update().where(publications.c.link_id == row.link_id).values(audience=audience))
    with ledger.read() as tx:
        found = [(gauges.audience, gauges.target) for gauges in slot_gauges(tx, CLIENT, Rules())]
    assert found == [("x", "c"), ("y", "a"), ("y", "b")]


def test_every_database_counts_alike(ledger_address: str) -> None:
    database = ledger_at(ledger_address)
    database.prepare()
    now = datetime.now(timezone.utc).replace(microsecond=0)
    row = show_in(database, "page 1")
    change(database, row.link_id, minted_at=now - 14 * HOUR, valid_until=now + 10 * HOUR)
    with database.read() as tx:
        (found,) = slot_gauges(tx, CLIENT, Rules())
        assert link_gauges(tx, CLIENT) == [LinkGauges(AUDIENCE, 0, 0, 0, None)]
        assert len(slots_at_risk(tx, CLIENT, Rules(), "a run")) == 1
    assert (found.slots, found.due, found.overdue, found.at_risk) == (1, 1, 1, 1)
    assert found.first_at_risk == now - 2 * HOUR + timedelta(minutes=65)
    database.engine.dispose()
