"""Records which models an account lists for an audience, and which it has stopped listing.

What an account lists is remembered by client, audience and query: a query takes back only what it listed itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, delete, func, select, update

from pme_airflow.ledger import keys, manifests
from pme_airflow.ledger.bulk import insert_missing
from pme_airflow.ledger.events import record_events
from pme_airflow.ledger.link_models import opens
from pme_airflow.ledger.tables import events, link_models, links, listings, publications
from pme_airflow.ledger.transaction import ReadTransaction, WriteTransaction

__all__ = ["Listing", "ListingChange", "compare_listing", "delisted_since", "known_models", "record_listing"]

#: A model requested within so long belongs to its audience although no slot shows it; a night and a little more. A
#: query that has not been listed for so long has no say any more in which models belong to its audience.
_RECENTLY = timedelta(hours=26)
_DELISTED = "delisted"


@dataclass(frozen=True)
class Listing:
    """One query to an account, made for an audience.

    :param client_id: whose account.
    :param audience: for whom.
    :param query: the query that the API is sent.
    :param exclude: the models that are left out of its result.
    """

    client_id: str
    audience: str
    query: str
    exclude: frozenset[str] = frozenset()

    @property
    def key(self) -> str:
        """The key of its row."""
        return keys.listing_key(self.client_id, self.audience, self.query, sorted(self.exclude))


def known_models(tx: ReadTransaction, listing: Listing, now: datetime) -> list[str]:
    """Return the models of a listing as far as the ledger knows, for while the account cannot be listed.

    They are what it listed last. Before its first time they are what slots show the audience, and what was requested
    for it lately.
    """
    manifest = tx.scalar(select(listings.c.manifest_id).where(listings.c.listing_key == listing.key))
    listed = manifests.models_of(tx, manifest) if manifest is not None else []
    if listed:
        return sorted(listed)
    client_id, audience = listing.client_id, listing.audience
    requested = (
        select(opens)
        .select_from(links.outerjoin(link_models, link_models.c.link_id == links.c.link_id))
        .where(links.c.audience == audience, links.c.client_id == client_id, links.c.requested_at > now - _RECENTLY)
    )
    shown = select(publications.c.model_id).where(_shown_to(client_id, audience))
    gone = delisted_since(tx, client_id, audience, now - _RECENTLY)
    return sorted(set(tx.scalars(requested.union(shown))) - set(gone))


def record_listing(tx: WriteTransaction, listing: Listing, listed: Iterable[str]) -> list[str]:
    """Record what an account lists, and which models it lists no more; transfers clear the slots of those.

    A model is gone if this query listed it the last time, or the query that the same task made before it was changed,
    and no other query of the audience lists it now: what another DAG or task lists is not this one's to take back.

    :return: the models that are gone.
    """
    now = tx.now()
    models = list(dict.fromkeys(listed))
    rows = _sorted_out(tx, listing, now)
    candidates = _missing(tx, rows, models)
    _keep(tx, listing, models, now)
    tx.execute(delete(listings).where(listings.c.listing_key.in_([row.listing_key for row in rows.replaced])))
    shown = select(publications.c.model_id).where(_shown_to(listing.client_id, listing.audience)).distinct()
    gone = sorted(candidates & set(tx.scalars(shown))) if candidates else []
    subjects = [
        {"model_id": model_id, "audience": listing.audience, "client_id": listing.client_id} for model_id in gone
    ]
    record_events(tx, _DELISTED, subjects, now, "the account does not list it any more")
    return gone


@dataclass(frozen=True)
class ListingChange:
    """What :func:`record_listing` would take back.

    :param before: how many models the query listed the last time.
    :param missing: those that it lists no more, and no other query of the audience does.
    """

    before: int
    missing: frozenset[str]


def compare_listing(tx: WriteTransaction, listing: Listing, listed: Iterable[str]) -> ListingChange:
    """Compare what an account lists with what it listed the last time. Models excluded on purpose are not missing."""
    rows = _sorted_out(tx, listing, tx.now())
    before = _models_of(tx, [*rows.own, *rows.replaced]) - listing.exclude
    return ListingChange(len(before), frozenset(_missing(tx, rows, listed) - listing.exclude))


def delisted_since(tx: ReadTransaction, client_id: str, audience: str, since: datetime) -> dict[str, datetime]:
    """Return when each model of a client's audience was last found missing in the account's list."""
    found = tx.execute(
        select(events.c.model_id, func.max(events.c.at))
        .where(
            events.c.at >= since,
            events.c.event == _DELISTED,
            events.c.audience == audience,
            events.c.client_id == client_id,
        )
        .group_by(events.c.model_id)
    ).all()
    return {row[0]: row[1] for row in found}


def _shown_to(client_id: str, audience: str) -> ColumnElement[bool]:
    return (publications.c.audience == audience) & (publications.c.client_id == client_id)


def _listings_of(tx: ReadTransaction, listing: Listing) -> Sequence[Any]:
    """Return the listings of a client's audience, whatever their query."""
    which = listings.c.client_id == listing.client_id, listings.c.audience == listing.audience
    rows: Sequence[Any] = tx.execute(select(listings).where(*which)).all()
    return rows


@dataclass(frozen=True)
class _Listings:
    """The listings of a client's audience: the one looked at, those it replaces, and those of other queries."""

    own: Sequence[Any]
    replaced: Sequence[Any]
    others: Sequence[Any]


def _sorted_out(tx: WriteTransaction, listing: Listing, now: datetime) -> _Listings:
    rows = _listings_of(tx, listing)
    own = [row for row in rows if row.listing_key == listing.key]
    replaced = [row for row in rows if row not in own and _is_replaced(tx, row, now)]
    others = [row for row in rows if row not in (*own, *replaced) and row.seen_at > now - _RECENTLY]
    return _Listings(own, replaced, others)


def _missing(tx: ReadTransaction, rows: _Listings, listed: Iterable[str]) -> set[str]:
    return _models_of(tx, [*rows.own, *rows.replaced]) - set(listed) - _models_of(tx, rows.others)


def _is_replaced(tx: WriteTransaction, row: Any, now: datetime) -> bool:
    """Return whether another query was made by the same task, whose query was changed since.

    A command has no task: what a person lists is replaced once nobody has listed it for a while.
    """
    lister = tx.run_context.lister
    if lister is None:
        return row.lister is None and row.seen_at <= now - _RECENTLY
    return bool(row.lister == lister)


def _models_of(tx: ReadTransaction, rows: Iterable[Any]) -> set[str]:
    return {model_id for row in rows for model_id in manifests.models_of(tx, row.manifest_id)}


def _keep(tx: WriteTransaction, listing: Listing, models: list[str], now: datetime) -> None:
    made = {"manifest_id": manifests.keep(tx, models), "lister": tx.run_context.lister, "seen_at": now}
    named = {"client_id": listing.client_id, "audience": listing.audience, "query": listing.query}
    insert_missing(tx, listings, [{"listing_key": listing.key, **named, **made}])
    tx.execute(update(listings).where(listings.c.listing_key == listing.key).values(**made))
