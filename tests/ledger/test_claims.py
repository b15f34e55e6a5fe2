"""Claims exclude others, end by themselves, and never last longer than they can."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import event, select, update

from pme_airflow.ledger import claims
from pme_airflow.ledger.claims import CLAIM_TTL
from pme_airflow.ledger.database import Database
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.ledger.tables import claims as table
from tests.support.clocks import FakeClock
from tests.support.ledgers import dead_process, task

ONE, TWO = task("one"), task("two")


def take(ledger: Database, run: RunContext, *keys: str) -> set[str]:
    with ledger.write(run) as tx:
        return claims.take(tx, keys)


def held(ledger: Database, run: RunContext, *keys: str) -> set[str]:
    with ledger.write(run) as tx:
        return claims.held(tx, keys)


def test_a_claim_excludes_others_and_not_its_owner(ledger: Database) -> None:
    assert take(ledger, ONE, "a", "b") == {"a", "b"}
    assert take(ledger, TWO, "b", "c") == {"c"}
    assert take(ledger, ONE, "a", "c") == {"a"}


def test_a_claim_is_free_at_its_end_and_not_a_moment_before(ledger: Database, clock: FakeClock) -> None:
    take(ledger, ONE, "a")
    clock.advance(CLAIM_TTL.total_seconds() - 0.001)
    assert take(ledger, TWO, "a") == set()
    assert held(ledger, ONE, "a") == {"a"}
    clock.advance(0.001)
    assert held(ledger, ONE, "a") == set()
    assert take(ledger, TWO, "a") == {"a"}
    assert held(ledger, TWO, "a") == {"a"}
    assert held(ledger, ONE, "a") == set()


def test_a_claim_whose_owner_is_dead_is_free_at_once(ledger: Database) -> None:
    take(ledger, RunContext("x", process=dead_process()), "a")
    assert take(ledger, TWO, "a") == {"a"}
    assert held(ledger, TWO, "a") == {"a"}


def test_taking_a_claim_again_extends_it(ledger: Database, clock: FakeClock) -> None:
    take(ledger, ONE, "a")
    clock.advance(30)
    take(ledger, ONE, "a")
    clock.advance(30)
    assert held(ledger, ONE, "a") == {"a"}


def test_extending_extends_what_has_not_ended_alone(ledger: Database, clock: FakeClock) -> None:
    take(ledger, ONE, "old")
    clock.advance(30)
    take(ledger, ONE, "new")
    take(ledger, TWO, "other")
    clock.advance(20)
    with ledger.write(ONE) as tx:
        claims.extend(tx)
    assert held(ledger, ONE, "old", "new") == {"new"}
    clock.advance(30)
    assert held(ledger, ONE, "old", "new") == {"new"}
    assert held(ledger, TWO, "other") == set()


def test_releasing_releases_ones_own_claims_alone(ledger: Database) -> None:
    take(ledger, ONE, "a", "b")
    take(ledger, TWO, "c")
    with ledger.write(TWO) as tx:
        claims.release(tx, ["a", "c"])
        claims.release(tx, [])
    assert take(ledger, TWO, "a", "c") == {"c"}
    with ledger.write(TWO) as tx:
        claims.release_all(tx)
    with ledger.read() as tx:
        assert set(tx.scalars(select(table.c.claim_key))) == {"a", "b"}


@pytest.mark.parametrize("back", [timedelta(minutes=2), timedelta(hours=1), timedelta(days=400)])
def test_a_claim_from_before_the_clock_was_set_back_ends_when_it_can_at_the_latest(
    ledger: Database, clock: FakeClock, back: timedelta
) -> None:
    take(ledger, ONE, "a")
    clock.advance(-back.total_seconds())
    assert take(ledger, TWO, "a") == set()
    clock.advance(CLAIM_TTL.total_seconds())
    assert take(ledger, TWO, "a") == {"a"}


def test_a_claim_that_was_never_met_by_others_is_not_shortened(ledger: Database, clock: FakeClock) -> None:
    take(ledger, ONE, "a")
    take(ledger, TWO, "a")
    clock.advance(CLAIM_TTL.total_seconds() - 1)
    assert held(ledger, ONE, "a") == {"a"}
    with ledger.write() as tx:
        tx.execute(update(table).values(expires_at=clock.now() + timedelta(days=1)))
    take(ledger, TWO, "a")
    with ledger.read() as tx:
        assert tx.scalar(select(table.c.expires_at)) == clock.now() + CLAIM_TTL


def test_a_release_is_one_statement_where_writers_take_turns(ledger: Database) -> None:
    take(ledger, ONE, "a")
    sent: list[str] = []
    with ledger.write(ONE) as tx:
        event.listen(tx.connection, "before_cursor_execute", lambda *args: sent.append(args[2].split()[0]))
        claims.release(tx, ["a"])
    assert sent == ["DELETE"]
