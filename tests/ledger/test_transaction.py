"""An open transaction: who writes, and what time it is."""

from __future__ import annotations

import pytest

from pme_airflow.ledger.database import Database
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
