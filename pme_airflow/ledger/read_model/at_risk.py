"""Slots that are nearer to their end than the plan allows, and which of them a run has warned of."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, and_, exists, literal, select

from pme_airflow.ledger.conditions import is_not_flagged, is_not_retiring
from pme_airflow.ledger.link_models import opens_model
from pme_airflow.ledger.read_model.rules import Classification, Rules
from pme_airflow.ledger.states import State
from pme_airflow.ledger.tables import EPOCH, events, links, publications
from pme_airflow.ledger.transaction import ReadTransaction

__all__ = ["SlotAtRisk", "is_at_risk", "slots_at_risk"]

#: The event of a slot that a run has warned of; :mod:`~pme_airflow.ledger.slot_warnings` records it.
_WARNED = "at_risk"
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True)
class SlotAtRisk:
    """A slot whose link should have been replaced before.

    :param renews_at: when its link was due.
    :param valid_until: when it is dark; in the past if it is.
    :param newer_link: whether the model has a newer live link, which the slot does not show.
    :param recorded: whether this run has recorded its warning before.
    """

    audience: str
    target: str
    slot: str
    model_id: str
    link_id: str
    fingerprint: str | None
    renews_at: datetime
    valid_until: datetime
    newer_link: bool
    recorded: bool


def is_at_risk(classified: Classification, now: datetime) -> ColumnElement[bool]:
    """Return whether a slot shows a link that should have been replaced, and that nobody wanted to end.

    A link that is flagged, retiring or revoked is not meant to last, so its slot is no risk of the plan.
    """
    kept = is_not_flagged() & is_not_retiring()
    ended_by_itself = links.c.state.in_([State.LIVE, State.EXPIRED])
    return and_(ended_by_itself, kept, classified.at_risk_at <= literal((now - EPOCH) // _MICROSECOND, BigInteger))


def slots_at_risk(tx: ReadTransaction, client_id: str, rules: Rules, run: str) -> list[SlotAtRisk]:
    """Return a client's slots at risk that no other run has warned of, the soonest end first.

    :param run: the run that asks. An attempt of it may have recorded a warning and died before Airflow knew.
    """
    now = tx.now()
    classified = Classification(rules, now)
    warned = and_(
        events.c.slot_key == publications.c.slot_key, events.c.event == _WARNED, events.c.link_id == links.c.link_id
    )
    names = (publications.c.audience, publications.c.target, publications.c.slot, publications.c.model_id,
             links.c.link_id, links.c.fingerprint)  # fmt: skip
    query = select(
        *names,
        classified.renews_at.label("renews_at"),
        links.c.valid_until,
        _newer_link(now).label("newer_link"),
        exists().where(warned, events.c.run == run).label("recorded"),
    ).select_from(publications.join(links, links.c.link_id == publications.c.link_id))
    query = query.where(
        publications.c.client_id == client_id,
        is_at_risk(classified, now),
        ~exists().where(warned, events.c.run != run),
    )
    rows = tx.execute(query.order_by(links.c.valid_until, publications.c.slot_key))
    return [_slot(dict(row._mapping)) for row in rows]


def _slot(row: dict[str, Any]) -> SlotAtRisk:
    renews_at = EPOCH + timedelta(microseconds=int(row["renews_at"]))
    flags = {name: bool(row[name]) for name in ("newer_link", "recorded")}
    return SlotAtRisk(**{**row, **flags, "renews_at": renews_at})


def _newer_link(now: datetime) -> ColumnElement[bool]:
    newer = links.alias()
    return exists(
        select(newer.c.seq).where(
            newer.c.audience == links.c.audience,
            opens_model(newer, publications.c.model_id),
            newer.c.state == State.LIVE,
            newer.c.client_id == links.c.client_id,
            newer.c.seq > links.c.seq,
            newer.c.valid_until > now,
            is_not_flagged(newer),
        )
    )
