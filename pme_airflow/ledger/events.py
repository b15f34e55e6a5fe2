"""Writes the audit: one event for each change, with its time, run and reason."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pme_airflow.ledger import keys
from pme_airflow.ledger.bulk import insert_rows
from pme_airflow.ledger.tables import events
from pme_airflow.ledger.transaction import WriteTransaction

__all__ = ["record_events"]

_SUBJECT = ("link_id", "model_id", "audience", "fingerprint", "client_id", "target", "slot")


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
