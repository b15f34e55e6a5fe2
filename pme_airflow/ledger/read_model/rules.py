"""When the links of an audience are due, as SQL that classifies every slot in one statement."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, and_, case, literal, type_coerce

from pme_airflow.ledger.states import State
from pme_airflow.ledger.tables import EPOCH, links, publications

__all__ = ["DEFAULT_RULE", "Classification", "NightlyRule", "RenewalRule", "Rules", "SlotState"]

_MICROSECOND = timedelta(microseconds=1)
_MILLE = 1000


class SlotState(str, Enum):
    """What is the case with a slot; the order is that of urgency.

    Dark: its link is over. Unaccounted: a write was not confirmed, so what it shows is not known. Retiring: its link is
    flagged or about to be revoked. Due: its link is to be renewed now. Live: nothing is to be done.
    """

    DARK = "dark"
    UNACCOUNTED = "unaccounted"
    RETIRING = "retiring"
    DUE = "due"
    LIVE = "live"


@dataclass(frozen=True)
class RenewalRule:
    """Links that the keeper renews.

    :param share: the part of a link's validity that is left when it is due.
    :param overdue_after: how long a link may be due before its renewal is overdue.
    :param renewed_within: how long a link is due at the most while nothing is wrong.
    """

    share: float = 0.5
    overdue_after: timedelta = timedelta(minutes=65)
    renewed_within: timedelta = timedelta(minutes=31)


@dataclass(frozen=True)
class NightlyRule:
    """Links that the nightly run alone renews.

    :param last_run: the latest time it was to begin.
    :param next_run: the next time it begins.
    """

    last_run: datetime
    next_run: datetime
    overdue_after: timedelta = timedelta(hours=1)


DEFAULT_RULE = RenewalRule()


@dataclass(frozen=True)
class Rules:
    """The rules of each audience; an audience without one has :data:`DEFAULT_RULE`."""

    by_audience: Mapping[str, RenewalRule | NightlyRule] = field(default_factory=dict)


class Classification:
    """The state of each slot, and when its link is due, as SQL over publications and their links.

    :param now: the time by which slots are classified.
    """

    def __init__(self, rules: Rules, now: datetime) -> None:
        self._rules = rules
        self._now = _number(now)
        self._until = until = type_coerce(links.c.valid_until, BigInteger)
        start = case((links.c.minted_at.is_not(None), type_coerce(links.c.minted_at, BigInteger)),
                     else_=type_coerce(links.c.requested_at, BigInteger))  # fmt: skip
        #: When the link of a slot is due, in microseconds since 1970.
        self.renews_at = self._by_audience(lambda rule: _renews_at(rule, start, until))
        is_over = links.c.link_id.is_(None) | (links.c.state != State.LIVE) | (until <= self._now)
        leaves = links.c.flagged_at.is_not(None) | links.c.retire_at.is_not(None)
        self._is_due = self.renews_at <= self._now
        ladder = [
            (is_over, SlotState.DARK),
            (publications.c.link_seq == 0, SlotState.UNACCOUNTED),
            (leaves, SlotState.RETIRING),
            (self._is_due, SlotState.DUE),
        ]
        #: The state, by its value.
        self.state = case(*((when, state.value) for when, state in ladder), else_=SlotState.LIVE.value)
        #: The state, by its urgency.
        self.urgency = case(*((when, rank) for rank, (when, _) in enumerate(ladder)), else_=len(ladder))

    @property
    def is_overdue(self) -> ColumnElement[bool]:
        """Whether a link is due for longer than its rule allows."""
        allowed = self._by_audience(lambda rule: _length(rule.overdue_after))
        return and_(self.state == SlotState.DUE.value, self.renews_at + allowed < self._now)

    @property
    def at_risk_at(self) -> ColumnElement[Any]:
        """When a slot that still shows the same link is nearer to its end than the plan allows, as :attr:`renews_at`.

        That is when the renewal is overdue; for short links when half of what the plan leaves them is gone, if that is
        sooner. A plan that leaves nothing allows the gap that it announces.
        """
        return self._by_audience(self._at_risk_at)

    def _at_risk_at(self, rule: RenewalRule | NightlyRule) -> ColumnElement[Any]:
        limit = _length(rule.overdue_after)
        if isinstance(rule, NightlyRule):
            return self.renews_at + limit
        allowed = _length(rule.renewed_within)
        margin = self._until - self.renews_at
        halfway = (margin + allowed) // 2
        wait = case((margin <= allowed, allowed), (halfway < limit, halfway), else_=limit)
        return self.renews_at + wait

    def _by_audience(self, of: Callable[[RenewalRule | NightlyRule], ColumnElement[Any]]) -> ColumnElement[Any]:
        others = of(DEFAULT_RULE)
        named = [(publications.c.audience == name, of(rule)) for name, rule in self._rules.by_audience.items()]
        return case(*named, else_=others) if named else others


def _renews_at(
    rule: RenewalRule | NightlyRule, start: ColumnElement[int], until: ColumnElement[int]
) -> ColumnElement[Any]:
    if isinstance(rule, NightlyRule):
        return case((start < _number(rule.last_run), _number(rule.last_run)), else_=_number(rule.next_run))
    return until - (until - start) * round(rule.share * _MILLE) // _MILLE


def _number(timestamp: datetime) -> ColumnElement[int]:
    return literal((timestamp - EPOCH) // _MICROSECOND, BigInteger)


def _length(length: timedelta) -> ColumnElement[int]:
    return literal(length // _MICROSECOND, BigInteger)
