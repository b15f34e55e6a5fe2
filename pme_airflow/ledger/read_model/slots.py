"""What slots show now: a row a slot, with its state, filtered, ordered and in pages; and their counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, case, func, or_, select

from pme_airflow.ledger.read_model.at_risk import is_at_risk
from pme_airflow.ledger.read_model.rules import Classification, Rules, SlotState
from pme_airflow.ledger.storable import storable
from pme_airflow.ledger.tables import EPOCH, links, models, publications
from pme_airflow.ledger.transaction import ReadTransaction

__all__ = ["ALL_SLOTS", "ORDERS", "SlotCount", "SlotFilter", "SlotRow", "by_state", "count_slots", "find_slots"]

#: What slots can be ordered by.
ORDERS = ("state", "model", "audience", "target", "slot", "minted_at", "valid_until", "renews_at")


#: No column that is searched is longer.
_LONGEST_SEARCH = 700


@dataclass(frozen=True)
class SlotRow:
    """One slot and its link; never a token.

    :param renews_at: when the link is due for renewal.
    :param overdue: whether it is due for longer than its placement allows.
    :param at_risk: whether it is nearer to its end than the plan allows, or past it, although nobody wanted it to end.
    """

    slot_key: str
    target: str
    slot: str
    model_id: str
    model_name: str | None
    audience: str
    client_id: str
    link_id: str
    published_at: datetime
    run: str
    link_state: str | None
    fingerprint: str | None
    minted_at: datetime | None
    valid_until: datetime | None
    flagged_at: datetime | None
    retire_at: datetime | None
    revoked_at: datetime | None
    state: SlotState
    renews_at: datetime | None
    overdue: bool
    at_risk: bool


@dataclass(frozen=True)
class SlotFilter:
    """Which slots, in which order. An empty criterion matches all.

    :param search: text that the model's id or name, the audience, the target or the slot contains.
    :param order: one of :data:`ORDERS`.
    """

    search: str = ""
    states: frozenset[SlotState] = frozenset()
    audiences: frozenset[str] = frozenset()
    targets: frozenset[str] = frozenset()
    models: frozenset[str] = frozenset()
    slot_keys: frozenset[str] = frozenset()
    overdue: bool = False
    at_risk: bool = False
    order: str = "state"
    descending: bool = False

    def where(self, classified: Classification, now: datetime) -> list[ColumnElement[bool]]:
        """Return what a slot must fulfil."""
        named = [
            (publications.c.audience, self.audiences),
            (publications.c.target, self.targets),
            (publications.c.model_id, self.models),
            (publications.c.slot_key, self.slot_keys),
            (classified.state, frozenset(state.value for state in self.states)),
        ]
        criteria: list[ColumnElement[bool]] = [column.in_(sorted(values)) for column, values in named if values]
        if self.overdue:
            criteria.append(classified.is_overdue)
        if self.at_risk:
            criteria.append(is_at_risk(classified, now))
        if self.search:
            criteria.append(_contains(self.search))
        return criteria


def _contains(text: str) -> ColumnElement[bool]:
    searched = (publications.c.model_id, models.c.name, publications.c.audience, publications.c.target,
                publications.c.slot, publications.c.link_id)  # fmt: skip
    wanted = storable(text.lower(), _LONGEST_SEARCH)
    return or_(*(func.lower(column).contains(wanted, autoescape=True) for column in searched))


#: All slots, the most urgent first.
ALL_SLOTS = SlotFilter()


@dataclass(frozen=True)
class SlotCount:
    """How many slots of an audience at a target are in a state.

    :param overdue: how many of them are overdue.
    :param at_risk: how many of them are nearer to their end than the plan allows, or past it.
    :param first_end: the soonest end of a link among them.
    :param first_renewal: the soonest renewal among them.
    :param first_at_risk: when the first of them is at risk unless it is renewed.
    """

    audience: str
    target: str
    state: SlotState
    slots: int
    overdue: int
    first_end: datetime | None
    first_renewal: datetime | None
    at_risk: int
    first_at_risk: datetime | None


_PLAIN = ("slot_key", "target", "slot", "model_id", "audience", "client_id", "link_id", "published_at", "run")
_OF_LINK = ("fingerprint", "minted_at", "valid_until", "flagged_at", "retire_at", "revoked_at")
_SHOWN = publications.outerjoin(links, links.c.link_id == publications.c.link_id).outerjoin(
    models, and_(models.c.client_id == publications.c.client_id, models.c.model_id == publications.c.model_id)
)


def find_slots(
    tx: ReadTransaction, client_id: str, rules: Rules, which: SlotFilter, limit: int = 200, offset: int = 0
) -> list[SlotRow]:
    """Return a page of a client's slots."""
    now = tx.now()
    classified = Classification(rules, now)
    query = select(
        *(publications.c[name] for name in _PLAIN),
        *(links.c[name] for name in _OF_LINK),
        models.c.name.label("model_name"),
        links.c.state.label("link_state"),
        classified.state.label("state"),
        classified.renews_at.label("renews_at"),
        classified.is_overdue.label("overdue"),
        is_at_risk(classified, now).label("at_risk"),
    )
    query = _of_client(query, client_id).where(*which.where(classified, now))
    rows = tx.execute(query.order_by(*_order(which, classified)).limit(limit).offset(offset))
    return [_slot(dict(row._mapping)) for row in rows]


def count_slots(tx: ReadTransaction, client_id: str, rules: Rules, which: SlotFilter = ALL_SLOTS) -> list[SlotCount]:
    """Count a client's slots by audience, target and state."""
    now = tx.now()
    classified = Classification(rules, now)
    keys = (publications.c.audience, publications.c.target, classified.state.label("state"),
            classified.is_overdue.label("overdue"))  # fmt: skip
    times = (links.c.valid_until.label("valid_until"), classified.renews_at.label("renews_at"),
             classified.at_risk_at.label("at_risk_at"))  # fmt: skip
    at_risk = case((is_at_risk(classified, now), 1), else_=0).label("at_risk")
    shown = _of_client(select(*keys, *times, at_risk), client_id).where(*which.where(classified, now)).subquery()
    numbers = (func.count(), func.min(shown.c.valid_until), func.min(shown.c.renews_at),
               func.sum(shown.c.at_risk), func.min(shown.c.at_risk_at))  # fmt: skip
    names = (shown.c.audience, shown.c.target, shown.c.state, shown.c.overdue)
    return _merged(tx.execute(select(*names, *numbers).group_by(*names)).all())


def _of_client(query: Select[Any], client_id: str) -> Select[Any]:
    return query.select_from(_SHOWN).where(publications.c.client_id == client_id)


def _merged(rows: Sequence[Any]) -> list[SlotCount]:
    """Merge the groups of overdue slots with those of the same state that are not."""
    found: dict[tuple[str, str, str], list[Any]] = {}
    for row in rows:
        found.setdefault((row[0], row[1], row[2]), []).append(row)
    return [
        SlotCount(
            audience,
            target,
            SlotState(state),
            slots=sum(int(row[4]) for row in group),
            overdue=sum(int(row[4]) for row in group if row[3]),
            first_end=min((row[5] for row in group if row[5] is not None), default=None),
            first_renewal=min((_timestamp(row[6]) for row in group if row[6] is not None), default=None),
            at_risk=sum(int(row[7]) for row in group),
            first_at_risk=min((_timestamp(row[8]) for row in group if row[8] is not None), default=None),
        )
        for (audience, target, state), group in sorted(found.items())
    ]


def by_state(counts: Sequence[SlotCount]) -> dict[str, int]:
    """Return how many slots are in each state, how many are overdue and at risk; all of them are ``total``."""
    totals = Counter({state.value: 0 for state in SlotState})
    for count in counts:
        totals[count.state.value] += count.slots
    late = {name: sum(getattr(count, name) for count in counts) for name in ("overdue", "at_risk")}
    return {"total": totals.total(), **totals, **late}


def _order(which: SlotFilter, classified: Classification) -> list[Any]:
    columns: dict[str, list[Any]] = {
        "state": [classified.urgency, links.c.valid_until],
        "model": [func.coalesce(models.c.name, publications.c.model_id), publications.c.model_id],
        "audience": [publications.c.audience],
        "target": [publications.c.target],
        "slot": [publications.c.slot],
        "minted_at": [links.c.minted_at],
        "valid_until": [links.c.valid_until],
        "renews_at": [classified.renews_at],
    }
    wanted = columns[which.order]
    return [*(column.desc() if which.descending else column for column in wanted), publications.c.slot_key]


def _slot(row: dict[str, Any]) -> SlotRow:
    row["state"] = SlotState(row["state"])
    row["renews_at"] = None if row["renews_at"] is None else _timestamp(row["renews_at"])
    row |= {name: bool(row[name]) for name in ("overdue", "at_risk")}
    return SlotRow(**row)


def _timestamp(microseconds: Any) -> datetime:
    return EPOCH + timedelta(microseconds=int(microseconds))
