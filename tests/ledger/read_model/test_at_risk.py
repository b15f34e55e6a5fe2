"""A slot is at risk when nobody renewed its link, once for each slot and link."""

from __future__ import annotations

from datetime import timedelta

import pytest

from pme_airflow.ledger.database import Database
from pme_airflow.ledger.mint_requests import Demand
from pme_airflow.ledger.read_model.at_risk import SlotAtRisk, slots_at_risk
from pme_airflow.ledger.read_model.rules import NightlyRule, RenewalRule, Rules
from pme_airflow.ledger.slot_warnings import record_warnings
from pme_airflow.ledger.states import State
from tests.ledger.read_model.conftest import Show
from tests.support.clocks import FakeClock
from tests.support.ledgers import AUDIENCE, CLIENT, DAY, DEMAND, MODEL, OTHER, change, mint, task

MINUTE = timedelta(minutes=1)


def look(ledger: Database, rules: Rules | None = None, run: str = "now") -> list[SlotAtRisk]:
    with ledger.read() as tx:
        return slots_at_risk(tx, CLIENT, rules or Rules(), run)


def warned_by(ledger: Database, run: str) -> int:
    context = task(run, "watch")
    with ledger.write(context) as tx:
        found = slots_at_risk(tx, CLIENT, Rules(), context.run)
        record_warnings(tx, CLIENT, found)
    return len(found)


@pytest.mark.parametrize(
    ("life", "rule", "minutes"),
    [
        (24 * 60, RenewalRule(), 720 + 65),
        (24 * 60, RenewalRule(0.25, 15 * MINUTE, 6 * MINUTE), 1080 + 15),
        (10, RenewalRule(0.5, 8.4 * MINUTE, 2.6 * MINUTE), 5 + 3.8),  # half of the 2.4 min that the plan leaves
        (60, RenewalRule(), 30 + 31),  # the plan leaves a gap of a minute
        (60, RenewalRule(0.5, 10 * MINUTE, 30 * MINUTE), 30 + 30),  # it leaves nothing, and renews as late
    ],
)
def test_a_slot_is_at_risk_when_its_link_is_nearer_to_its_end_than_planned(
    ledger: Database, show: Show, clock: FakeClock, life: int, rule: RenewalRule, minutes: float
) -> None:
    row = show("page 1")
    change(ledger, row.link_id, valid_until=clock.now() + life * MINUTE)
    rules = Rules({AUDIENCE: rule})
    clock.advance(minutes * 60 - 1)
    assert look(ledger, rules) == []
    clock.advance(2)
    (slot,) = look(ledger, rules)
    assert (slot.slot, slot.link_id, slot.newer_link, slot.recorded) == ("page 1", row.link_id, False, False)


def test_a_slot_of_the_nightly_run_alone_is_at_risk_an_hour_after_it(
    ledger: Database, show: Show, clock: FakeClock
) -> None:
    show("page 1")
    night = clock.now() + 20 * 60 * MINUTE
    rules = Rules({AUDIENCE: NightlyRule(night, night + 24 * 60 * MINUTE)})
    clock.advance(21 * 3600 - 1)
    assert look(ledger, rules) == []
    clock.advance(1)
    assert len(look(ledger, rules)) == 1


def test_a_slot_is_warned_of_once_for_each_link_and_again_by_the_same_run(
    ledger: Database, show: Show, clock: FakeClock
) -> None:
    show("page 1")
    clock.advance(14 * 3600)
    assert [warned_by(ledger, run) for run in ("first", "first", "second")] == [1, 1, 0]
    show("page 2", "ModelBBBBBB")
    show("page 1")
    assert warned_by(ledger, "third") == 0
    clock.advance(14 * 3600)
    assert warned_by(ledger, "fourth") == 2


@pytest.mark.parametrize(
    "ended",
    [{"flagged_at"}, {"retire_at"}, {"state"}],
)
def test_a_link_that_is_meant_to_end_is_no_risk(
    ledger: Database, show: Show, clock: FakeClock, ended: set[str]
) -> None:
    row = show("page 1")
    clock.advance(14 * 3600)
    values = {"flagged_at": clock.now(), "retire_at": clock.now(), "state": State.REVOKED}
    change(ledger, row.link_id, **{name: values[name] for name in ended})
    assert look(ledger) == []


def test_a_slot_whose_link_ended_by_itself_is_warned_of_and_a_newer_link_is_noticed(
    ledger: Database, show: Show, clock: FakeClock
) -> None:
    row = show("page 1")
    clock.advance(25 * 3600)
    change(ledger, row.link_id, state=State.EXPIRED)
    assert [slot.newer_link for slot in look(ledger)] == [False]
    mint(ledger)
    assert [slot.newer_link for slot in look(ledger)] == [True]


NOT_NEWER: dict[str, tuple[Demand, str, dict[str, object]]] = {
    "another audience's": (Demand(CLIENT, "portal", DAY), MODEL, {}),
    "another client's": (Demand(OTHER, AUDIENCE, DAY), MODEL, {}),
    "another model's": (DEMAND, "ModelBBBBBB", {}),
    "flagged": (DEMAND, MODEL, {"flagged_at": FakeClock().now()}),
    "revoked": (DEMAND, MODEL, {"state": State.REVOKED}),
    "over": (DEMAND, MODEL, {"valid_until": FakeClock().now() + 14 * 60 * MINUTE}),
}


@pytest.mark.parametrize("kind", NOT_NEWER)
def test_a_link_that_the_slot_could_not_show_is_no_newer_one(
    ledger: Database, show: Show, clock: FakeClock, kind: str
) -> None:
    mint(ledger)
    show("page 1")
    clock.advance(14 * 3600)
    demand, model_id, values = NOT_NEWER[kind]
    other = mint(ledger, demand, model_id)
    if values:
        change(ledger, other.link_id, **values)
    assert [slot.newer_link for slot in look(ledger)] == [False]


def test_slots_at_risk_are_a_clients_own_and_the_soonest_end_comes_first(
    ledger: Database, show: Show, clock: FakeClock
) -> None:
    late, soon = show("page 1"), show("page 2", "ModelBBBBBB")
    clock.advance(14 * 3600)
    change(ledger, late.link_id, valid_until=late.valid_until + MINUTE)
    found = look(ledger)
    assert [(slot.link_id, slot.fingerprint) for slot in found] == [
        (soon.link_id, soon.fingerprint), (late.link_id, late.fingerprint)
    ]  # fmt: skip
    assert [slot.renews_at for slot in found] == [soon.valid_until - 720 * MINUTE, late.valid_until - 719.5 * MINUTE]
    with ledger.read() as tx:
        assert slots_at_risk(tx, OTHER, Rules(), "now") == []


def test_a_warning_is_recorded_by_the_run_that_asks_for_that_slot_alone(
    ledger: Database, show: Show, clock: FakeClock
) -> None:
    show("page 1")
    clock.advance(14 * 3600)
    assert warned_by(ledger, "first") == 1
    row = show("page 2", "ModelBBBBBB")
    change(ledger, row.link_id, minted_at=clock.now() - 14 * 60 * MINUTE, valid_until=clock.now() + 600 * MINUTE)
    found = look(ledger, run=task("first", "watch").run)
    assert {slot.slot: slot.recorded for slot in found} == {"page 1": True, "page 2": False}
