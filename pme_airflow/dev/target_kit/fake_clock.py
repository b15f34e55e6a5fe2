"""A clock that stands still until it is advanced, or asked to sleep."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta, timezone


class FakeClock:
    """Virtual time: sleeping moves it on. ``lead`` is how far its wall clock is ahead of the truth."""

    def __init__(self, start: datetime | None = None, lead: timedelta = timedelta(0)) -> None:
        self._start = start or datetime(2026, 5, 1, 12, tzinfo=timezone.utc)
        self._passed = 0.0
        self._lead = lead
        self._lock = threading.Lock()
        self.slept = 0.0

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self._passed) + self._lead

    def monotonic(self) -> float:
        return self._passed

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self._passed += max(0.0, seconds)
            self.slept += max(0.0, seconds)

    def advance(self, seconds: float) -> None:
        self._passed += seconds
