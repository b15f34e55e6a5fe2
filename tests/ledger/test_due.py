"""What is due: each kind by itself, and nothing that a run could not help yet."""

from __future__ import annotations

from datetime import timedelta

import pytest

from pme_airflow.durations import Validity
from pme_airflow.ledger import due, flags, publications
from pme_airflow.ledger.database import Database
from pme_airflow.ledger.due import DueWork, RenewalDemand
from pme_airflow.ledger.links import LinkRow
from pme_airflow.ledger.mint_requests import Demand
from pme_airflow.ledger.publications import Shown
from tests.support.clocks import FakeClock
from tests.support.ledgers import AUDIENCE, CLIENT, DEMAND, OTHER, change, insert_link, mint, task

HALF_DAY = timedelta(hours=12)
SLACK = timedelta(minutes=15)
MINUTE = timedelta(minutes=1)
RENEWAL = RenewalDemand(CLIENT, AUDIENCE, HALF_DAY, SLACK)
NOTHING = DueWork()


def sweep_due(ledger: Database, client: str = CLIENT) -> DueWork:
    with ledger.read() as tx:
        return due.sweep_due(tx, client)


def renewals_due(ledger: Database, demand: RenewalDemand = RENEWAL) -> DueWork:
    with ledger.read() as tx:
        return due.renewals_due(tx, demand)


def dark_slots(ledger: Database, demand: RenewalDemand = RENEWAL, **named: object) -> DueWork:
    with ledger.read() as tx:
        return due.dark_slots(tx, demand, **named)  # type: ignore[arg-type]


def show(ledger: Database, row: LinkRow, slot: str = "page", target: str = "site") -> None:
    with ledger.write(task("publish")) as tx:
        assert not publications.publish(tx, target, [Shown(slot, row.link_id, {}, SLACK)], claimed=False)


def test_nothing_is_due_in_an_empty_ledger_and_while_links_are_fresh_and_shown(ledger: Database) -> None:
    assert sweep_due(ledger) == renewals_due(ledger) == dark_slots(ledger) == NOTHING
    show(ledger, mint(ledger))
    assert sweep_due(ledger) == renewals_due(ledger) == dark_slots(ledger) == NOTHING


# ------------------------------------------------------------------ a sweep


def test_a_flagged_link_is_due_at_once_and_for_its_own_client_alone(ledger: Database, clock: FakeClock) -> None:
    row = mint(ledger)
    clock.advance(100)
    with ledger.write(task("flag")) as tx:
        flags.flag(tx, CLIENT, "leaked", link_ids=[row.link_id])
    assert sweep_due(ledger) == DueWork(1, clock.now())
    assert sweep_due(ledger, OTHER) == NOTHING


def test_a_refused_link_is_due_again_at_its_turn_and_looks_no_newer_then(ledger: Database, clock: FakeClock) -> None:
    flagged_at = clock.now()
    row = mint(ledger)
    change(ledger, row.link_id, flagged_at=flagged_at, next_attempt_at=flagged_at + MINUTE, revoke_attempts=1)
    assert sweep_due(ledger) == NOTHING
    clock.advance(60)
    assert sweep_due(ledger) == DueWork(1, flagged_at)


def test_a_link_that_a_sweep_holds_is_not_due(ledger: Database, clock: FakeClock) -> None:
    row = mint(ledger)
    change(ledger, row.link_id, flagged_at=clock.now(), sweep_owner="another", sweep_until=clock.now() + MINUTE / 2)
    assert sweep_due(ledger) == NOTHING


def test_a_retirement_is_due_a_second_after_its_end_unless_a_waiting_sweep_took_it(
    ledger: Database, clock: FakeClock
) -> None:
    row = mint(ledger)
    end = clock.now() + MINUTE
    change(ledger, row.link_id, retire_at=end)
    clock.advance(60.9)
    assert sweep_due(ledger) == NOTHING
    clock.advance(0.1)
    assert sweep_due(ledger) == DueWork(1, end)


@pytest.mark.parametrize("state", ["live", "unaccounted"])
def test_an_ended_link_is_due_for_closing_after_a_while(ledger: Database, clock: FakeClock, state: str) -> None:
    end = clock.now() + MINUTE
    change(ledger, mint(ledger).link_id, state=state, valid_until=end)
    clock.advance(60 + 2699)
    assert sweep_due(ledger) == NOTHING
    clock.advance(1)
    assert sweep_due(ledger) == DueWork(1, end)


def test_a_mint_left_by_its_worker_is_due_for_closing_after_a_while(ledger: Database, clock: FakeClock) -> None:
    requested_at = clock.now()
    insert_link(ledger, "lnk_left", requested_at)
    clock.advance(2699)
    assert sweep_due(ledger) == NOTHING
    clock.advance(1)
    assert sweep_due(ledger) == DueWork(1, requested_at)


# ---------------------------------------------------------------- a renewal


def test_a_link_is_due_below_its_margin_by_the_slack(ledger: Database, clock: FakeClock) -> None:
    row = mint(ledger)
    show(ledger, row)
    clock.advance(12 * 3600 + 899)
    assert renewals_due(ledger) == NOTHING
    clock.advance(1)
    assert renewals_due(ledger) == DueWork(1, row.valid_until - (HALF_DAY - SLACK))


def test_renewals_are_due_since_the_oldest_of_them(ledger: Database, clock: FakeClock) -> None:
    oldest = mint(ledger)
    show(ledger, oldest)
    clock.advance(60)
    show(ledger, mint(ledger, model_id="ModelBBBBBB"), slot="another")
    clock.advance(13 * 3600)
    assert renewals_due(ledger) == DueWork(2, oldest.valid_until - (HALF_DAY - SLACK))


def test_the_margin_shrinks_where_the_api_gives_less_than_was_requested(ledger: Database, clock: FakeClock) -> None:
    row = mint(ledger)
    show(ledger, row)
    change(ledger, row.link_id, valid_until=clock.now() + timedelta(hours=1))
    assert renewals_due(ledger) == NOTHING
    clock.advance(32 * 60)
    assert renewals_due(ledger).count == 1


@pytest.mark.parametrize("which", ["another audience", "another client", "flagged", "retiring", "superseded"])
def test_a_link_is_not_renewed_that_is_not_wanted(ledger: Database, clock: FakeClock, which: str) -> None:
    client = OTHER if which == "another client" else CLIENT
    audience = "public" if which == "another audience" else AUDIENCE
    row = mint(ledger, Demand(client, audience, DEMAND.validity))
    show(ledger, row)
    clock.advance(13 * 3600)
    if which in ("flagged", "retiring"):
        change(ledger, row.link_id, **{"flagged_at" if which == "flagged" else "retire_at": clock.now()})
    if which == "superseded":
        show(ledger, mint(ledger), slot="another")
    assert renewals_due(ledger) == NOTHING


def test_a_newer_link_of_another_client_does_not_stop_a_renewal(ledger: Database, clock: FakeClock) -> None:
    show(ledger, mint(ledger))
    clock.advance(13 * 3600)
    show(ledger, mint(ledger, Demand(OTHER, AUDIENCE, DEMAND.validity)), slot="another")
    assert renewals_due(ledger).count == 1


def test_a_new_link_is_due_that_no_slot_shows_once_its_run_had_time(ledger: Database, clock: FakeClock) -> None:
    minted_at = clock.now()
    mint(ledger)
    clock.advance(899)
    assert renewals_due(ledger) == NOTHING
    clock.advance(1)
    assert renewals_due(ledger) == DueWork(1, minted_at + SLACK)
    clock.advance(2 * 3600)
    assert renewals_due(ledger) == NOTHING


def test_a_slot_behind_the_newest_link_is_due(ledger: Database, clock: FakeClock) -> None:
    show(ledger, mint(ledger), slot="one")
    show(ledger, mint(ledger), slot="two")
    clock.advance(900)
    assert renewals_due(ledger).count == 1


def test_a_slot_is_dark_whose_link_is_flagged_revoked_or_over(ledger: Database, clock: FakeClock) -> None:
    flagged, revoked, over, fresh = (mint(ledger, model_id=f"Model{n:06d}") for n in range(4))
    for row in (flagged, revoked, over, fresh):
        show(ledger, row, slot=row.model_id)
    clock.advance(60)
    change(ledger, flagged.link_id, flagged_at=clock.now())
    change(ledger, revoked.link_id, state="revoked", revoked_at=clock.now() - MINUTE)
    change(ledger, over.link_id, valid_until=clock.now())
    assert dark_slots(ledger) == DueWork(3, clock.now())
    assert dark_slots(ledger, RenewalDemand(CLIENT, "public", HALF_DAY, SLACK)) == NOTHING
    assert dark_slots(ledger, RenewalDemand(OTHER, AUDIENCE, HALF_DAY, SLACK)) == NOTHING


def test_what_went_dark_since_the_last_look_is_found_by_its_event(ledger: Database, clock: FakeClock) -> None:
    row = mint(ledger)
    show(ledger, row, "one")
    show(ledger, row, "two")
    clock.advance(3600)
    looked_at = clock.now()
    assert dark_slots(ledger, since=looked_at) == NOTHING
    clock.advance(30)
    with ledger.write(task("flag")) as tx:
        flags.flag(tx, CLIENT, "leaked", link_ids=[row.link_id])
    assert dark_slots(ledger, since=looked_at) == DueWork(2, clock.now())
    show(ledger, mint(ledger), "one")
    assert dark_slots(ledger, since=looked_at).count == 1


def test_an_event_may_be_stamped_a_quarter_of_an_hour_before_it_is_recorded(ledger: Database, clock: FakeClock) -> None:
    row = mint(ledger)
    show(ledger, row)
    with ledger.write(task("flag")) as tx:
        flags.flag(tx, CLIENT, "leaked", link_ids=[row.link_id])
    flagged_at = clock.now()
    assert dark_slots(ledger, since=flagged_at + 15 * MINUTE) == DueWork(1, flagged_at)
    assert dark_slots(ledger, since=flagged_at + 15 * MINUTE + timedelta(microseconds=1)) == NOTHING


def test_a_margin_of_minutes_is_watched_alike(ledger: Database, clock: FakeClock) -> None:
    row = mint(ledger, Demand(CLIENT, AUDIENCE, Validity.parse("10m")))
    show(ledger, row)
    demand = RenewalDemand(CLIENT, AUDIENCE, 5 * MINUTE, MINUTE)
    clock.advance(359)
    assert renewals_due(ledger, demand) == NOTHING
    clock.advance(1)
    assert renewals_due(ledger, demand) == DueWork(1, clock.now())
