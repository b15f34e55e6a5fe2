"""A ceiling on requests a second that all tasks of a connection share, however many machines they run on."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import select, update

from pme_airflow.api.limiter import LocalRateLimit, RateLimit
from pme_airflow.clock import Clock
from pme_airflow.errors import PMEError
from pme_airflow.ledger import keys
from pme_airflow.ledger.database import Database
from pme_airflow.ledger.tables import EPOCH, paces

__all__ = ["SharedRateLimit"]


class SharedRateLimit(RateLimit):
    """Hands out the starts of requests from one row of the ledger.

    While the ledger cannot be reached each process keeps to the ceiling by itself: it has nothing to mint or revoke
    then, but the credentials may still be tried.

    :param per_second: how many the API allows.
    :param database: the ledger.
    :param clock: what moments are told by, and what time is taken from while the ledger is away.
    :param client_id: whose requests are counted together,
    :param host: and where they go.
    """

    def __init__(self, per_second: float, database: Database, clock: Clock, client_id: str, host: str) -> None:
        super().__init__(per_second)
        self._database = database
        self._clock = clock
        self._own = LocalRateLimit(per_second, clock)
        self._key = keys.rate_limit_key(host, client_id)

    def reserve(self, count: int) -> float:
        """See :meth:`.RateLimit.reserve`."""
        try:
            return self._reserve(count)
        except PMEError:
            return self._own.reserve(count)

    def _reserve(self, count: int) -> float:
        database = self._database
        mine = paces.c.pace_key == self._key
        with database.write() as tx:
            tx.insert_missing(paces, [{"pace_key": self._key, "next_at": EPOCH}])
            begins = tx.scalars(select(paces.c.next_at).where(mine).with_for_update()).one()
            now, moment = tx.now(), self._clock.monotonic()
            start = max(now, begins)
            ends = start + timedelta(seconds=count / self.per_second)
            tx.execute(update(paces).where(mine).values(next_at=ends))
        wait: timedelta = start - now
        return moment + wait.total_seconds()
