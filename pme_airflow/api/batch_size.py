"""How many mutations one request holds: a size that works, and larger ones while the API takes them quickly."""

from __future__ import annotations

import threading

__all__ = ["BatchSize"]

#: How many mutations more the next larger request holds.
_STEP = 5
#: A larger request must be answered in so many seconds, the wait for its turn included: a server executes mutations one
#: after the other, and a request that times out leaves as many tokens unaccounted for as it holds mutations.
_QUICK_SECONDS = 2.0
#: A size that was taken is given up where a response takes so long later: a third of the default timeout.
_SLOW_SECONDS = 10.0


class BatchSize:
    """The size of a client's next request. Safe to share between threads.

    Only one request at a time is larger than any that was taken, so that a limit of the API costs one refused request.
    Once one is refused, lost or slow, no larger one is tried any more.

    :param first: mutations in one request, to begin with.
    :param largest: how many there may become; ``None`` for no more than ``first``.
    """

    def __init__(self, first: int, largest: int | None = None) -> None:
        self.first = first
        self._largest = max(first, largest or first)
        self._taken = first
        self._is_growing = False
        self._is_trying = False
        self._lock = threading.Lock()

    @property
    def taken(self) -> int:
        """The largest size that the API has taken, or the first one."""
        return self._taken

    def next(self) -> int:
        """Return how many mutations the next request may hold."""
        with self._lock:
            if self._is_trying or not self._is_growing:
                return self._taken
            return min(self._taken + _STEP, self._largest)

    def started(self, count: int) -> None:
        """Note that a request is on its way, so that no second one tries a larger size meanwhile."""
        with self._lock:
            self._is_trying = self._is_trying or count > self._taken

    def accepted(self, count: int, seconds: float) -> None:
        """Note that the API has executed all of a request."""
        with self._lock:
            if count <= self._taken:
                self._is_growing = self._is_growing or self._taken < self._largest
                if seconds > _SLOW_SECONDS:
                    self._shrink_from(count)
                return
            self._is_trying = False
            if seconds <= _QUICK_SECONDS and count <= self._largest:
                self._taken = count
            else:
                self._stop()

    def ended(self, count: int) -> None:
        """Note that a request has ended, whatever came of it, so that another one may try a larger size."""
        with self._lock:
            self._is_trying = self._is_trying and count <= self._taken

    def refused(self, count: int) -> None:
        """Note that a request was refused, lost or executed in part; those of the first size are not made smaller."""
        with self._lock:
            self._shrink_from(count)

    def _shrink_from(self, count: int) -> None:
        if self.first < count <= self._taken:
            self._taken = self.first
        if count > self.first:
            self._stop()

    def _stop(self) -> None:
        self._is_trying = self._is_growing = False
        self._largest = self._taken
