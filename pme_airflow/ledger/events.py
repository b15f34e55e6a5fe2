"""Writes the audit: one event for each change, with its time, run and reason."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import insert

from pme_airflow.ledger.tables import events
from pme_airflow.ledger.transaction import WriteTransaction

__all__ = ["record_events"]

_SUBJECT = ("link_id", "model_id", "audience", "fingerprint", "client_id")


def record_events(
    tx: WriteTransaction, event: str, subjects: Sequence[dict[str, Any]], at: datetime, reason: str
) -> None:
    """Record the same event of several subjects.

    :param subjects: what it happened to (``link_id``, ``model_id``, ``audience``, ``fingerprint``, ``client_id``,
        all optional); ``reason`` replaces the reason that all of them share.
    """
    if not subjects:
        return
    tx.execute(
        insert(events),
        [
            {
                "at": at,
                "event": event,
                **{name: subject.get(name) for name in _SUBJECT},
                "run": tx.run_context.run,
                "reason": subject.get("reason") or reason,
            }
            for subject in subjects
        ],
    )
