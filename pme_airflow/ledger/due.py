"""What is due: the reads by which a watcher decides to start a sweep or a renewal. Each is answered from an index."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Executable, and_, distinct, exists, func, or_, select

from pme_airflow.ledger.conditions import is_flagged, is_not_flagged, is_not_retiring
from pme_airflow.ledger.link_models import opens, opens_model
from pme_airflow.ledger.links import given_share
from pme_airflow.ledger.states import State
from pme_airflow.ledger.sweep_queue import may_be_tried
from pme_airflow.ledger.tables import events, link_models, links, publications
from pme_airflow.ledger.transaction import ReadTransaction

__all__ = ["DueWork", "RenewalDemand", "dark_slots", "renewals_due", "sweep_due"]

#: How long an ended or abandoned link is left to the sweeps of every 15 minutes before it starts one of its own:
#: nothing is alive any more, and where viewers have links of ten minutes one ends every few seconds.
_CLOSE_DELAY = timedelta(minutes=45)
#: A retirement is left for so long to the sweep that may be waiting for it, which needs no further run.
_SWEEP_TAKES = timedelta(seconds=1)
#: How many links below their margin are read in one look. The soonest come first.
_PAGE = 1000
#: A link minted longer ago than this that no slot shows is left to the scheduled renewals.
_RECENTLY = timedelta(hours=2)
#: Each link with each of its models.
_OPENED = links.outerjoin(link_models, link_models.c.link_id == links.c.link_id)
#: Events after which a slot may be dark. Some are stamped with the API server's time, so up to 15 minutes late.
_DARKENING = ("flagged", "revoked", "expired")
_EVENT_DELAY = timedelta(minutes=15)


@dataclass(frozen=True)
class DueWork:
    """How much is due.

    :param count: links and slots; at most as many as one look reads.
    :param since: when it became due; ``None`` if nothing is. Of what is to be done at once, a flag or a dark slot, the
        newest counts. Of renewals and publications the oldest does: while one is left that a run did not help, the
        others that fall due after it start no runs of their own, which the same API or target would refuse too.
    """

    count: int = 0
    since: datetime | None = None

    def __add__(self, other: DueWork) -> DueWork:
        known = [since for since in (self.since, other.since) if since is not None]
        return DueWork(self.count + other.count, max(known, default=None))


@dataclass(frozen=True)
class RenewalDemand:
    """Whose links are renewed, and when one is due.

    :param renew_before: a link with less than this left is due.
    :param slack: how much later a look reports it, so that links which fall due one after the other share a run.
    """

    client_id: str
    audience: str
    renew_before: timedelta
    slack: timedelta


def sweep_due(tx: ReadTransaction, client_id: str) -> DueWork:
    """Return what a sweep of a client's links would revoke or close now.

    A link whose next try is still to come is not due. A retry's turn is no newer than the flag or retirement it is
    for, so that a link the API keeps refusing does not look like a new one.
    """
    now = tx.now()
    base = and_(links.c.state == State.LIVE, links.c.client_id == client_id, may_be_tried(now))
    return (
        _counted(tx, select(func.count(), func.max(links.c.flagged_at)).where(base, is_flagged()))
        + _counted(
            tx,
            select(func.count(), func.max(links.c.retire_at)).where(
                base, is_not_flagged(), links.c.retire_at <= now - _SWEEP_TAKES
            ),
        )
        + _to_close(tx, now)
    )


def _to_close(tx: ReadTransaction, now: datetime) -> DueWork:
    ended = links.c.state.in_([State.LIVE, State.UNACCOUNTED]), links.c.valid_until <= now - _CLOSE_DELAY
    left = links.c.state == State.MINTING, links.c.requested_at <= now - _CLOSE_DELAY
    return _counted(tx, select(func.count(), func.max(links.c.valid_until)).where(*ended)) + _counted(
        tx, select(func.count(), func.max(links.c.requested_at)).where(*left)
    )


def renewals_due(tx: ReadTransaction, demand: RenewalDemand) -> DueWork:
    """Return which links of an audience are to be renewed, and which new ones a slot still lacks."""
    now = tx.now()
    return _below_margin(tx, demand, now) + _unpublished(tx, demand, now)


def _below_margin(tx: ReadTransaction, demand: RenewalDemand, now: datetime) -> DueWork:
    margin = demand.renew_before - demand.slack
    rows = tx.execute(
        select(links.c.valid_until, links.c.minted_at, links.c.valid_for)
        .select_from(_OPENED)
        .where(_usable(demand), links.c.valid_until <= now + margin, ~_superseded())
        .order_by(links.c.valid_until)
        .limit(_PAGE)
    )
    due_at = [row.valid_until - margin * _share(row) for row in rows]
    reached = [timestamp for timestamp in due_at if timestamp <= now]
    return DueWork(len(reached), min(reached, default=None))


def _share(row: Any) -> float:
    """Return which part of the requested validity the API gave; the margin shrinks by it, as it does for a mint."""
    if row.minted_at is None:
        return 1.0
    return given_share(timedelta(seconds=row.valid_for), row.valid_until - row.minted_at)


def _unpublished(tx: ReadTransaction, demand: RenewalDemand, now: datetime) -> DueWork:
    """Return new links that no slot shows although time enough has passed since they were minted.

    That is a model's first link whose publication failed, and a slot that is behind its model's newest link.
    """
    settled = now - demand.slack
    recent = links.c.requested_at > now - _RECENTLY, links.c.minted_at <= settled
    shown = exists().where(publications.c.link_id == links.c.link_id, publications.c.model_id == opens)
    behind = exists().where(
        publications.c.audience == links.c.audience,
        publications.c.client_id == links.c.client_id,
        publications.c.model_id == opens,
        publications.c.link_seq < links.c.seq,
    )
    owner = links.c.audience == demand.audience, links.c.client_id == demand.client_id
    usable = links.c.state == State.LIVE, is_not_flagged(), is_not_retiring()
    query = select(func.count(), func.min(links.c.minted_at)).select_from(_OPENED)
    found = _counted(tx, query.where(*owner, *recent, *usable, or_(~shown, behind), ~_superseded()))
    return found if found.since is None else DueWork(found.count, found.since + demand.slack)


def dark_slots(tx: ReadTransaction, demand: RenewalDemand, since: datetime | None = None) -> DueWork:
    """Return an audience's slots that show a link which is flagged, revoked or past its end.

    :param since: look only at what happened after this time, which costs far less; ``None`` to look at every slot.
    """
    now = tx.now()
    owner = publications.c.audience == demand.audience, publications.c.client_id == demand.client_id
    if since is None:
        dark = or_(links.c.link_id.is_(None), links.c.state != State.LIVE, is_flagged(), links.c.valid_until <= now)
        slots = publications.outerjoin(links, links.c.link_id == publications.c.link_id)
        became_dark = func.coalesce(links.c.flagged_at, links.c.revoked_at, links.c.valid_until)
        return _counted(tx, select(func.count(), func.max(became_dark)).select_from(slots).where(*owner, dark))
    happened = events.c.event.in_(_DARKENING), events.c.at >= since - _EVENT_DELAY
    # Written so that SQLite begins with the few events and not with every slot, whose events it would look up.
    shown = events.join(publications, publications.c.link_id == func.coalesce(events.c.link_id, ""))
    query = select(func.count(distinct(publications.c.slot_key)), func.max(events.c.at))
    return _counted(tx, query.select_from(shown).where(*happened, *owner))


def _usable(demand: RenewalDemand) -> ColumnElement[bool]:
    """Return whether a link is live and wanted, written so that SQLite reads the live links by their ends.

    Given the audience as a plain comparison it would read all that the audience ever had.
    """
    return and_(
        links.c.state == State.LIVE,
        func.coalesce(links.c.audience, "") == demand.audience,
        links.c.client_id == demand.client_id,
        is_not_flagged(),
        is_not_retiring(),
    )


def _superseded() -> ColumnElement[bool]:
    """Return whether the model has a newer link that will do."""
    newer = links.alias()
    return exists(
        select(newer.c.seq).where(
            newer.c.audience == links.c.audience,
            opens_model(newer, opens),
            newer.c.state == State.LIVE,
            newer.c.client_id == links.c.client_id,
            newer.c.seq > links.c.seq,
            is_not_flagged(newer),
            is_not_retiring(newer),
        )
    )


def _counted(tx: ReadTransaction, query: Executable) -> DueWork:
    rows: Sequence[Any] = tx.execute(query).all()
    count, since = rows[0]
    return DueWork(int(count), since)
