"""Which runs find nothing to do, since nothing in the ledger changed and nothing has fallen due since the last one.

Most of a year is such runs: they are left out, or run and checked to write nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select

from pme_airflow.ledger.states import ALIVE, State
from pme_airflow.ledger.sweep_queue import next_due_at
from pme_airflow.ledger.tables import links
from tests.support.simulation.installation import FragileDatabase
from tests.support.simulation.vendor import Connection

__all__ = ["CLOCKS", "IdleRuns", "next_sweep"]

#: How far clocks and what a run knows of the API's clock may be off together: ten minutes each way, and eleven.
CLOCKS = 31 * 60.0


@dataclass(frozen=True)
class _Quiet:
    """What a run that wrote nothing found, and the second of the simulation until which that holds."""

    changes: int
    connection: Connection
    until: float


class IdleRuns:
    """Remembers the runs that wrote nothing."""

    def __init__(self, database: FragileDatabase) -> None:
        self._database = database
        self._quiet: dict[str, _Quiet] = {}

    def nothing_is_due(self, name: str, connection: Connection, now: float) -> bool:
        """Return whether a run would find nothing to do."""
        quiet = self._quiet.get(name)
        return (
            quiet is not None
            and now < quiet.until
            and quiet.connection == connection
            and quiet.changes == self._database.changes
        )

    def ran(self, name: str, connection: Connection, changes_before: int, until: float) -> None:
        """Remember a run.

        :param until: from when it may find something that falls due by time alone.
        """
        if self._database.changes == changes_before:
            self._quiet[name] = _Quiet(changes_before, connection, until)
        else:
            self._quiet.pop(name, None)


def next_sweep(database: FragileDatabase, client_id: str, now: datetime) -> float:
    """Return in how many seconds at the earliest a sweep finds something to do."""
    with database.read() as tx:
        minting = tx.scalar(select(func.count()).select_from(links).where(links.c.state == State.MINTING))
        ends = tx.scalar(select(func.min(links.c.valid_until)).where(links.c.state.in_(sorted(ALIVE))))
        retires = tx.scalar(
            select(func.min(links.c.retire_at)).where(links.c.state == State.LIVE, links.c.retire_at > now)
        )
        wait = next_due_at(tx, client_id)
    if minting:
        return 0.0
    times = [(at - now).total_seconds() for at in (ends, retires) if at is not None]
    return min([*times, *([wait.total_seconds()] if wait is not None else [])], default=0.0) - CLOCKS
