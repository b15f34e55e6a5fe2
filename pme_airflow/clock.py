"""Time: this machine's own, and the API server's as its ``Date`` headers give it."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Protocol

from pme_airflow.http_dates import parse_http_date

__all__ = ["Clock", "ServerClock", "SystemClock"]

#: How far a server's ``Date`` may be from what is known before another one has to confirm it.
_PLAUSIBLE = timedelta(hours=1)


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

    Until a ``Date`` was received it is the worker's own wall clock, and ``known`` is false. A ``Date`` that is more
    than an hour from what is known is used once the next one confirms it: a single response of a gateway whose clock is
    wrong must not make live links look expired. Safe to share between threads.

    :param clock: the worker's clock.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last: _Reading | None = None
        self._unconfirmed: _Reading | None = None
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
                self._take(_Reading(timestamp, self._clock.monotonic()))
        return timestamp

    def _take(self, reading: _Reading) -> None:
        known = [earlier for earlier in (self._last, self._unconfirmed) if earlier is not None]
        if self._last is None or any(reading.agrees_with(earlier) for earlier in known):
            self._last, self._unconfirmed = reading, None
        else:
            self._unconfirmed = reading

    def now(self) -> datetime:
        """Return the server's time, aware and in UTC; exact to the second that ``Date`` is rounded to."""
        with self._lock:
            if self._last is None:
                return self._clock.now()
            return self._last.counted_on(self._clock.monotonic())


@dataclass(frozen=True)
class _Reading:
    """A ``Date`` header's time, and the monotonic time at which it was received."""

    timestamp: datetime
    received_at: float

    def counted_on(self, monotonic: float) -> datetime:
        return self.timestamp + timedelta(seconds=monotonic - self.received_at)

    def agrees_with(self, earlier: _Reading) -> bool:
        return abs(self.timestamp - earlier.counted_on(self.received_at)) <= _PLAUSIBLE
