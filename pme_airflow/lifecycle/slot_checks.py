"""Checks at the target whether slots still show the links that the ledger has recorded for them."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from pme_airflow.errors import PMEError
from pme_airflow.ledger import publications, slot_claims
from pme_airflow.ledger.publications import Publication
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.ledger.transaction import WriteTransaction
from pme_airflow.lifecycle.services import Services
from pme_airflow.targets.base import SlotCheck, Target

__all__ = ["CHECK_INTERVAL", "find_lost_slots"]

#: A slot is checked at most once in this time. The keeper runs every 30 minutes at least.
CHECK_INTERVAL = timedelta(minutes=10)
#: The key in a publication's details under which the time of the last check is stored.
_CHECKED_AT = "checked_at"

log = logging.getLogger(__name__)


def find_lost_slots(services: Services, run_context: RunContext, target: Target, slots: Sequence[str]) -> set[str]:
    """Return the slots that no longer show their link because it was deleted or overwritten. They are published again.

    :param slots: slots that show their live link according to the ledger.
    """
    if not slots or (type(target).check_shown, type(target).is_current) == (Target.check_shown, Target.is_current):
        return set()
    now = services.clock.now()
    with services.database.read() as tx:
        shown = publications.publications_in(tx, target.name, slots)
    outdated = {slot for slot, publication in shown.items() if not target.is_current(publication)}
    if outdated:
        log.info("%s: %d slots show their link in another form than is wanted now.", target.name, len(outdated))
        services.database.run(run_context, lambda tx: slot_claims.set_uncertain(tx, target.name, sorted(outdated)))
    current = [publication for slot, publication in shown.items() if slot not in outdated]
    return outdated | _lost(services, run_context, target, current, now)


def _lost(
    services: Services, run_context: RunContext, target: Target, shown: Sequence[Publication], now: datetime
) -> set[str]:
    due = [publication for publication in shown if _is_due(publication, now)]
    check = _check(target, due) if due else None
    if check is None:
        return set()
    lost = {publication.slot for publication in due} & set(check.lost)
    kept = [publication for publication in due if publication.slot not in lost]
    details = [(entry, _details(entry, check.details, now)) for entry in kept]

    def record(tx: WriteTransaction) -> None:
        publications.record_details(tx, details)
        slot_claims.set_uncertain(tx, target.name, sorted(lost))

    services.database.run(run_context, record)
    for slot in sorted(lost):
        log.warning("%s, %s: the slot no longer shows its link. The link is published again.", target.name, slot)
    return lost


def _is_due(publication: Publication, now: datetime) -> bool:
    try:
        checked = datetime.fromisoformat(str(publication.details.get(_CHECKED_AT)))
        return not checked <= now < checked + CHECK_INTERVAL
    except (TypeError, ValueError):
        return True


def _details(publication: Publication, changed: Mapping[str, dict[str, Any]], now: datetime) -> dict[str, Any]:
    return {**changed.get(publication.slot, publication.details), _CHECKED_AT: now.isoformat()}


def _check(target: Target, due: Sequence[Publication]) -> SlotCheck | None:
    try:
        return target.check_shown(due)
    except PMEError as error:
        reason = str(error)
    except Exception as error:  # noqa: BLE001 - a target of any author may raise anything
        reason = type(error).__name__
    log.warning("%s: checking whether slots still show their links failed: %s", target.name, reason)
    return None
