"""Records which slots a run has warned of."""

from __future__ import annotations

from collections.abc import Sequence

from pme_airflow.ledger.events import record_events
from pme_airflow.ledger.read_model.at_risk import SlotAtRisk
from pme_airflow.ledger.transaction import WriteTransaction

__all__ = ["record_warnings"]

_NAMES = ("link_id", "model_id", "audience", "fingerprint", "target", "slot")


def record_warnings(tx: WriteTransaction, client_id: str, slots: Sequence[SlotAtRisk]) -> None:
    """Record that this run warns of slots, so that no later run warns of them while they show the same links."""
    new = [slot for slot in slots if not slot.recorded]
    subjects = [{**{name: getattr(slot, name) for name in _NAMES}, "client_id": client_id} for slot in new]
    record_events(tx, "at_risk", subjects, tx.now(), "nearer to its end than the plan allows")
