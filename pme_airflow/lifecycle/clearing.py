"""Clear slots that must no longer show a link."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import timedelta
from functools import partial

from pme_airflow.errors import PMEError
from pme_airflow.ledger import publications, slot_claims
from pme_airflow.ledger.publications import Publication
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.ledger.transaction import WriteTransaction
from pme_airflow.lifecycle.publish_result import PublishResult
from pme_airflow.lifecycle.services import Services
from pme_airflow.lifecycle.target_index import finish_target, retried, slot_error
from pme_airflow.targets.base import SlotResult, Target

__all__ = ["clear_slots"]

log = logging.getLogger(__name__)


def clear_slots(
    services: Services,
    run_context: RunContext,
    target: Target,
    going: Iterable[Publication],
    reason: str,
    result: PublishResult,
    grace: timedelta | None = None,
) -> None:
    """Clear slots at a target, retire the links that no slot shows any more, and add the outcome to a result.

    A slot that another run is writing is left to that run.

    :param grace: how long the links stay alive; if omitted, as long as replaced links do.
    """
    removed_before = result.removed.total
    for publication in going:
        if not services.database.run(run_context, partial(_claim, publication)):
            log.info(
                "%s, %s: the slot is not cleared, because another run is writing it.", target.name, publication.slot
            )
            continue
        _clear_one(services, run_context, target, publication, reason, result, grace)
    if result.removed.total > removed_before:
        problem = finish_target(services, run_context, target)
        if problem is not None:
            log.error("%s: its index was not written: %s", target.name, problem)
            result.fail("index", "all", problem)


def _claim(publication: Publication, tx: WriteTransaction) -> bool:
    return slot_claims.claim_shown(tx, publication)


def _clear_one(
    services: Services,
    run_context: RunContext,
    target: Target,
    publication: Publication,
    reason: str,
    result: PublishResult,
    grace: timedelta | None,
) -> None:
    problem: PMEError | None = None
    cleared = SlotResult()
    try:
        cleared = SlotResult.of(
            retried(services.clock, lambda: target.take_away(publication.slot, publication.details))
        )
    except Exception as error:  # noqa: BLE001 - a target of any author may raise anything
        problem = slot_error(error)
    usual = services.grace if grace is None else grace

    def record(tx: WriteTransaction) -> None:
        if problem is None:
            publications.withdraw(tx, [publication], reason, timedelta(0) if cleared.old_link_remains else usual)
        slot_claims.release_slots(tx, target.name, [publication.slot])

    services.database.run(run_context, record)
    if problem is None:
        result.removed.append({"slot": publication.slot, "model_id": publication.model_id})
    else:
        log.error("%s, %s: the slot was not cleared: %s", target.name, publication.slot, problem)
        result.fail(publication.slot, publication.model_id, problem)
