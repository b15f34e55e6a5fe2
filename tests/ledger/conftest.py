"""A ledger in memory under a clock that the test moves."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pme_airflow.ledger.database import Database
from tests.support.clocks import FakeClock
from tests.support.ledgers import ledger_in_memory


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def ledger(clock: FakeClock) -> Iterator[Database]:
    """Fast, and all rules of the ledger are the same on every database; what differs is tested on each of them."""
    database = ledger_in_memory(clock)
    yield database
    database.engine.dispose()
