"""Calls of a target: made again while they fail temporarily, and not made while its host does not answer."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from functools import partial
from typing import Any, NoReturn, TypeVar

import requests
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception,
    retry_if_result,
    stop_after_attempt,
    wait_random_exponential,
)

from pme_airflow.clock import Clock
from pme_airflow.errors import PMEError, SlotError, TargetUnavailableError

__all__ = ["TargetCalls", "retried", "slot_error"]

#: How many times a call of a target is tried if its failure is temporary.
_TRIES = 3
#: A target is unavailable once so many calls in a row, each with all its tries, got no answer for so many seconds.
_UNANSWERED_CALLS = 4
_UNANSWERED_SECONDS = 60.0
_NO_ANSWER = (ConnectionError, TimeoutError, requests.ConnectionError, requests.Timeout)
_Returned = TypeVar("_Returned")

log = logging.getLogger(__name__)


class TargetCalls:
    """The calls that one task makes of one target: a circuit breaker. Safe to share between threads.

    A CMS that hangs takes three time-outs of 30 s for each slot: 300 slots, four at a time, took two hours. While it is
    unavailable, calls fail at once; after a minute it is tried again.

    :param name: the target's name, for the log.
    """

    def __init__(self, name: str, clock: Clock) -> None:
        self._name = name
        self._clock = clock
        self._lock = threading.Lock()
        self._unanswered = 0
        self._since = 0.0
        self._latest = 0.0

    def call(
        self, call: Callable[[], _Returned], again: Callable[[_Returned], bool] = lambda returned: False
    ) -> _Returned:
        """Call the target, at most three times while it fails temporarily.

        :param again: whether what it returned is a temporary failure too.
        :raises TargetUnavailableError: without a call, while the target is unavailable.
        """
        began = self._clock.monotonic()
        self._require_available(began)
        try:
            returned = retried(self._clock, call, again)
        except Exception as error:
            self._note(began, answered=not isinstance(slot_error(error), TargetUnavailableError))
            raise
        self._note(began, answered=True)
        return returned

    def _require_available(self, now: float) -> None:
        with self._lock:
            if self._is_unavailable() and now - self._latest < _UNANSWERED_SECONDS:
                raise TargetUnavailableError(
                    f"it was not tried, since the target did not answer {self._unanswered} times in a row. Run the "
                    "task again once it answers",
                    passing=True,
                )

    def _is_unavailable(self) -> bool:
        return self._unanswered >= _UNANSWERED_CALLS and self._latest - self._since >= _UNANSWERED_SECONDS

    def _note(self, began: float, *, answered: bool) -> None:
        with self._lock:
            if answered:
                self._unanswered = 0
                return
            was_unavailable = self._is_unavailable()
            self._since = min(self._since, began) if self._unanswered else began
            self._unanswered += 1
            self._latest = self._clock.monotonic()
            if self._is_unavailable() and not was_unavailable:
                log.warning(
                    "%s did not answer for %d s: its other slots are not tried until it answers again.",
                    self._name, self._latest - self._since,
                )  # fmt: skip


def retried(
    clock: Clock, call: Callable[[], _Returned], again: Callable[[_Returned], bool] = lambda returned: False
) -> _Returned:
    """Call a target, at most three times while it fails temporarily.

    :param again: whether what it returned is a temporary failure too.
    """
    made: list[Callable[[], _Returned]] = []
    try:
        returned = call()
    except SlotError as error:
        if error.permanent:
            raise
        made.append(partial(_raise, error))
    else:
        if not again(returned):
            return returned
        made.append(lambda: returned)
    retrying = Retrying(  # made for a failure alone: it takes 0.1 ms
        retry=retry_if_exception(lambda error: isinstance(error, SlotError) and not error.permanent)
        | retry_if_result(again),
        stop=stop_after_attempt(_TRIES),
        wait=wait_random_exponential(multiplier=0.3),
        sleep=clock.sleep,
        retry_error_callback=_last_result,
    )
    return retrying(lambda: made.pop()() if made else call())


def _raise(error: Exception) -> NoReturn:
    raise error


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
    if isinstance(error, _NO_ANSWER):
        return TargetUnavailableError(f"the connection failed ({type(error).__name__})", passing=True)
    if isinstance(error, OSError):
        return SlotError(f"it cannot be written ({error.strerror or type(error).__name__})", passing=True)
    return SlotError(f"the target failed ({type(error).__name__})", passing=True)
