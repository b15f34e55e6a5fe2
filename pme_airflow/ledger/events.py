"""Writes the audit: one event for each change, with its time, run and reason."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, insert, literal, select

from pme_airflow.ledger import keys
from pme_airflow.ledger.bulk import insert_rows
from pme_airflow.ledger.tables import events, links
from pme_airflow.ledger.transaction import WriteTransaction

__all__ = ["record_events", "record_link_events"]

_LINK = ("link_id", "model_id", "audience", "fingerprint", "client_id")
_SUBJECT = (*_LINK, "target", "slot")


def record_events(
    tx: WriteTransaction, event: str, subjects: Sequence[dict[str, Any]], at: datetime, reason: str
) -> None:
    """Record the same event of several subjects.

    :param subjects: what it happened to (``link_id``, ``model_id``, ``audience``, ``fingerprint``, ``client_id``,
        ``target``, ``slot``, all optional); ``reason`` replaces the reason that all of them share.
    """
    if not subjects:
        return
    columns = {name: [subject.get(name) for subject in subjects] for name in _SUBJECT}
    columns["slot_key"] = [_slot_key(subject) for subject in subjects]
    columns["reason"] = [subject.get("reason") or reason for subject in subjects]
    insert_rows(tx, events, columns, {"at": at, "event": event, "run": tx.run_context.run})


def _slot_key(subject: dict[str, Any]) -> str | None:
    target, slot = subject.get("target"), subject.get("slot")
    return None if target is None or slot is None else keys.slot_key(target, slot)


def record_link_events(tx: WriteTransaction, event: str, which: ColumnElement[bool], at: datetime, reason: str) -> None:
    """Record the same event of links as their rows are now; the database copies what names them.

    :param which: the condition that the links meet.
    """
    values = {"at": at, "event": event, "run": tx.run_context.run, "reason": reason}
    same = [literal(value, events.c[name].type) for name, value in values.items()]
    named = select(*same, *(links.c[name] for name in _LINK)).where(which)
    tx.execute(insert(events).from_select([*values, *_LINK], named.order_by(links.c.seq)))
