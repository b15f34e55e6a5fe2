"""Which live links are to be asked about, and what was found: alive, or dead although the ledger calls them live."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import ColumnElement, func, select, update

from pme_airflow.ledger.conditions import is_not_flagged, is_not_retiring
from pme_airflow.ledger.events import record_events
from pme_airflow.ledger.links import LinkRow, chunked, fetch, lock, query
from pme_airflow.ledger.states import State
from pme_airflow.ledger.tables import links
from pme_airflow.ledger.transaction import ReadTransaction, WriteTransaction

__all__ = ["DEAD", "mints_of_last_day", "note_alive", "note_dead", "reusable", "unasked"]

ALIVE, DEAD = "alive", "dead"
_DAY = timedelta(days=1)
#: Links among which a sample is drawn: reading all of a large account would cost more than asking about a few.
_MOST = 1000


def mints_of_last_day(tx: ReadTransaction, client_id: str, audience: str) -> int:
    """Return how many links were requested for an audience in the last 24 hours."""
    lately = links.c.audience == audience, links.c.requested_at > tx.now() - _DAY, links.c.client_id == client_id
    return int(tx.scalar(select(func.count()).select_from(links).where(*lately)) or 0)


def unasked(tx: ReadTransaction, client_id: str, audience: str, count: int) -> list[LinkRow]:
    """Return so many links that are to be reused and that nobody has asked about yet, at random."""
    wanted = *_reusable(client_id, audience), links.c.verified.is_(None)
    seqs = list(tx.scalars(select(links.c.seq).where(*wanted).order_by(links.c.seq.desc()).limit(_MOST)))
    return _rows(tx, random.sample(seqs, min(count, len(seqs))))


def reusable(tx: ReadTransaction, client_id: str, audience: str) -> list[LinkRow]:
    """Return all links that are to be reused, also those that were asked about: they may have died since."""
    return _rows(tx, list(tx.scalars(select(links.c.seq).where(*_reusable(client_id, audience)))))


def _reusable(client_id: str, audience: str) -> tuple[ColumnElement[bool], ...]:
    return (
        links.c.state == State.LIVE, links.c.audience == audience, links.c.client_id == client_id, is_not_flagged(),
        is_not_retiring(), links.c.sealed.is_not(None),
    )  # fmt: skip


def _rows(tx: ReadTransaction, seqs: Sequence[int]) -> list[LinkRow]:
    return [row for chunk in chunked(seqs) for row in fetch(tx, query().where(links.c.seq.in_(chunk)))]


def note_alive(tx: WriteTransaction, rows: Sequence[LinkRow]) -> None:
    """Note links that work, so that they are not asked about again."""
    for chunk in chunked(sorted(row.seq for row in rows)):
        tx.execute(update(links).where(links.c.seq.in_(chunk), links.c.verified.is_(None)).values(verified=ALIVE))


def note_dead(tx: WriteTransaction, rows: Sequence[LinkRow]) -> list[LinkRow]:
    """Note links that work no more: they are not reused, and the next sweep revokes them all the same.

    They stay live in the ledger until the API confirms their end, so that a probe that is wrong loses no token.

    :return: the links that were live until now.
    """
    now = tx.now()
    current = lock(tx, [row.link_id for row in rows])
    found = [row for row in current.values() if row.state is State.LIVE and row.verified != DEAD]
    for chunk in chunked(sorted(row.seq for row in found)):
        tx.execute(update(links).where(links.c.seq.in_(chunk)).values(verified=DEAD, retire_at=now))
    record_events(tx, "found_dead", [row.subject for row in found], now, "the API accepts its token no more")
    return found
