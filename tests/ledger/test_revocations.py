"""What revocations came to: only what the API denied counts, and nothing is closed that may still come."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from pme_airflow.ledger import claims, flags, revocations, sweep_queue
from pme_airflow.ledger.claims import CLAIM_TTL
from pme_airflow.ledger.database import Database
from pme_airflow.ledger.links import LinkRow, by_ids
from pme_airflow.ledger.mint_requests import Demand
from pme_airflow.ledger.revocations import NotRevokedAnswer, NotRevokedOutcome
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.ledger.states import State
from pme_airflow.ledger.sweep_queue import LONGEST_WAIT
from tests.support.clocks import FakeClock
from tests.support.ledgers import (
    AUDIENCE,
    CLIENT,
    DAY,
    DEMAND,
    MODEL,
    OTHER,
    begin_mint,
    change,
    dead_process,
    events_of,
    insert_link,
    mint,
    row_of,
    task,
)

RUN = task("monday", "sweep")
NOW = FakeClock().now()
SOON = timedelta(seconds=2)
MOMENT = timedelta(microseconds=1)


def leak(ledger: Database) -> LinkRow:
    row = mint(ledger)
    with ledger.write(RUN) as tx:
        flags.flag(tx, "a leak", link_ids=[row.link_id])
    return row_of(ledger, row.link_id)


def deny(ledger: Database, row: LinkRow, *, counts: bool = True, wait: timedelta = SOON, max_attempts: int = 6,
         server_now: Any = NOW) -> NotRevokedOutcome:  # fmt: skip
    with ledger.write(RUN) as tx:
        answer = NotRevokedAnswer(row, "why not", counts, wait)
        return revocations.denied(tx, [answer], max_attempts, server_now)


def revoke(ledger: Database, *rows: LinkRow, **verified: str) -> list[LinkRow]:
    with ledger.write(RUN) as tx:
        return revocations.revoked(tx, rows, verified)


def due(ledger: Database) -> list[str]:
    with ledger.write(RUN) as tx:
        return [entry.row.link_id for entry in sweep_queue.take_due(tx, CLIENT, 100)]


def expire(ledger: Database, server_now: Any = NOW, run: RunContext = RUN, **named: Any) -> int:
    with ledger.write(run) as tx:
        return revocations.expire(tx, server_now, **named)


def anything(ledger: Database, server_now: Any = NOW) -> bool:
    with ledger.read() as tx:
        return revocations.anything_to_close(tx, server_now)


# ---------------------------------------------------------------------- revoked


def test_a_revoked_links_text_is_erased_and_its_fingerprint_stays(ledger: Database, clock: FakeClock) -> None:
    row = leak(ledger)
    deny(ledger, row)
    change(ledger, row.link_id, irrevocable=True)
    before = row_of(ledger, row.link_id)
    with events_of(ledger) as events:
        assert revoke(ledger, row) == [before]
    found = row_of(ledger, row.link_id)
    assert (found.state, found.sealed, found.revoked_at) == (State.REVOKED, None, clock.now())
    assert (found.fingerprint, found.revoke_attempts, found.irrevocable) == (row.fingerprint, 2, False)
    assert [(event["event"], event["reason"]) for event in events] == [("revoked", "a leak")]


def test_a_link_is_revoked_once(ledger: Database) -> None:
    row = leak(ledger)
    assert revoke(ledger, row) == [row]
    with events_of(ledger) as events:
        assert revoke(ledger, row) == []
    assert (events, row_of(ledger, row.link_id).revoke_attempts) == ([], 1)


def test_each_revoked_link_keeps_its_own_reason_and_what_the_link_itself_answered(ledger: Database) -> None:
    leaked, replaced = leak(ledger), mint(ledger)
    with events_of(ledger) as events:
        revoke(ledger, leaked, replaced, **{leaked.link_id: "HTTP 404"})
    reasons = {event["link_id"]: event["reason"] for event in events}
    assert reasons == {leaked.link_id: "a leak", replaced.link_id: "no slot shows it any more"}
    assert row_of(ledger, leaked.link_id).verified == "HTTP 404"
    assert row_of(ledger, replaced.link_id).verified is None


# ------------------------------------------------------------------- not revoked


def test_what_did_not_reach_the_api_counts_for_nothing_and_is_tried_soon(ledger: Database, clock: FakeClock) -> None:
    row = leak(ledger)
    for _ in range(20):
        assert deny(ledger, row, counts=False, max_attempts=1) == NotRevokedOutcome()
    found = row_of(ledger, row.link_id)
    assert (found.revoke_attempts, found.irrevocable, found.next_attempt_at) == (0, False, clock.now() + SOON)
    assert due(ledger) == []
    clock.advance(SOON.total_seconds())
    assert due(ledger) == [row.link_id]


def test_a_link_is_irrevocable_once_the_api_denied_it_so_often_and_no_sooner(
    ledger: Database, clock: FakeClock
) -> None:
    row = leak(ledger)
    outcomes = []
    with events_of(ledger) as events:
        for counts in (True, False, True, False, True, True):
            outcomes.append([found.link_id for found in deny(ledger, row, counts=counts, max_attempts=3).irrevocable])
    assert outcomes == [[], [], [], [], [row.link_id], []]
    found = row_of(ledger, row.link_id)
    assert (found.revoke_attempts, found.irrevocable) == (4, True)
    assert found.next_attempt_at == clock.now() + LONGEST_WAIT
    assert [event["event"] for event in events].count("irrevocable") == 1
    assert [event["event"] for event in events].count("not_revoked") == 6


def test_an_outage_neither_ends_what_is_irrevocable_nor_makes_it_wait_long(ledger: Database, clock: FakeClock) -> None:
    row = leak(ledger)
    deny(ledger, row, max_attempts=1)
    assert deny(ledger, row, counts=False, max_attempts=1).irrevocable == ()
    found = row_of(ledger, row.link_id)
    assert (found.irrevocable, found.revoke_attempts, found.next_attempt_at) == (True, 1, clock.now() + SOON)


@pytest.mark.parametrize("counts", [True, False])
def test_no_wait_is_longer_than_the_longest(ledger: Database, counts: bool) -> None:
    row = leak(ledger)
    deny(ledger, row, counts=counts, wait=timedelta(days=1))
    assert row_of(ledger, row.link_id).next_attempt_at == NOW + LONGEST_WAIT


def test_a_second_flag_counts_denials_from_the_beginning(ledger: Database) -> None:
    row = leak(ledger)
    deny(ledger, row, max_attempts=1)
    with ledger.write(RUN) as tx:
        flags.flag(tx, "again", link_ids=[row.link_id])
    assert deny(ledger, row, max_attempts=2).irrevocable == ()
    assert [found.link_id for found in deny(ledger, row, max_attempts=2).irrevocable] == [row.link_id]


def test_a_denied_link_is_released_to_other_sweeps(ledger: Database) -> None:
    row = leak(ledger)
    assert due(ledger) == [row.link_id]
    deny(ledger, row, wait=timedelta(0))
    assert due(ledger) == [row.link_id]


@pytest.mark.parametrize(("counts", "expired"), [(True, True), (False, False)])
def test_a_denied_link_past_its_end_has_expired_and_an_unreached_one_is_unknown(
    ledger: Database, counts: bool, expired: bool
) -> None:
    row = leak(ledger)
    outcome = deny(ledger, row, counts=counts, max_attempts=1, server_now=row.valid_until)
    assert [found.link_id for found in outcome.expired] == ([row.link_id] if expired else [])
    found = row_of(ledger, row.link_id)
    assert found.state is (State.EXPIRED if expired else State.LIVE)
    assert (found.sealed is None) is expired
    assert not found.irrevocable


def test_a_denied_link_just_before_its_end_is_irrevocable(ledger: Database) -> None:
    row = leak(ledger)
    outcome = deny(ledger, row, max_attempts=1, server_now=row.valid_until - MOMENT)
    assert (outcome.expired, [found.link_id for found in outcome.irrevocable]) == ((), [row.link_id])


def test_a_denial_of_a_link_that_was_revoked_meanwhile_changes_nothing(ledger: Database) -> None:
    row = leak(ledger)
    revoke(ledger, row)
    before = row_of(ledger, row.link_id)
    with events_of(ledger) as events:
        assert deny(ledger, row, max_attempts=1) == NotRevokedOutcome()
    assert (row_of(ledger, row.link_id), events) == (before, [])


# ------------------------------------------------------------------- what ended


@pytest.mark.parametrize("state", sorted(set(State) - {State.MINTING}))
def test_what_may_be_alive_is_closed_at_its_end_and_not_before(ledger: Database, state: State) -> None:
    insert_link(ledger, "lnk", NOW, state=state, sealed="text", valid_until=NOW + MOMENT)
    assert (anything(ledger), expire(ledger)) == (False, 0)
    ends = state in (State.LIVE, State.UNACCOUNTED)
    assert anything(ledger, NOW + MOMENT) is ends
    assert expire(ledger, NOW + MOMENT) == (1 if ends else 0)
    found = row_of(ledger, "lnk")
    assert (found.state, found.sealed) == ((State.EXPIRED, None) if ends else (state, "text"))


def test_links_are_closed_in_pages_the_earliest_first(ledger: Database) -> None:
    for number in (2, 1, 3):
        insert_link(ledger, f"lnk_{number}", NOW, state="live", valid_until=NOW - timedelta(hours=9 - number))
    assert expire(ledger, limit=2) == 2
    assert row_of(ledger, "lnk_3").state is State.LIVE
    assert expire(ledger, limit=2) == 1


def test_a_sweep_spares_the_mint_of_a_living_owner(ledger: Database) -> None:
    """The key under which a mint is claimed and the one that the sweep looks for are one."""
    pending = begin_mint(ledger, run=task("mint"))
    assert anything(ledger)
    assert expire(ledger) == 0
    assert row_of(ledger, pending.link_id).state is State.MINTING


@pytest.mark.parametrize("of", [Demand(OTHER, AUDIENCE, DAY), Demand(CLIENT, "portal", DAY), DEMAND])
def test_a_mints_claim_is_found_by_the_links_own_fields(ledger: Database, of: Demand) -> None:
    pending = begin_mint(ledger, of, run=task("mint"))
    assert row_of(ledger, pending.link_id).claim_key == of.claim_key(MODEL)


def test_a_sweep_closes_the_mint_whose_owners_claim_has_passed(ledger: Database, clock: FakeClock) -> None:
    pending = begin_mint(ledger, run=task("mint"))
    clock.advance(CLAIM_TTL.total_seconds() - 0.001)
    expire(ledger)
    assert row_of(ledger, pending.link_id).state is State.MINTING
    clock.advance(0.001)
    with events_of(ledger) as events:
        expire(ledger)
    assert row_of(ledger, pending.link_id).state is State.UNACCOUNTED
    assert [event["event"] for event in events] == ["abandoned"]


def test_a_sweep_closes_the_mint_of_a_dead_process_at_once(ledger: Database) -> None:
    pending = begin_mint(ledger, run=RunContext("x", process=dead_process()))
    expire(ledger)
    assert row_of(ledger, pending.link_id).state is State.UNACCOUNTED


def test_a_claim_that_another_owner_holds_spares_no_mint_of_an_earlier_one(ledger: Database) -> None:
    first, second = task("first"), task("second")
    pending = begin_mint(ledger, run=first)
    with ledger.write(first) as tx:
        claims.release_all(tx)
    with ledger.write(second) as tx:
        claims.take(tx, [DEMAND.claim_key(MODEL)])
    expire(ledger)
    assert row_of(ledger, pending.link_id).state is State.UNACCOUNTED


def test_a_mint_without_a_claim_is_closed_and_those_that_have_one_are_spared(ledger: Database) -> None:
    spared = [begin_mint(ledger, model_id=f"Model{number:06}", run=task(f"run{number}")) for number in range(3)]
    insert_link(ledger, "abandoned", NOW, model_id="ModelBBBBBB")
    expire(ledger)
    with ledger.read() as tx:
        states = {row.state for row in by_ids(tx, [pending.link_id for pending in spared]).values()}
    assert states == {State.MINTING}
    assert row_of(ledger, "abandoned").state is State.UNACCOUNTED


def test_a_flagged_link_that_a_dead_worker_left_stays_flagged(ledger: Database) -> None:
    insert_link(ledger, "lnk", NOW, flagged_at=NOW)
    expire(ledger)
    assert row_of(ledger, "lnk").flagged_at == NOW
    change(ledger, "lnk", valid_until=NOW)
    assert expire(ledger) == 1
