"""Reads the ledger as a whole: lists, a link's history, exports. Purges links that ended long ago."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, delete, exists, func, select, update

from pme_airflow.iso_times import iso_text
from pme_airflow.ledger.database import Database
from pme_airflow.ledger.events import record_events
from pme_airflow.ledger.link_models import delete_models, opening
from pme_airflow.ledger.links import LinkRow, fetch, lock, query
from pme_airflow.ledger.states import ALIVE, State
from pme_airflow.ledger.tables import events, links, publications, runs
from pme_airflow.ledger.transaction import ReadTransaction, WriteTransaction

__all__ = [
    "as_json",
    "count_ended",
    "export_events",
    "history",
    "list_links",
    "purge",
    "purge_part",
    "replace_sealed",
    "sealed_rows",
]

_PAGE = 1000
#: How many links a purge deletes in a transaction: tasks wait for one of them, not for all.
_PURGED_AT_ONCE = 500
_EVENT = ("event", "link_id", "model_id", "audience", "fingerprint", "run", "reason", "target", "slot")
_TIMESTAMPS = ("requested_at", "minted_at", "valid_until", "flagged_at", "retire_at", "revoked_at")


def as_json(row: LinkRow) -> dict[str, Any]:
    """Return a link as JSON for people and programs, without its sealed text."""

    def timestamp(value: datetime | None) -> str | None:
        return None if value is None else iso_text(value)

    return {
        "link_id": row.link_id,
        "model_id": row.opens[0],
        "models": list(row.opens),
        "audience": row.audience,
        "state": row.state.value,
        "fingerprint": row.fingerprint,
        **{name: timestamp(getattr(row, name)) for name in _TIMESTAMPS},
        "revoke_attempts": row.revoke_attempts,
        "irrevocable": row.irrevocable,
        "flag_reason": row.flag_reason,
        "verified": row.verified,
        "run": row.run,
        "viewer": row.viewer,
    }


def list_links(
    tx: ReadTransaction,
    states: Sequence[str] = (),
    models: Sequence[str] = (),
    audiences: Sequence[str] = (),
    limit: int | None = None,
    viewers: Sequence[str] = (),
) -> Iterator[LinkRow]:
    """Yield links, newest first, read in pages.

    :param viewers: fingerprints of viewers, whose own links are wanted alone.
    """
    before: int | None = None
    left = limit
    while left is None or left > 0:
        page = query().order_by(links.c.seq.desc()).limit(_PAGE if left is None else min(_PAGE, left))
        if states:
            page = page.where(links.c.state.in_(list(states)))
        if models:
            page = page.where(opening(models))
        if audiences:
            page = page.where(links.c.audience.in_(list(audiences)))
        if viewers:
            page = page.where(links.c.viewer.in_(list(viewers)))
        if before is not None:
            page = page.where(links.c.seq < before)
        rows = fetch(tx, page)
        yield from rows
        if len(rows) < _PAGE:
            return
        before = rows[-1].seq
        left = None if left is None else left - len(rows)


def history(tx: ReadTransaction, link_id: str) -> list[dict[str, Any]]:
    """Return the events of one link, oldest first."""
    rows = tx.execute(select(events).where(events.c.link_id == link_id).order_by(events.c.seq))
    return [_event(row._mapping) for row in rows]


def export_events(tx: ReadTransaction) -> Iterator[dict[str, Any]]:
    """Yield all events, oldest first, read in pages."""
    after = 0
    while True:
        rows = tx.execute(select(events).where(events.c.seq > after).order_by(events.c.seq).limit(_PAGE)).all()
        for row in rows:
            yield _event(row._mapping)
        if len(rows) < _PAGE:
            return
        after = rows[-1].seq


def shown_slots(tx: ReadTransaction, link_id: str) -> list[dict[str, Any]]:
    """Return the slots that show a link."""
    rows = tx.execute(select(publications).where(publications.c.link_id == link_id))
    return [
        {"target": r.target, "slot": r.slot, "model_id": r.model_id, "published_at": r.published_at.isoformat()}
        for r in rows
    ]


def _ended(before: datetime) -> ColumnElement[bool]:
    """Return whether a link ended before a time, and no slot is recorded to show it."""
    return and_(
        links.c.state.in_(sorted(set(State) - ALIVE)),
        links.c.valid_until < before,
        links.c.requested_at < before,
        ~exists().where(publications.c.link_id == links.c.link_id),
    )


def count_ended(tx: ReadTransaction, before: datetime) -> int:
    """Return how many links :func:`purge` would delete."""
    return int(tx.scalar(select(func.count()).select_from(links).where(_ended(before))) or 0)


def purge(database: Database, before: datetime) -> int:
    """Delete links that ended before a time, and their events; never a link whose token may be alive.

    What is deleted stays deleted if a later part fails.

    :return: how many links were deleted.
    """
    dropped = 0
    while part := database.run(None, lambda tx: purge_part(tx, before)):
        dropped += part
    return dropped


def purge_part(tx: WriteTransaction, before: datetime) -> int:
    """Delete up to 500 of those links and their events, and return how many; 0 where none is left."""
    ids = list(tx.scalars(select(links.c.link_id).where(_ended(before)).limit(_PURGED_AT_ONCE)))
    if ids:
        tx.execute(delete(events).where(events.c.link_id.in_(ids)))
        delete_models(tx, ids)
        tx.execute(delete(links).where(links.c.link_id.in_(ids)))
    tx.execute(delete(runs).where(runs.c.seen_at < before - timedelta(days=1)))
    return len(ids)


def sealed_rows(tx: ReadTransaction, after: int, limit: int = 200) -> list[LinkRow]:
    """Return a page of the live links that have a sealed text."""
    page = query().where(links.c.state == State.LIVE, links.c.sealed.is_not(None), links.c.seq > after)
    return fetch(tx, page.order_by(links.c.seq).limit(limit))


def replace_sealed(tx: WriteTransaction, row: LinkRow, sealed: str, at: datetime) -> None:
    """Replace a link's sealed text, unless the link is gone or its sealed text was erased meanwhile."""
    current = lock(tx, [row.link_id]).get(row.link_id)
    if current is None or current.sealed is None:
        return
    tx.execute(update(links).where(links.c.seq == row.seq).values(sealed=sealed))
    record_events(tx, "resealed", [{"link_id": row.link_id}], at, "the sealing key changed")


def _event(row: Any) -> dict[str, Any]:
    return {**{key: row[key] for key in _EVENT},
            "at": iso_text(row["at"])}  # fmt: skip


def count_in_flight(tx: ReadTransaction, client_id: str) -> int:
    """Count a client's mints whose response has not been recorded yet."""
    minting = links.c.state == State.MINTING, links.c.client_id == client_id
    return int(tx.scalar(select(func.count()).select_from(links).where(*minting)) or 0)
