"""Queries about leaked links that may still be alive."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, case, func, select

from pme_airflow.ledger.conditions import is_flagged
from pme_airflow.ledger.keys import viewer_audience
from pme_airflow.ledger.link_models import opening
from pme_airflow.ledger.links import LinkRow, chunked, fetch, load_unsealed, query
from pme_airflow.ledger.states import ALIVE, State
from pme_airflow.ledger.tables import links
from pme_airflow.ledger.transaction import ReadTransaction

__all__ = ["FlaggedAlive", "flagged_alive", "flagged_links", "links_matching"]


#: Rows that are fetched from the database at once.
_PAGE = 1000


@dataclass(frozen=True)
class FlaggedAlive:
    """The flagged links of one client that are still live.

    :param client_id: the client they were minted by; only its connection can revoke them.
    :param irrevocable: how many of them the API refused to revoke ``max_attempts`` times.
    :param until: the latest time at which one of them expires.
    """

    client_id: str
    count: int
    irrevocable: int
    until: datetime


def flagged_alive(tx: ReadTransaction) -> list[FlaggedAlive]:
    """Count the flagged links that are still live, by the client they were minted by."""
    # a range on flagged_at, which every database answers from its index; "is not null" SQLite would not
    flagged = select(
        links.c.client_id,
        func.count(),
        func.sum(case((links.c.irrevocable, 1), else_=0)),
        func.max(links.c.valid_until),
    ).where(links.c.state == State.LIVE, is_flagged())
    grouped = tx.execute(flagged.group_by(links.c.client_id).order_by(links.c.client_id))
    return [FlaggedAlive(client_id, int(count), int(never or 0), until) for client_id, count, never, until in grouped]


def flagged_links(tx: ReadTransaction, limit: int) -> list[LinkRow]:
    """Return the flagged links that may be alive, of any client, newest first."""
    flagged = query().where(links.c.state.in_(sorted(ALIVE)), is_flagged())
    return fetch(tx, flagged.order_by(links.c.seq.desc()).limit(limit))


def links_matching(
    tx: ReadTransaction,
    *,
    fingerprints: Sequence[str] = (),
    link_ids: Sequence[str] = (),
    models: Sequence[str] = (),
    audiences: Sequence[str] = (),
) -> list[LinkRow]:
    """Return the links that may be alive and match every criterion given, oldest first, without their sealed texts.

    Fingerprints and link ids are one criterion: each names a link.
    """
    criteria: list[ColumnElement[bool]] = [links.c.state.in_(sorted(ALIVE))]
    if models:
        criteria.append(opening(models))
    if audiences:
        criteria.append(links.c.audience.in_([*audiences, *map(viewer_audience, audiences)]))
    if not fingerprints and not link_ids:
        matching = query().where(*criteria).order_by(links.c.seq).execution_options(yield_per=_PAGE)
        return fetch(tx, matching, load_unsealed)
    found: dict[int, LinkRow] = {}
    for column, values in ((links.c.fingerprint, fingerprints), (links.c.link_id, link_ids)):
        for chunk in chunked(dict.fromkeys(values)):
            rows = fetch(tx, query().where(*criteria, column.in_(chunk)), load_unsealed)
            found.update((row.seq, row) for row in rows)
    return [found[seq] for seq in sorted(found)]
