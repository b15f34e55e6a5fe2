"""Several tasks keep to one ceiling together."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import create_engine

from pme_airflow.clock import SystemClock
from pme_airflow.ledger.database import Database
from pme_airflow.ledger.rate_limit import SharedRateLimit
from tests.conftest import MakeServices
from tests.support.together import at_once

PER_SECOND = 40


def test_tasks_share_a_ceiling(make_services: MakeServices) -> None:
    """No second has more starts than the connection allows, whichever task they are of."""
    starts: list[float] = []
    make_services().database.prepare()

    def task(together: Callable[[], None]) -> None:
        ceiling = SharedRateLimit(PER_SECOND, make_services().database, SystemClock(), "client", "https://host")
        together()
        for _ in range(6):
            first = ceiling.reserve(5)
            starts.extend(first + index / ceiling.per_second for index in range(5))

    at_once(task, task, task)
    assert len(starts) == 90
    assert max(sum(1 for other in starts if start <= other < start + 1) for start in starts) <= PER_SECOND
    assert max(starts) - min(starts) < 90 / PER_SECOND * 1.2


def test_other_accounts_have_ceilings_of_their_own(make_services: MakeServices) -> None:
    database, clock = make_services().database, SystemClock()
    ours, theirs = (SharedRateLimit(1, database, clock, name, "https://host") for name in ("ours", "theirs"))
    begun = clock.monotonic()
    ours.reserve(5)
    assert ours.reserve(1) > begun + 3
    assert theirs.reserve(1) < begun + 3


def test_a_ledger_that_is_away_leaves_each_process_its_ceiling() -> None:
    clock = SystemClock()
    nowhere = Database(create_engine("postgresql+psycopg2://nobody@127.0.0.1:1/none"), clock)
    ceiling = SharedRateLimit(1, nowhere, clock, "client", "https://host")
    begun = clock.monotonic()
    ceiling.reserve(5)
    assert ceiling.reserve(1) > begun + 3
