"""What is due: each kind by itself, and nothing that a run could not help yet."""

from __future__ import annotations

from datetime import timedelta

import pytest

from pme_airflow.durations import Validity
from pme_airflow.ledger import due, flags, publications
from pme_airflow.ledger.bulk import insert_rows
from pme_airflow.ledger.database import Database
from pme_airflow.ledger.due import DueWork, RenewalDemand
from pme_airflow.ledger.links import LinkRow
from pme_airflow.ledger.mint_requests import Demand
from pme_airflow.ledger.publications import Shown
from pme_airflow.ledger.tables import links
from tests.support.clocks import FakeClock
from tests.support.ledgers import AUDIENCE, CLIENT, DEMAND, MODEL, OTHER, change, insert_link, mint, task

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


def test_a_flagged_link_that_is_retired_too_is_due_once_and_one_that_is_revoked_is_not(
    ledger: Database, clock: FakeClock
) -> None:
    flagged, revoked, retired = (mint(ledger, model_id=f"Model{number:06d}") for number in range(3))
    change(ledger, flagged.link_id, flagged_at=clock.now(), retire_at=clock.now())
    change(ledger, revoked.link_id, flagged_at=clock.now(), retire_at=clock.now(), state="revoked")
    clock.advance(60)
    assert sweep_due(ledger) == DueWork(1, clock.now() - MINUTE)
    change(ledger, retired.link_id, retire_at=clock.now() - MINUTE / 2)
    assert sweep_due(ledger) == DueWork(2, clock.now() - MINUTE / 2)


def test_due_work_is_added_up_and_the_newest_counts() -> None:
    early, late = FakeClock().now(), FakeClock().now() + MINUTE
    assert DueWork(1, early) + DueWork(2, late) == DueWork(2, late) + DueWork(1, early) == DueWork(3, late)
    assert DueWork() + DueWork(2, late) == DueWork(2, late) + DueWork() == DueWork(2, late)
    assert DueWork() + DueWork() == DueWork(0, None)


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


@pytest.mark.parametrize(
    "which", ["another audience", "another client", "flagged", "retiring", "revoked", "superseded"]
)
def test_a_link_is_not_renewed_that_is_not_wanted(ledger: Database, clock: FakeClock, which: str) -> None:
    client = OTHER if which == "another client" else CLIENT
    audience = "public" if which == "another audience" else AUDIENCE
    row = mint(ledger, Demand(client, audience, DEMAND.validity))
    show(ledger, row)
    clock.advance(13 * 3600)
    if which in ("flagged", "retiring"):
        change(ledger, row.link_id, **{"flagged_at" if which == "flagged" else "retire_at": clock.now()})
    if which == "revoked":
        change(ledger, row.link_id, state="revoked")
    if which == "superseded":
        show(ledger, mint(ledger), slot="another")
    assert renewals_due(ledger) == NOTHING


UNFIT: dict[str, tuple[Demand, str, dict[str, object]]] = {
    "another client's": (Demand(OTHER, AUDIENCE, DEMAND.validity), MODEL, {}),
    "another audience's": (Demand(CLIENT, "public", DEMAND.validity), MODEL, {}),
    "another model's": (DEMAND, "ModelBBBBBB", {}),
    "revoked": (DEMAND, MODEL, {"state": "revoked"}),
    "flagged": (DEMAND, MODEL, {"flagged_at": FakeClock().now()}),
    "retiring": (DEMAND, MODEL, {"retire_at": FakeClock().now() + timedelta(days=9)}),
}


@pytest.mark.parametrize("kind", UNFIT)
def test_a_newer_link_that_cannot_take_its_place_does_not_stop_a_renewal(
    ledger: Database, clock: FakeClock, kind: str
) -> None:
    demand, model_id, values = UNFIT[kind]
    show(ledger, mint(ledger))
    clock.advance(13 * 3600)
    newer = mint(ledger, demand, model_id)
    show(ledger, newer, slot="another")
    if values:
        change(ledger, newer.link_id, **values)
    assert renewals_due(ledger).count == 1


def test_the_soonest_thousand_links_below_their_margin_are_read(ledger: Database, clock: FakeClock) -> None:
    now = clock.now()
    same = {"client_id": CLIENT, "audience": AUDIENCE, "state": "live", "run": "r", "run_uid": "u", "valid_for": 86400,
            "requested_at": now - timedelta(days=1), "minted_at": None, "revoke_attempts": 0,
            "irrevocable": False}  # fmt: skip
    each = {
        "link_id": [f"lnk_{number}" for number in range(1001)],
        "model_id": [f"Model{number:06d}" for number in range(1001)],
        "valid_until": [now + timedelta(seconds=2000 - number) for number in range(1001)],
    }
    with ledger.write() as tx:
        insert_rows(tx, links, each, same)
    assert renewals_due(ledger) == DueWork(1000, now + timedelta(seconds=1000) - (HALF_DAY - SLACK))


def test_a_link_whose_mint_has_no_time_has_its_whole_margin(ledger: Database, clock: FakeClock) -> None:
    end = clock.now() + HALF_DAY - SLACK
    insert_link(ledger, "lnk", clock.now(), state="live", minted_at=None, valid_until=end)
    assert renewals_due(ledger) == DueWork(1, clock.now())


def test_a_new_link_is_due_that_no_slot_shows_once_its_run_had_time(ledger: Database, clock: FakeClock) -> None:
    minted_at = clock.now()
    mint(ledger)
    clock.advance(899)
    assert renewals_due(ledger) == NOTHING
    clock.advance(1)
    assert renewals_due(ledger) == DueWork(1, minted_at + SLACK)
    clock.advance(2 * 3600)
    assert renewals_due(ledger) == NOTHING


def test_a_new_link_is_looked_for_in_slots_for_two_hours(ledger: Database, clock: FakeClock) -> None:
    mint(ledger)
    clock.advance(2 * 3600 - 1)
    assert renewals_due(ledger).count == 1
    clock.advance(1)
    assert renewals_due(ledger) == NOTHING


def test_a_link_that_no_slot_shows_is_not_due_once_a_newer_one_is_shown(ledger: Database, clock: FakeClock) -> None:
    mint(ledger)
    show(ledger, mint(ledger))
    clock.advance(900)
    assert renewals_due(ledger) == NOTHING


@pytest.mark.parametrize("kind", ["another client's", "another audience's", "another model's"])
def test_a_slot_that_is_behind_is_one_of_the_same_client_audience_and_model(
    ledger: Database, clock: FakeClock, kind: str
) -> None:
    demand, model_id, _ = UNFIT[kind]
    show(ledger, mint(ledger, demand, model_id), slot="theirs")
    show(ledger, mint(ledger))
    clock.advance(900)
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


def test_a_slot_is_dark_whose_link_was_purged_and_a_flag_counts_before_a_revocation(
    ledger: Database, clock: FakeClock
) -> None:
    gone, flagged = mint(ledger), mint(ledger, model_id="ModelBBBBBB")
    for row in (gone, flagged):
        show(ledger, row, slot=row.model_id)
    clock.advance(60)
    change(ledger, flagged.link_id, flagged_at=clock.now(), revoked_at=clock.now() + MINUTE, state="revoked")
    with ledger.write() as tx:
        tx.execute(links.delete().where(links.c.link_id == gone.link_id))
    assert dark_slots(ledger) == DueWork(2, clock.now())


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
