"""Time: this machine's own, and the API server's as its ``Date`` headers give it."""

from __future__ import annotations

import threading
import time
from datetime import datetime, timedelta, timezone
from typing import Protocol

from pme_airflow.http_dates import parse_http_date

__all__ = ["Clock", "ServerClock", "SystemClock"]


class Clock(Protocol):
    """The source of time for everything that decides by it; tests pass one that stands still."""

    def now(self) -> datetime:
        """Return the wall clock's time, aware and in UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never run backwards."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait for a number of seconds."""
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
    """The server's time: its last ``Date`` header, counted on from there by a monotonic clock.

    Until a ``Date`` was received it is the worker's own wall clock, and ``known`` is false. Safe to share between
    threads.

    :param clock: the worker's clock.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last: tuple[datetime, float] | None = None
        self._lock = threading.Lock()

    @property
    def known(self) -> bool:
        """Whether a readable ``Date`` was received."""
        return self._last is not None

    def observe(self, date_header: str | None) -> datetime | None:
        """Take the server's time from a response's ``Date`` header.

        :return: the header's time, or ``None`` where it is absent or unreadable; then nothing changes.
        """
        timestamp = parse_http_date(date_header)
        if timestamp is not None:
            with self._lock:
                self._last = (timestamp, self._clock.monotonic())
        return timestamp

    def now(self) -> datetime:
        """Return the server's time, aware and in UTC; exact to the second that ``Date`` is rounded to."""
        with self._lock:
            if self._last is None:
                return self._clock.now()
            timestamp, received_at = self._last
        return timestamp + timedelta(seconds=self._clock.monotonic() - received_at)
