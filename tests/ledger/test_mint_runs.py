"""Which mint runs overlap, and what their end gives back."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select

from pme_airflow.ledger import claims, mint_runs
from pme_airflow.ledger.claims import CLAIM_TTL
from pme_airflow.ledger.database import Database
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.ledger.tables import claims as claim_table
from pme_airflow.ledger.tables import runs
from tests.support.clocks import FakeClock
from tests.support.ledgers import mint, task

ONE, TWO = task("one"), task("two")


def begin(ledger: Database, run: RunContext) -> mint_runs.MintRun:
    with ledger.write(run) as tx:
        return mint_runs.begin(tx)


def test_a_run_knows_what_was_requested_before_it(ledger: Database) -> None:
    assert begin(ledger, ONE).started_after_seq == 0
    mint(ledger)
    seq = mint(ledger).seq
    assert begin(ledger, TWO).started_after_seq == seq


def test_a_run_knows_which_others_are_under_way(ledger: Database, clock: FakeClock) -> None:
    assert begin(ledger, ONE).concurrent_runs == frozenset()
    assert begin(ledger, TWO).concurrent_runs == {ONE.uid}
    with ledger.write(ONE) as tx:
        mint_runs.finish(tx)
    assert begin(ledger, task("three")).concurrent_runs == {TWO.uid}


def test_a_run_that_gives_no_sign_of_life_is_over(ledger: Database, clock: FakeClock) -> None:
    begin(ledger, ONE)
    clock.advance(40)
    with ledger.write(ONE) as tx:
        claims.take(tx, ["a"])
        mint_runs.keep_alive(tx)
    clock.advance(40)
    assert begin(ledger, TWO).concurrent_runs == {ONE.uid}
    clock.advance(CLAIM_TTL.total_seconds())
    assert ONE.uid not in begin(ledger, task("three")).concurrent_runs


@pytest.mark.parametrize("back", [timedelta(hours=1), timedelta(days=30)])
def test_a_run_from_before_the_clock_was_set_back_is_over(ledger: Database, clock: FakeClock, back: timedelta) -> None:
    begin(ledger, ONE)
    clock.advance(-back.total_seconds())
    assert begin(ledger, TWO).concurrent_runs == frozenset()


def test_a_sign_of_life_extends_the_claims(ledger: Database, clock: FakeClock) -> None:
    begin(ledger, ONE)
    with ledger.write(ONE) as tx:
        claims.take(tx, ["a"])
    clock.advance(30)
    with ledger.write(ONE) as tx:
        mint_runs.keep_alive(tx)
    clock.advance(30)
    with ledger.write(ONE) as tx:
        assert claims.held(tx, ["a"]) == {"a"}


def test_the_end_of_a_run_is_recorded_and_its_claims_are_released(ledger: Database, clock: FakeClock) -> None:
    began = clock.now()
    begin(ledger, ONE)
    begin(ledger, TWO)
    for run, key in ((ONE, "a"), (TWO, "b")):
        with ledger.write(run) as tx:
            claims.take(tx, [key])
    clock.advance(10)
    with ledger.write(ONE) as tx:
        mint_runs.finish(tx)
    with ledger.read() as tx:
        assert list(tx.scalars(select(claim_table.c.claim_key))) == ["b"]
        ended = tx.execute(select(runs).where(runs.c.run_uid == ONE.uid)).one()
        other = tx.execute(select(runs).where(runs.c.run_uid == TWO.uid)).one()
    assert (ended.run, ended.started_at, ended.seen_at, ended.finished_at) == (ONE.run, began, clock.now(), clock.now())
    assert (other.seen_at, other.finished_at) == (began, None)
