"""A limit of requests a second that all tasks of a connection share, however many machines they run on."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import select, update

from pme_airflow.api.limiter import LocalRateLimit, RateLimit
from pme_airflow.clock import Clock
from pme_airflow.errors import PMEError
from pme_airflow.ledger import keys
from pme_airflow.ledger.bulk import insert_missing
from pme_airflow.ledger.database import Database
from pme_airflow.ledger.tables import EPOCH, paces
from pme_airflow.ledger.transaction import WriteTransaction

__all__ = ["SharedRateLimit"]

#: How far ahead starts can be reserved: each process reserves a quarter of a second's starts at once, or one. What is
#: further ahead was reserved before the clock was set back.
_LONGEST_WAIT = timedelta(seconds=60)
_MOST_PROCESSES = 100


class SharedRateLimit(RateLimit):
    """Reserves the starts of requests in one row of the ledger.

    While the ledger cannot be reached each process keeps to the limit by itself: it has nothing to mint or revoke
    then, but the credentials may still be tried.

    :param per_second: how many the API allows.
    :param database: the ledger.
    :param clock: the source of monotonic time, and of all time while the ledger cannot be reached.
    :param client_id: whose requests are counted together.
    :param host: where they are sent.
    """

    def __init__(self, per_second: float, database: Database, clock: Clock, client_id: str, host: str) -> None:
        super().__init__(per_second)
        self._database = database
        self._clock = clock
        self._own = LocalRateLimit(per_second, clock)
        self._longest_wait = _LONGEST_WAIT + timedelta(seconds=_MOST_PROCESSES / self.per_second)
        self._key = keys.rate_limit_key(host, client_id)

    def reserve(self, count: int) -> float:
        """See :meth:`.RateLimit.reserve`."""
        try:
            return self._reserve(count)
        except PMEError:
            return self._own.reserve(count)

    def _reserve(self, count: int) -> float:
        def work(tx: WriteTransaction) -> tuple[timedelta, float]:
            insert_missing(tx, paces, [{"pace_key": self._key, "next_at": EPOCH}])
            row = paces.c.pace_key == self._key
            begins = tx.scalars(select(paces.c.next_at).where(row).with_for_update()).one()
            now, monotonic = tx.now(), self._clock.monotonic()
            start = max(now, min(begins, now + self._longest_wait))
            ends = start + timedelta(seconds=count / self.per_second)
            tx.execute(update(paces).where(row).values(next_at=ends))
            return start - now, monotonic

        wait, monotonic = self._database.run(None, work)
        return monotonic + wait.total_seconds()
