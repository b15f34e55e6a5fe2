"""A log line every few seconds while long work goes on."""

from __future__ import annotations

import logging

from pme_airflow.clock import Clock

__all__ = ["Progress"]

_EVERY_SECONDS = 5.0


class Progress:
    """Counts steps, and logs how many are done and how long the rest will take.

    :param log: the logger.
    :param what: what is being done.
    :param total: how many steps there are; 0 if that is unknown.
    :param clock: the source of time.
    """

    def __init__(self, log: logging.Logger, what: str, total: int, clock: Clock) -> None:
        self._log = log
        self._what = what
        self._total = total
        self._clock = clock
        self._done = 0
        self._begun = self._logged_at = clock.monotonic()

    def step(self, count: int = 1) -> None:
        """Note that so many steps are done, and log it if the last line is 5 s old."""
        self._done += count
        now = self._clock.monotonic()
        if now - self._logged_at >= _EVERY_SECONDS:
            self._logged_at = now
            of = f" of {self._total}{self._left(now)}" if self._total else ""
            self._log.info("%s: %d%s, %.0f a second.", self._what, self._done, of, self._done / (now - self._begun))

    def _left(self, now: float) -> str:
        if not self._done:
            return ""
        return f", about {(now - self._begun) / self._done * max(0, self._total - self._done):.0f} s left"
