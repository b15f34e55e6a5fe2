"""Finish a target after its slots were written: one task at a time, with all that it shows."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception,
    retry_if_result,
    stop_after_attempt,
    wait_random_exponential,
)

from pme_airflow.clock import Clock
from pme_airflow.errors import LedgerUnavailableError, PMEError, SlotError
from pme_airflow.ledger import publications, slot_claims
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.lifecycle.services import Services
from pme_airflow.lifecycle.slot_worker import BUSY_SECONDS, BUSY_TRIES
from pme_airflow.targets.base import Target

__all__ = ["finish_target", "retried", "slot_error"]

#: How many times a call of a target is tried if its failure is temporary.
_TRIES = 3
_Returned = TypeVar("_Returned")


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


def retried(
    clock: Clock, call: Callable[[], _Returned], again: Callable[[_Returned], bool] = lambda returned: False
) -> _Returned:
    """Call a target, at most three times while it fails temporarily.

    :param again: whether what it returned is a temporary failure too.
    """
    retrying = Retrying(
        retry=retry_if_exception(lambda error: isinstance(error, SlotError) and not error.permanent)
        | retry_if_result(again),
        stop=stop_after_attempt(_TRIES),
        wait=wait_random_exponential(multiplier=0.3),
        sleep=clock.sleep,
        retry_error_callback=_last_result,
    )
    return retrying(call)


def _last_result(state: RetryCallState) -> Any:
    """Return what the last call returned, or raise what it raised."""
    assert state.outcome is not None
    return state.outcome.result()


def slot_error(error: Exception) -> PMEError:
    """Return a target's failure without its text, which may hold the link, unless the text is this package's own."""
    if isinstance(error, PMEError):
        return error
    if isinstance(error, PermissionError):
        return SlotError("writing is not permitted (permission denied): check the access rights")
    if isinstance(error, OSError):
        return SlotError(f"it cannot be written ({error.strerror or type(error).__name__})", passing=True)
    return SlotError(f"the target failed ({type(error).__name__})", passing=True)
