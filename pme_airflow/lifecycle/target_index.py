"""Finish a target after its slots were written: one task at a time, with all that it shows."""

from __future__ import annotations

from contextlib import suppress

from pme_airflow.errors import LedgerUnavailableError, PMEError, SlotError
from pme_airflow.ledger import publications, slot_claims
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.lifecycle.services import Services
from pme_airflow.lifecycle.slot_worker import BUSY_SECONDS, BUSY_TRIES
from pme_airflow.lifecycle.target_calls import retried, slot_error
from pme_airflow.targets.base import Target

__all__ = ["finish_target"]


def finish_target(services: Services, run_context: RunContext, target: Target) -> PMEError | None:
    """Call :meth:`Target.finish` with all that the target shows; return why it failed, if it did.

    The last of several tasks that write a target has seen what all of them put.
    """
    database = services.database
    problem: PMEError | None = None
    try:
        _acquire_lock(services, run_context, target.name)
        with database.read() as tx:
            shown = publications.shown_at(tx, target.name)
        retried(services.clock, lambda: target.finish(shown))
    except Exception as error:  # noqa: BLE001 - a target of any author may raise anything
        problem = slot_error(error)
    with suppress(LedgerUnavailableError):  # the lock ends by itself in 45 s
        database.run(run_context, lambda tx: slot_claims.release_index_lock(tx, target.name))
    return problem


def _acquire_lock(services: Services, run_context: RunContext, name: str) -> None:
    for _ in range(BUSY_TRIES):
        if services.database.run(run_context, lambda tx: slot_claims.acquire_index_lock(tx, name)):
            return
        services.clock.sleep(BUSY_SECONDS)
    raise SlotError("another run kept the index locked; try again", passing=True)
