"""Query the ledger for due work, and decide when to start a run for it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Protocol

from pme_airflow.ledger import due
from pme_airflow.ledger.database import Database
from pme_airflow.ledger.due import DueWork, RenewalDemand

__all__ = ["Decision", "DueWatch", "HoldOff", "RenewalWatch", "SweepWatch", "renewal_slack"]

#: A due renewal waits for others to be renewed in the same run: a quarter of its margin, and no more than this.
_MAX_SLACK = timedelta(minutes=15)
_FIRST_HOLD_OFF = 20.0
_MAX_HOLD_OFF = 1800.0
#: How often every slot is queried, rather than only the events since the query before.
_WHOLE_LOOK_EVERY = 600.0


def renewal_slack(renew_before: timedelta) -> timedelta:
    """Return how long a link that is due for renewal may wait, so that one run renews several."""
    return min(_MAX_SLACK, renew_before / 4)


class DueWatch(Protocol):
    """Looks for one kind of due work."""

    def look(self, database: Database) -> DueWork:
        """Return what is due now. Only reads the ledger.

        :raises LedgerError: if the ledger cannot be read.
        """
        ...


@dataclass(frozen=True)
class SweepWatch:
    """Looks for links that a sweep would revoke or close."""

    client_id: str

    def look(self, database: Database) -> DueWork:
        with database.read() as tx:
            return due.sweep_due(tx, self.client_id)


class RenewalWatch:
    """Looks for links of an audience to renew, and for slots to heal.

    Every slot is queried the first time, every ten minutes, and for as long as one is dark. The queries in between read
    only the events since the one before.

    :param monotonic: returns the seconds of a monotonic clock.
    """

    def __init__(self, demand: RenewalDemand, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._demand = demand
        self._monotonic = monotonic
        self._looked_at: datetime | None = None
        self._whole_look_at = 0.0

    def look(self, database: Database) -> DueWork:
        with database.read() as tx:
            now = tx.now()
            since = self._looked_at if self._monotonic() < self._whole_look_at else None
            dark = due.dark_slots(tx, self._demand, since)
            found = due.renewals_due(tx, self._demand) + dark
        self._looked_at = now
        if since is None:
            self._whole_look_at = self._monotonic() + (0 if dark.count else _WHOLE_LOOK_EVERY)
        elif dark.count:
            self._whole_look_at = 0.0
        return found


class Decision(Enum):
    """What to do after a look."""

    WAIT = "nothing is due"
    HOLD_BACK = "a run was started for what is due, and may still help"
    START = "start a run"


class HoldOff:
    """Decides whether to start a run for what is due.

    A run is started for what became due, by :attr:`.DueWork.since`, after the last run was started for it. For the
    rest, which that run may not have been able to help, a run is started again after 20 s, then 40 s, and so on up to
    half an hour.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._newest: datetime | None = None
        self._wait = _FIRST_HOLD_OFF
        self._again_at = 0.0

    def decide(self, found: DueWork) -> Decision:
        """Decide whether to start a run now."""
        # the state is kept: a link whose revocation was denied is due again later
        if not found.count or found.since is None:
            return Decision.WAIT
        if self._newest is None or found.since > self._newest:
            self._wait = _FIRST_HOLD_OFF
        elif self._monotonic() < self._again_at:
            return Decision.HOLD_BACK
        else:
            self._wait = min(_MAX_HOLD_OFF, 2 * self._wait)
        self._newest = found.since
        self._again_at = self._monotonic() + self._wait
        return Decision.START
