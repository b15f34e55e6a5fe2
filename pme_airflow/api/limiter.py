"""A ceiling on requests a second."""

from __future__ import annotations

import threading

from pme_airflow.api.clock import Clock

__all__ = ["RateLimiter"]


class RateLimiter:
    """Spaces the starts of requests evenly. A context manager: entering waits for the next start.

    :param per_second: the ceiling; ``None`` for none.
    :param clock: what time and waiting are taken from.
    """

    def __init__(self, per_second: float | None, clock: Clock) -> None:
        self._spacing = 0.0 if per_second is None else 1.0 / per_second
        self._clock = clock
        self._next = 0.0
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        if not self._spacing:
            return
        with self._lock:
            now = self._clock.monotonic()
            start = max(now, self._next)
            self._next = start + self._spacing
        if start > now:
            self._clock.sleep(start - now)

    def __exit__(self, *_: object) -> None:
        return None
