"""An open transaction: who writes, what time it is, and rows that exist already."""

from __future__ import annotations

import pytest
from sqlalchemy import func, insert, select

from pme_airflow.ledger.database import Database
from pme_airflow.ledger.tables import EPOCH, paces
from tests.support.clocks import FakeClock
from tests.support.ledgers import task


def test_who_writes_is_known_or_an_error(ledger: Database) -> None:
    run = task("monday")
    with ledger.write(run) as tx:
        assert tx.run_context is run
    with ledger.write() as tx, pytest.raises(RuntimeError, match=r"call database\.write\(run_context\)"):
        _ = tx.run_context


def test_the_time_is_the_ledgers(ledger: Database, clock: FakeClock) -> None:
    with ledger.read() as tx:
        assert tx.now() == clock.now()
        assert tx.dialect == "sqlite"


def test_rows_whose_key_exists_are_left_as_they_are(ledger: Database, clock: FakeClock) -> None:
    rows = [{"pace_key": key, "next_at": clock.now()} for key in "abc"]
    with ledger.write() as tx:
        tx.insert_missing(paces, [])
        assert tx.scalar(select(func.count()).select_from(paces)) == 0
        tx.execute(insert(paces), {"pace_key": "b", "next_at": EPOCH})
        tx.insert_missing(paces, rows)
    query = select(paces.c.pace_key, paces.c.next_at).order_by(paces.c.pace_key)
    with ledger.read() as tx:
        assert [tuple(row) for row in tx.execute(query)] == [("a", clock.now()), ("b", EPOCH), ("c", clock.now())]
        assert tx.scalars(query).all() == ["a", "b", "c"]
        assert tx.scalar(query) == "a"
        assert tx.scalar(query.where(paces.c.pace_key == "none")) is None
