"""The retry policy: requests that had no effect are sent again, with backoff, until a deadline."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass

from tenacity import RetryCallState, Retrying, retry_if_result

from pme_airflow.api.outcomes import Exchange, Refusal, RefusalKind
from pme_airflow.clock import Clock

__all__ = ["Attempt", "RetryPolicy"]

_FIRST_BACKOFF_SECONDS = 0.4
_MAX_BACKOFF_SECONDS = 20.0
#: ``Retry-After`` is exceeded by up to this share of the backoff, so that clients do not all retry at the same time.
_RETRY_AFTER_JITTER = 0.1
_AT_ONCE = frozenset({RefusalKind.RENEW_TOKEN, RefusalKind.OTHER_MUTATION_NAMES, RefusalKind.WITHOUT_FIELDS})


@dataclass(frozen=True)
class Attempt:
    """One request: its exchange, and its refusal where it certainly had no effect."""

    exchange: Exchange
    refusal: Refusal | None


class RetryPolicy:
    """Repeats attempts until one is final or a deadline is near.

    :param deadline: seconds after which no attempt starts.
    :param clock: the source of time and of waiting.
    """

    def __init__(self, deadline: float, clock: Clock) -> None:
        self._deadline = deadline
        self._clock = clock
        self._ends_at = math.inf

    def end_at(self, ends_at: float) -> None:
        """Let no further attempt of any run start after a monotonic time, in seconds."""
        self._ends_at = ends_at

    def run(self, attempt: Callable[[], Attempt], should_retry: Callable[[Attempt], bool]) -> Attempt:
        """Repeat ``attempt`` while ``should_retry`` is true and the next one would start before the deadline.

        The pause is ``Retry-After`` where the API gave one, none where only the token, the mutation's names or
        the fields have to change, and otherwise an exponential backoff of at most 20 s.

        :return: the last attempt.
        """
        ends_at = min(self._clock.monotonic() + self._deadline, self._ends_at)
        first = attempt()
        if not should_retry(first):
            return first
        made = [first]

        def past_deadline(state: RetryCallState) -> bool:
            return self._clock.monotonic() + (state.upcoming_sleep or 0.0) > ends_at

        retrying = Retrying(
            retry=retry_if_result(should_retry),
            wait=_pause,
            stop=past_deadline,
            sleep=self._clock.sleep,
            retry_error_callback=_last_attempt,
        )
        return retrying(lambda: made.pop() if made else attempt())


def _pause(state: RetryCallState) -> float:
    refusal = _last_attempt(state).refusal
    if refusal is not None and refusal.kind in _AT_ONCE:
        return 0.0
    backoff = min(_FIRST_BACKOFF_SECONDS * 2 ** min(state.attempt_number - 1, 10), _MAX_BACKOFF_SECONDS)
    jittered: float = random.uniform(0.5, 1.0) * backoff  # noqa: S311 - jitter needs no secure source
    if refusal is not None and refusal.retry_after is not None:
        return refusal.retry_after + jittered * _RETRY_AFTER_JITTER
    return jittered


def _last_attempt(state: RetryCallState) -> Attempt:
    assert state.outcome is not None
    last: Attempt = state.outcome.result()
    return last
