"""Time: the worker's own, and the server's as its ``Date`` headers tell it."""

from __future__ import annotations

import threading
import time
from datetime import datetime, timedelta, timezone
from typing import Protocol

from pme_airflow.http_dates import parse_http_date

__all__ = ["Clock", "ServerClock", "SystemClock"]


class Clock(Protocol):
    """What decides anything by time is handed one of these."""

    def now(self) -> datetime:
        """The wall clock, aware and in UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds that never run backwards."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait for so many seconds."""
        ...


class SystemClock:
    """The machine's own clocks."""

    def now(self) -> datetime:
        return datetime.now(timezone.utc)

    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


class ServerClock:
    """The server's time: its last ``Date``, counted on from there by a monotonic clock.

    Until a ``Date`` was seen it is the worker's own clock, and ``known`` is false.

    :param clock: the worker's clock.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seen: tuple[datetime, float] | None = None
        self._lock = threading.Lock()

    @property
    def known(self) -> bool:
        """Whether an answer's ``Date`` was ever seen."""
        return self._seen is not None

    def observe(self, date_header: str | None) -> datetime | None:
        """Take note of an answer's ``Date`` header and return it read."""
        moment = parse_http_date(date_header)
        if moment is not None:
            with self._lock:
                self._seen = (moment, self._clock.monotonic())
        return moment

    def now(self) -> datetime:
        """The server's time, aware and in UTC; exact to the second that ``Date`` is rounded to."""
        with self._lock:
            if self._seen is None:
                return self._clock.now()
            date, at = self._seen
        return date + timedelta(seconds=self._clock.monotonic() - at)
