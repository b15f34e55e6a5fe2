"""The figures that monitoring watches: of each audience at each target, and of each audience's links."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, case, func, select

from pme_airflow.ledger.conditions import is_flagged
from pme_airflow.ledger.read_model.at_risk import is_at_risk
from pme_airflow.ledger.read_model.rules import Classification, Rules, SlotState
from pme_airflow.ledger.states import State
from pme_airflow.ledger.tables import EPOCH, links, publications
from pme_airflow.ledger.transaction import ReadTransaction

__all__ = ["LinkGauges", "SlotGauges", "link_gauges", "slot_gauges"]

_NUMBERS = ("slots", "dark", "due", "overdue", "unaccounted", "at_risk", "irrevocable")


@dataclass(frozen=True)
class SlotGauges:
    """The slots of one audience at one target.

    :param unaccounted: slots whose last write was not confirmed.
    :param at_risk: slots that are nearer to their end than the plan allows, or past it.
    :param irrevocable: slots that show an irrevocable link.
    :param oldest_flag: when the oldest flag on a link that is shown and alive was made.
    :param first_end: the soonest end of a link that is not over.
    :param first_renewal: the soonest renewal of such a link; in the past if it is due.
    :param first_at_risk: when the first slot is at risk unless it is renewed.
    """

    audience: str
    target: str
    slots: int
    dark: int
    due: int
    overdue: int
    unaccounted: int
    at_risk: int
    irrevocable: int
    oldest_flag: datetime | None
    first_end: datetime | None
    first_renewal: datetime | None
    first_at_risk: datetime | None


@dataclass(frozen=True)
class LinkGauges:
    """The links of one audience that are alive, shown or not.

    :param unaccounted: links whose response was lost.
    :param oldest_flag: when the oldest flag on one of them was made.
    """

    audience: str
    flagged: int
    unaccounted: int
    irrevocable: int
    oldest_flag: datetime | None


def slot_gauges(tx: ReadTransaction, client_id: str, rules: Rules, target: str | None = None) -> list[SlotGauges]:
    """Return the figures of a client's slots by audience and target.

    :param target: look at this target alone.
    """
    now = tx.now()
    classified = Classification(rules, now)
    is_over = classified.state == SlotState.DARK.value
    flag = case((and_(~is_over, is_flagged()), links.c.flagged_at))
    names = (publications.c.audience, publications.c.target)
    query = select(
        *names,
        func.count().label("slots"),
        _count(is_over).label("dark"),
        _count(classified.state == SlotState.DUE.value).label("due"),
        _count(classified.is_overdue).label("overdue"),
        _count(classified.state == SlotState.UNACCOUNTED.value).label("unaccounted"),
        _count(is_at_risk(classified, now)).label("at_risk"),
        _count(and_(~is_over, links.c.irrevocable.is_(True))).label("irrevocable"),
        func.min(flag).label("oldest_flag"),
        func.min(case((~is_over, links.c.valid_until))).label("first_end"),
        func.min(case((~is_over, classified.renews_at))).label("first_renewal"),
        func.min(case((~is_over, classified.at_risk_at))).label("first_at_risk"),
    ).select_from(publications.outerjoin(links, links.c.link_id == publications.c.link_id))
    query = query.where(publications.c.client_id == client_id, *([publications.c.target == target] if target else []))
    return [_slot_gauges(dict(row._mapping)) for row in tx.execute(query.group_by(*names).order_by(*names))]


def _slot_gauges(row: dict[str, Any]) -> SlotGauges:
    numbers = {name: int(row[name]) for name in _NUMBERS}
    times = {name: _timestamp(row[name]) for name in ("first_renewal", "first_at_risk")}
    return SlotGauges(**{**row, **numbers, **times})


def link_gauges(tx: ReadTransaction, client_id: str) -> list[LinkGauges]:
    """Return the figures of a client's links by audience; of an audience without a live link, nothing."""
    now = tx.now()
    live, flagged = links.c.state == State.LIVE, is_flagged()
    unaccounted = links.c.state == State.UNACCOUNTED
    alive = links.c.state.in_([State.LIVE, State.UNACCOUNTED]), links.c.valid_until > now
    irrevocable = and_(live, links.c.irrevocable.is_(True))
    query = select(
        links.c.audience,
        _count(flagged),
        _count(unaccounted),
        _count(irrevocable),
        func.min(case((flagged, links.c.flagged_at))),
    ).where(*alive, links.c.client_id == client_id)
    rows = tx.execute(query.group_by(links.c.audience).order_by(links.c.audience))
    return [LinkGauges(row[0], int(row[1]), int(row[2]), int(row[3]), row[4]) for row in rows]


def _count(condition: ColumnElement[bool]) -> ColumnElement[Any]:
    return func.coalesce(func.sum(case((condition, 1))), 0)


def _timestamp(microseconds: Any) -> datetime | None:
    return None if microseconds is None else EPOCH + timedelta(microseconds=int(microseconds))
