"""Selects the links that a sweep revokes next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, func, or_, select, update

from pme_airflow.ledger.bulk import one_of
from pme_airflow.ledger.conditions import NEVER, is_flagged, is_not_flagged
from pme_airflow.ledger.engines import BUSY_SECONDS
from pme_airflow.ledger.links import LinkRow, chunked, fetch, query
from pme_airflow.ledger.states import State
from pme_airflow.ledger.tables import links
from pme_airflow.ledger.transaction import ReadTransaction, WriteTransaction

__all__ = [
    "LONGEST_WAIT",
    "Due",
    "due_links",
    "extend",
    "lock_free",
    "may_be_tried",
    "next_due_at",
    "next_retirement_in",
    "release",
    "take_due",
]

#: How long a sweep keeps others away from the rows it took, unless it extends that.
_SWEEP_TTL = timedelta(seconds=45)
#: The longest wait before the next attempt to revoke a link, and the interval of attempts for irrevocable links.
LONGEST_WAIT = timedelta(minutes=30)
#: How much earlier a transaction's time can be than that of another one that was committed before it reads: it may
#: have asked for the time first, and waited since.
_SPREAD = timedelta(seconds=BUSY_SECONDS)


@dataclass(frozen=True)
class Due:
    """A link a sweep took."""

    row: LinkRow

    @property
    def flagged(self) -> bool:
        """Whether it leaked, rather than being replaced."""
        return self.row.flagged_at is not None


def take_due(tx: WriteTransaction, client_id: str, limit: int, *, flagged_only: bool = False) -> list[Due]:
    """Take the links to revoke next: flagged ones first, newest and longest-lived first, then retirements."""
    now = tx.now()
    base = and_(
        links.c.state == State.LIVE,
        links.c.client_id == client_id,
        may_be_tried(now),
    )
    # Ordered by a value, not by the column: else SQLite reads all that is live in this order to find the few due.
    newest = (func.coalesce(links.c.valid_until, NEVER).desc(), links.c.seq.desc())
    taken = lock_free(tx, and_(base, is_flagged()), newest, limit)
    if len(taken) < limit and not flagged_only:
        due = and_(base, is_not_flagged(), links.c.retire_at <= now)
        taken += lock_free(tx, due, newest, limit - len(taken))
    if taken:
        tx.execute(
            update(links)
            .where(one_of(tx, links.c.seq, [row.seq for row in taken]))
            .values(sweep_owner=tx.run_context.uid, sweep_until=now + _SWEEP_TTL)
        )
    return [Due(row) for row in taken]


def due_links(tx: ReadTransaction, client_id: str) -> list[LinkRow]:
    """Return the links that a sweep would take now, in the order of :func:`take_due`, without taking them."""
    now = tx.now()
    due = or_(is_flagged(), links.c.retire_at <= now)
    mine = links.c.state == State.LIVE, links.c.client_id == client_id, may_be_tried(now), due
    rows = fetch(tx, query().where(*mine).order_by(links.c.seq.desc()))
    return sorted(rows, key=lambda row: row.flagged_at is None)


def may_be_tried(now: datetime) -> ColumnElement[bool]:
    """Return whether no sweep holds a link, and its next try is not still to come."""
    return and_(_is_past(links.c.sweep_until, now, _SWEEP_TTL), _is_past(links.c.next_attempt_at, now, LONGEST_WAIT))


def next_due_at(tx: ReadTransaction, client_id: str) -> timedelta | None:
    """Return how long until the next link may be tried again; ``None`` where none is left but irrevocable ones."""
    now = tx.now()
    timestamps = tx.execute(
        select(links.c.next_attempt_at, links.c.sweep_until).where(
            links.c.state == State.LIVE,
            links.c.client_id == client_id,
            links.c.irrevocable.is_(False),
            or_(is_flagged(), links.c.retire_at <= now),
        )
    ).all()
    waits = [
        max(_wait(row.next_attempt_at, now, LONGEST_WAIT), _wait(row.sweep_until, now, _SWEEP_TTL))
        for row in timestamps
    ]
    return min(waits, default=None)


def next_retirement_in(tx: ReadTransaction, client_id: str) -> timedelta | None:
    """Return how long until the grace of the next replaced link is over; ``None`` where none waits for that."""
    now = tx.now()
    mine = links.c.state == State.LIVE, links.c.client_id == client_id, is_not_flagged(), links.c.retire_at > now
    found = tx.scalar(select(func.min(links.c.retire_at)).where(*mine))
    return None if found is None else found - now


def _is_past(column: ColumnElement[Any], now: datetime, longest: timedelta) -> ColumnElement[bool]:
    """Return whether a timestamp has passed, or is further ahead than it can be: the clock was set back since."""
    return or_(column.is_(None), column <= now, column > now + longest + _SPREAD)


def _wait(timestamp: datetime | None, now: datetime, longest: timedelta) -> timedelta:
    if timestamp is None or not timedelta(0) < timestamp - now <= longest + _SPREAD:
        return timedelta(0)
    return timestamp - now


def lock_free(tx: WriteTransaction, where: ColumnElement[bool], order: Sequence[Any], limit: int) -> list[LinkRow]:
    """Lock rows that nobody else is writing now; the others are skipped, so that two sweeps share the work."""
    if tx.dialect == "sqlite":  # one writer at a time; it sorts whole rows unless it is to sort their numbers
        chosen = select(links.c.seq).where(where).order_by(*order).limit(limit).subquery()
        return fetch(tx, query().join_from(links, chosen, links.c.seq == chosen.c.seq).order_by(*order))
    return fetch(tx, query().where(where).order_by(*order).limit(limit).with_for_update(skip_locked=True))


def extend(tx: WriteTransaction) -> None:
    """Keep other sweeps away from the rows that this run took, for as long again."""
    now = tx.now()
    due = or_(is_flagged(), links.c.retire_at <= now)  # read by index: no other link was taken
    ours = links.c.state == State.LIVE, due, links.c.sweep_owner == tx.run_context.uid
    tx.execute(update(links).where(*ours).values(sweep_until=now + _SWEEP_TTL))


def release(tx: WriteTransaction, rows: Sequence[LinkRow]) -> None:
    """Let other sweeps take rows that :func:`take_due` took and that were not sent."""
    for chunk in chunked(row.seq for row in rows):
        ours = one_of(tx, links.c.seq, chunk), links.c.sweep_owner == tx.run_context.uid
        tx.execute(update(links).where(*ours).values(sweep_owner=None, sweep_until=None))
