"""Several tasks keep to one ceiling together."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import create_engine

from pme_airflow.api.clock import SystemClock
from pme_airflow.api.limiter import Limiter
from pme_airflow.ledger.database import Database
from pme_airflow.ledger.pace import SharedCeiling
from tests.conftest import MakeServices
from tests.support.together import at_once

PER_SECOND = 40


def test_tasks_share_a_ceiling(make_services: MakeServices) -> None:
    """No second has more starts than the connection allows, whichever task they are of."""
    starts: list[float] = []
    first = make_services()
    first.database.check()

    def task(together: Callable[[], None]) -> None:
        services, clock = make_services(), SystemClock()
        limiter = Limiter(30, 0, clock, SharedCeiling(PER_SECOND, services.database, clock, "client", "https://host"))
        together()
        starts.extend(limiter.start() for _ in range(30))

    at_once(task, task, task)
    starts.sort()
    assert len(starts) == 90
    assert max(sum(1 for other in starts if start <= other < start + 1) for start in starts) <= PER_SECOND


def test_other_accounts_have_ceilings_of_their_own(make_services: MakeServices) -> None:
    database, clock = make_services().database, SystemClock()
    ours, theirs = (SharedCeiling(1, database, clock, name, "https://host") for name in ("ours", "theirs"))
    assert ours.reserve(5) == 0
    assert ours.reserve(1) > 3
    assert theirs.reserve(1) == 0


def test_a_ledger_that_is_away_leaves_each_process_its_ceiling() -> None:
    clock = SystemClock()
    nowhere = Database(create_engine("postgresql+psycopg2://nobody@127.0.0.1:1/none"), clock)
    ceiling = SharedCeiling(1, nowhere, clock, "client", "https://host")
    assert ceiling.reserve(5) == 0
    assert ceiling.reserve(1) > 3
