"""Retires links that no slot shows any more, each after a grace period."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from sqlalchemy import select, update

from pme_airflow.ledger.events import record_events
from pme_airflow.ledger.links import LinkRow, chunked
from pme_airflow.ledger.states import State
from pme_airflow.ledger.tables import links, publications
from pme_airflow.ledger.transaction import WriteTransaction

__all__ = ["DEFAULT_GRACE", "Retirement", "retire_unshown"]

#: How long a link that was replaced everywhere is left alive for those who are looking at it.
DEFAULT_GRACE = timedelta(minutes=15)

#: How long a link is left alive, and why it goes.
Retirement = tuple[timedelta, str]


def retire_unshown(
    tx: WriteTransaction, locked: Mapping[str, LinkRow], retirements: Mapping[str, Retirement], now: datetime
) -> None:
    """Retire those of some links that no slot shows.

    :param locked: links that :func:`~.links.lock` returned.
    :param retirements: the grace and the reason of each, by link id.
    """
    rows = [locked[link_id] for link_id in retirements if link_id in locked]
    candidates = [row for row in rows if row.state is State.LIVE and row.retire_at is None]
    shown: set[str] = set()
    for chunk in chunked(row.link_id for row in candidates):
        shown.update(tx.scalars(select(publications.c.link_id).where(publications.c.link_id.in_(chunk))))
    going = [row for row in candidates if row.link_id not in shown]
    for grace in {retirements[row.link_id][0] for row in going}:
        for chunk in chunked(row.link_id for row in going if retirements[row.link_id][0] == grace):
            tx.execute(update(links).where(links.c.link_id.in_(chunk)).values(retire_at=now + grace))
    record_events(tx, "retiring", [{**row.subject, "reason": retirements[row.link_id][1]} for row in going], now, "")
