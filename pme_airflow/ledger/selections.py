"""Selects what slots show, and the links that none shows, by criteria that all must match."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, func, select, update

from pme_airflow.ledger.conditions import is_not_flagged, is_not_retiring
from pme_airflow.ledger.database import Database
from pme_airflow.ledger.events import record_events
from pme_airflow.ledger.keys import viewer_audience
from pme_airflow.ledger.link_models import opening
from pme_airflow.ledger.links import fetch, query
from pme_airflow.ledger.publications import Publication
from pme_airflow.ledger.states import State
from pme_airflow.ledger.tables import links, publications
from pme_airflow.ledger.transaction import ReadTransaction, WriteTransaction

__all__ = ["Selection", "count_shown", "live_audiences", "retire_unshown_links", "retired_links", "shown",
           "targets_shown"]  # fmt: skip

_PAGE = 500


@dataclass(frozen=True)
class Selection:
    """Slots of one client. An empty criterion matches all.

    :param client_id: the client that minted what they show.
    :param publishers: the DAGs that published; ``None`` for all.
    """

    client_id: str
    audiences: frozenset[str] = frozenset()
    models: frozenset[str] = frozenset()
    targets: frozenset[str] = frozenset()
    publishers: frozenset[str] | None = None

    def where(self, table: Any) -> list[ColumnElement[bool]]:
        """Return what a publication or a link must fulfil; of links, targets and publishers are not asked.

        The links of an audience's viewers, which no slot shows, are the audience's too.
        """
        criteria: list[ColumnElement[bool]] = [table.c.client_id == self.client_id]
        named = [("audience", self.audiences | set(map(viewer_audience, self.audiences)))]
        if table is publications:
            named += [("model_id", self.models), ("target", self.targets)]
            if self.publishers is not None:
                criteria.append(table.c.publisher.in_(sorted(self.publishers)))
        elif self.models:
            criteria.append(opening(self.models))
        return criteria + [table.c[column].in_(sorted(values)) for column, values in named if values]


def shown(database: Database, selection: Selection) -> Iterator[Publication]:
    """Yield what the selected slots show, read in pages; no transaction is open between them."""
    after = ""
    while True:
        page = select(publications).where(*selection.where(publications), publications.c.slot_key > after)
        with database.read() as tx:
            rows = tx.execute(page.order_by(publications.c.slot_key).limit(_PAGE)).all()
        yield from (Publication(**row._mapping) for row in rows)
        if len(rows) < _PAGE:
            return
        after = rows[-1].slot_key


def count_shown(tx: ReadTransaction, selection: Selection) -> int:
    """Count the selected slots."""
    return int(tx.scalar(select(func.count()).select_from(publications).where(*selection.where(publications))) or 0)


def targets_shown(tx: ReadTransaction, selection: Selection) -> list[str]:
    """Return the names of the targets of the selected slots, sorted."""
    names = select(publications.c.target).where(*selection.where(publications)).distinct()
    return sorted(tx.scalars(names))


def live_audiences(tx: ReadTransaction, client_id: str) -> list[str]:
    """Return the audiences that a client has live links for, sorted."""
    live = links.c.client_id == client_id, links.c.state == State.LIVE
    return sorted(tx.scalars(select(links.c.audience).where(*live).distinct()))


def retired_links(tx: ReadTransaction, selection: Selection) -> list[str]:
    """Return the ids of the selected links that are retired, not flagged, due to be revoked and still live."""
    due = links.c.state == State.LIVE, is_not_flagged(), links.c.retire_at <= tx.now()
    return list(tx.scalars(select(links.c.link_id).where(*selection.where(links), *due).order_by(links.c.seq)))


def retire_unshown_links(tx: WriteTransaction, selection: Selection, reason: str, limit: int = _PAGE) -> list[str]:
    """Retire selected live links that no slot shows, without a grace period; return their ids, at most ``limit``."""
    now = tx.now()
    is_shown = select(publications.c.link_id).where(publications.c.link_id == links.c.link_id).exists()
    unwanted = query().where(
        *selection.where(links),
        links.c.state == State.LIVE,
        is_not_flagged(),
        is_not_retiring() | (links.c.retire_at > now),
        ~is_shown,
    )
    rows = fetch(tx, unwanted.order_by(links.c.seq).limit(limit).with_for_update())
    tx.execute(update(links).where(links.c.seq.in_([row.seq for row in rows])).values(retire_at=now))
    record_events(tx, "retiring", [row.subject for row in rows], now, reason)
    return [row.link_id for row in rows]
