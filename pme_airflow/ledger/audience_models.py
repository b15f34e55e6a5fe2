"""Which models an audience has, as far as the ledger knows, and which have left the account."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from sqlalchemy import func, select

from pme_airflow.ledger.events import record_events
from pme_airflow.ledger.tables import events, links, publications
from pme_airflow.ledger.transaction import ReadTransaction, WriteTransaction

__all__ = ["delist", "delisted_since", "known_models"]

#: A model asked for within so long belongs to its audience although no slot shows it; a night and a little more.
_RECENTLY = timedelta(hours=26)
_DELISTED = "delisted"


def known_models(tx: ReadTransaction, client_id: str, audience: str, now: datetime) -> list[str]:
    """The models of an audience: what slots show, and what was asked for lately."""
    asked = select(links.c.model_id).where(
        links.c.audience == audience, links.c.client_id == client_id, links.c.requested_at > now - _RECENTLY
    )
    shown = select(publications.c.model_id).where(publications.c.audience == audience)
    gone = delisted_since(tx, audience, now - _RECENTLY)
    return sorted(set(tx.scalars(asked.union(shown))) - set(gone))


def delist(tx: WriteTransaction, audience: str, listed: Iterable[str]) -> list[str]:
    """Note which models of an audience the account lists no more; transfers clear their slots."""
    kept = set(listed)
    shown = tx.scalars(select(publications.c.model_id).where(publications.c.audience == audience).distinct())
    gone = sorted(set(shown) - kept)
    subjects = [{"model_id": model_id, "audience": audience} for model_id in gone]
    record_events(tx, _DELISTED, subjects, tx.now(), "the account does not list it any more")
    return gone


def delisted_since(tx: ReadTransaction, audience: str, since: datetime) -> dict[str, datetime]:
    """When each model of an audience was last missed in the account's list."""
    found = tx.execute(
        select(events.c.model_id, func.max(events.c.at))
        .where(events.c.at >= since, events.c.event == _DELISTED, events.c.audience == audience)
        .group_by(events.c.model_id)
    ).all()
    return {row[0]: row[1] for row in found}
