"""Spaces calls of Slack's methods as far apart as Slack's tiers ask, once it has refused one of them."""

from __future__ import annotations

from collections.abc import Mapping

from pme_airflow.api.limiter import LocalRateLimit
from pme_airflow.clock import Clock

__all__ = ["MethodTiers"]

#: How many calls a minute Slack allows of a method: tier 2 has 20, tier 3 has 50, and a channel takes a post a second.
_PER_MINUTE: Mapping[str, float] = {
    "chat.postMessage": 60,
    "chat.update": 50,
    "chat.delete": 50,
    "conversations.history": 50,
    "conversations.info": 50,
    "conversations.list": 20,
}


class MethodTiers:
    """The tiers of the methods that one client calls.

    Slack allows bursts, so calls are sent as they come until it refuses one. From then on that method's calls are
    spaced evenly, so that none is refused again.

    :param clock: the source of time and of waiting.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._limits: dict[str, LocalRateLimit] = {}

    def wait(self, method: str) -> None:
        """Wait until a method may be called."""
        limit = self._limits.get(method)
        if limit is not None:
            self._clock.sleep(max(0.0, limit.reserve(1) - self._clock.monotonic()))

    def refused(self, method: str) -> None:
        """Note that Slack refused a call of a method, since there were too many."""
        if method in _PER_MINUTE and method not in self._limits:
            self._limits[method] = LocalRateLimit(_PER_MINUTE[method] / 60, self._clock)
