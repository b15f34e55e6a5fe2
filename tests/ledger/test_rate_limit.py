"""Several tasks keep to one rate limit together."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import create_engine, select, update

from pme_airflow.clock import SystemClock
from pme_airflow.ledger.database import Database
from pme_airflow.ledger.rate_limit import SharedRateLimit
from pme_airflow.ledger.tables import paces
from tests.conftest import MakeServices
from tests.support.clocks import FakeClock
from tests.support.ledgers import ledger_at
from tests.support.together import at_once

PER_SECOND = 40
#: How much of the limit is sent.
PART = 0.97
HOST = "https://host"


def limit(
    database: Database, clock: FakeClock, per_second: float = 1, client: str = "client", host: str = HOST
) -> SharedRateLimit:
    return SharedRateLimit(per_second, database, clock, client, host)


def next_at(database: Database) -> datetime:
    with database.read() as tx:
        found: datetime = tx.scalars(select(paces.c.next_at)).one()
    return found


def test_tasks_share_a_rate_limit(make_services: MakeServices) -> None:
    """No second has more starts than the connection allows, whichever task they are of."""
    starts: list[float] = []
    make_services().database.prepare()

    def task(together: Callable[[], None]) -> None:
        shared = SharedRateLimit(PER_SECOND, make_services().database, SystemClock(), "client", HOST)
        together()
        for _ in range(6):
            first = shared.reserve(5)
            starts.extend(first + index / shared.per_second for index in range(5))

    at_once(task, task, task)
    assert len(starts) == 90
    assert max(sum(1 for other in starts if start <= other < start + 1) for start in starts) <= PER_SECOND


def test_two_processes_reserve_one_after_the_other_without_a_gap(tmp_path: Path, clock: FakeClock) -> None:
    address = f"sqlite:///{tmp_path / 'ledger.db'}"
    first, second = (limit(ledger_at(address, clock), clock, 10) for _ in range(2))
    starts = [first.reserve(5), second.reserve(1), first.reserve(2), second.reserve(1)]
    assert starts == pytest.approx([0, 5 / (10 * PART), 6 / (10 * PART), 8 / (10 * PART)], abs=1e-5)


def test_what_was_not_used_is_not_made_up_for(ledger: Database, clock: FakeClock) -> None:
    shared = limit(ledger, clock)
    shared.reserve(1)
    clock.advance(100)
    assert shared.reserve(3) == 100
    assert shared.reserve(1) == pytest.approx(100 + 3 / PART)


@pytest.mark.parametrize("other", [("theirs", HOST), ("ours", "https://another")], ids=["client", "host"])
def test_other_accounts_have_rate_limits_of_their_own(
    ledger: Database, clock: FakeClock, other: tuple[str, str]
) -> None:
    ours, theirs = limit(ledger, clock, client="ours"), limit(ledger, clock, 1, *other)
    ours.reserve(5)
    assert ours.reserve(1) == pytest.approx(5 / PART)
    assert theirs.reserve(1) == 0


@pytest.mark.parametrize(("per_second", "longest"), [(1, 60 + 100 / PART), (100, 60 + 1 / PART)])
def test_a_start_that_was_reserved_before_the_clock_was_set_back_delays_nobody_for_long(
    ledger: Database, clock: FakeClock, per_second: float, longest: float
) -> None:
    shared = limit(ledger, clock, per_second)
    shared.reserve(1)
    with ledger.write() as tx:
        tx.execute(update(paces).values(next_at=clock.now() + timedelta(days=1)))
    assert shared.reserve(1) == pytest.approx(longest)
    assert next_at(ledger) - clock.now() < timedelta(seconds=longest + 1 / (per_second * PART) + 0.001)


def test_a_start_within_the_longest_wait_is_kept_to(ledger: Database, clock: FakeClock) -> None:
    shared = limit(ledger, clock)
    shared.reserve(1)
    with ledger.write() as tx:
        tx.execute(update(paces).values(next_at=clock.now() + timedelta(seconds=160)))
    assert shared.reserve(1) == pytest.approx(160)


def test_a_ledger_that_is_away_leaves_each_process_its_rate_limit(clock: FakeClock) -> None:
    nowhere = Database(create_engine("postgresql+psycopg2://nobody@127.0.0.1:1/none"), clock)
    shared = limit(nowhere, clock, 0.001)
    first = shared.reserve(5)
    assert shared.reserve(1) == pytest.approx(first + 5 / (0.001 * PART))
