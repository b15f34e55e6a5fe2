"""The audit's events: each with its subject, time, run and reason."""

from __future__ import annotations

from pme_airflow.ledger.database import Database
from pme_airflow.ledger.events import record_events, record_link_events
from pme_airflow.ledger.keys import slot_key
from pme_airflow.ledger.tables import events, links
from tests.support.clocks import FakeClock
from tests.support.ledgers import AUDIENCE, CLIENT, events_of, mint, task


def test_an_event_names_its_subject_run_and_time(ledger: Database, clock: FakeClock) -> None:
    subjects = [
        {"link_id": "a", "model_id": "m", "audience": "x", "client_id": "c", "target": "t", "slot": "s"},
        {"fingerprint": "sha256:1", "target": "t", "reason": "its own"},
        {"slot": "s"},
    ]
    with events_of(ledger) as found, ledger.write(run := task()) as tx:
        record_events(tx, "published", subjects, clock.now(), "shared")
        record_events(tx, "published", [], clock.now(), "nobody")
    assert [event["reason"] for event in found] == ["shared", "its own", "shared"]
    assert {(event["event"], event["run"]) for event in found} == {("published", run.run)}
    assert [event["link_id"] for event in found] == ["a", None, None]
    assert [event["fingerprint"] for event in found] == [None, "sha256:1", None]
    with ledger.read() as tx:
        keys = list(tx.scalars(events.select().with_only_columns(events.c.slot_key).order_by(events.c.seq)))
    assert keys[-3:] == [slot_key("t", "s"), None, None]


def test_events_of_links_are_copied_from_their_rows_in_order(ledger: Database, clock: FakeClock) -> None:
    rows = [mint(ledger, model_id=f"ModelAAAAA{digit}") for digit in "12"]
    mint(ledger, model_id="ModelBBBBBB")
    with events_of(ledger) as found, ledger.write(run := task()) as tx:
        which = links.c.link_id.in_([row.link_id for row in rows])
        record_link_events(tx, "expired", which, clock.now(), "the end of validity has passed")
    names = ("event", "link_id", "model_id", "audience", "fingerprint", "run", "reason")
    assert [tuple(event[name] for name in names) for event in found] == [
        ("expired", row.link_id, row.model_id, AUDIENCE, row.fingerprint, run.run, "the end of validity has passed")
        for row in rows
    ]
    with ledger.read() as tx:
        clients = list(
            tx.scalars(events.select().with_only_columns(events.c.client_id).where(events.c.event == "expired"))
        )
    assert clients == [CLIENT, CLIENT]
