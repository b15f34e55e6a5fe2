"""How hard the API is leaned on: a ceiling that is never passed, and below it what the API itself welcomes.

Additive up and multiplicative down, as TCP does (RFC 5681); a rate that was too much is approached again slowly and
left behind fast, as CUBIC does (RFC 9438).
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections import deque

from pme_airflow.clock import Clock

__all__ = ["Limiter", "LocalRateLimit", "RateLimit"]

#: How much of a ceiling is sent.
_MARGIN = 0.97
#: How many seconds' worth of starts are reserved at once, and the most of them.
_AHEAD_SECONDS = 0.25
_AHEAD_MOST = 50
#: A start that was reserved is forfeit so many seconds after its time: others may be starting then.
_STALE_SECONDS = 0.05
#: So many refusals within a second, and so large a part of all answers, are a limit on the rate and not a fault.
_MEANT_COUNT = 5
_MEANT_PART = 0.3
#: What the API took in a second, a little less, is sent from then on; after each further refusal a little less again.
_BACK_TO = 0.95
#: A rate that was cut to so little of what it began with, and is refused all the same, was not what was refused.
_NOT_IT = 0.85
_LEAST_RATE = 0.5
#: Seconds without a request after the first refusal that was meant, and after each further one.
_FIRST_PAUSE = 1.0
_PAUSE = 0.25
#: The longest that all requests wait for one refusal; whoever was asked to wait for longer gives up by a deadline.
_LONGEST_PAUSE = 30.0
#: Seconds after which a rate is back where it was refused; before that it hardly grows, and after that fast.
_PLATEAU = 15.0
#: A latency of so many times the least, and so many seconds more, is the API's way of saying no.
_SLOW_FACTOR = 2.0
_SLOW_SECONDS = 0.1


class RateLimit(ABC):
    """Requests a second that are never passed.

    :param per_second: how many the API allows; a little less is sent, since requests arrive a little early or late.
    """

    def __init__(self, per_second: float) -> None:
        self.per_second = per_second * _MARGIN

    @abstractmethod
    def reserve(self, count: int) -> float:
        """Reserve so many starts, evenly spaced; the moment of the first by the clock's monotonic time."""


class LocalRateLimit(RateLimit):
    """A ceiling of one process."""

    def __init__(self, per_second: float, clock: Clock) -> None:
        super().__init__(per_second)
        self._clock = clock
        self._next = 0.0
        self._lock = threading.Lock()

    def reserve(self, count: int) -> float:
        """See :meth:`RateLimit.reserve`."""
        with self._lock:
            start = max(self._clock.monotonic(), self._next)
            self._next = start + count / self.per_second
        return start


class Limiter:
    """Says when the next request may start, and how many may be under way. Safe to share between threads.

    :param at_once: how many requests are under way to begin with.
    :param most: how many there may become where the API welcomes it.
    :param clock: what time and waiting are taken from.
    :param ceiling: a ceiling on requests a second, or ``None`` for none.
    """

    def __init__(self, at_once: int, most: int, clock: Clock, ceiling: RateLimit | None = None) -> None:
        self.most = max(at_once, most)
        self._clock = clock
        self._ceiling = ceiling
        self._lock = threading.Lock()
        self._room = threading.Condition(self._lock)
        self._under_way = 0
        self._reserving = threading.Lock()
        self._starts: deque[float] = deque()
        self._first_at_once = self._at_once = float(at_once)
        self._cut_at = self._free_at = clock.monotonic()
        self._rate: float | None = None
        self._first_rate = 0.0
        self._next = 0.0
        self._taken: deque[float] = deque()
        self._refused: deque[float] = deque()
        self._least_latency: dict[object, float] = {}

    @property
    def at_once(self) -> int:
        """How many requests may be under way now."""
        return int(self._at_once)

    @property
    def ready(self) -> int:
        """How many requests are worth having ready, so that one starts the moment another ends."""
        return self.at_once + self.at_once // 2 + 1

    @property
    def max_ready(self) -> int:
        """The most there can be of them."""
        return self.most + self.most // 2 + 1

    def start(self) -> float:
        """Wait until a request may start; the moment it does, which :meth:`ended` must be told."""
        with self._room:
            self._room.wait_for(lambda: self._under_way < self.at_once)
            self._under_way += 1
        while (left := self._left()) > 0:
            self._clock.sleep(left)
        if self._ceiling is not None:
            moment = self._reserved(self._ceiling)
            while (left := moment - self._clock.monotonic()) > 0:
                self._clock.sleep(left)
        return self._clock.monotonic()

    def _left(self) -> float:
        """How long until a request may start; nothing where one may, and then the next may not before its turn."""
        with self._lock:
            now = self._clock.monotonic()
            if now < self._free_at:
                return self._free_at - now
            if self._rate is None:
                return 0.0
            if now < self._next:
                return self._next - now
            self._next = max(self._next + 1.0 / self._rate_at(now), now)
            return 0.0

    def ended(self, started: float, status: int | None, retry_after: float | None = None, kind: object = None) -> None:
        """Learn from what became of a request.

        :param started: what :meth:`start` returned.
        :param kind: names requests whose latencies can be compared.
        :param status: the answer's HTTP status; ``None`` where none came.
        :param retry_after: seconds the API asks to be left alone for.
        """
        with self._lock:
            self._under_way -= 1
            self._room.notify_all()
            now = self._clock.monotonic()
            if status not in (429, 503, None):
                self._taken.append(now)
                _lately(self._taken, now)
                self._grow(now - started, kind)
                return
            if retry_after:
                self._free_at = max(self._free_at, now + min(retry_after, _LONGEST_PAUSE))
            if status == 429:
                self._refused.append(now)
            if started >= self._cut_at:
                self._cut_at = now
                self._at_once = max(1.0, self._at_once / 2)
                if self._rate is not None and status == 429:
                    self._slow_down(now)
            if self._rate is None and status == 429 and self._meant(now):
                self._pace(now, _FIRST_PAUSE)

    def _meant(self, now: float) -> bool:
        """Whether what was refused lately was refused for its rate."""
        refused = _lately(self._refused, now)
        return refused >= _MEANT_COUNT and refused >= _MEANT_PART * (refused + _lately(self._taken, now))

    def _pace(self, now: float, pause: float) -> None:
        """From now on, send what the API took in the last second."""
        self._rate = self._first_rate = max(_LEAST_RATE, _lately(self._taken, now) * _BACK_TO)
        self._free_at = self._next = max(self._free_at, now + pause)

    def _slow_down(self, now: float) -> None:
        rate = self._rate_at(now) * _BACK_TO
        if rate > self._first_rate * _NOT_IT:
            self._rate = rate
            self._free_at = self._next = max(self._free_at, now + _PAUSE)
        elif self._meant(now):
            self._pace(now, _PAUSE)
        else:
            self._rate = None

    def _grow(self, latency: float, kind: object) -> None:
        """One more a round trip; where answers have become slow, one less, down to what it began with."""
        least = self._least_latency[kind] = min(latency, self._least_latency.get(kind, latency))
        step = 1.0 / self._at_once
        if latency <= least * _SLOW_FACTOR + _SLOW_SECONDS:
            self._at_once = min(float(self.most), self._at_once + step)
        elif self._at_once > self._first_at_once:
            self._at_once = max(self._first_at_once, self._at_once - step)

    def _rate_at(self, moment: float) -> float:
        assert self._rate is not None
        since = max(0.0, moment - self._free_at)
        return self._rate * (1.0 + (1.0 / _BACK_TO - 1.0) * (since / _PLATEAU) ** 3)

    def _reserved(self, ceiling: RateLimit) -> float:
        with self._reserving:
            while self._starts and self._starts[0] < self._clock.monotonic() - _STALE_SECONDS:
                self._starts.popleft()
            if not self._starts:
                count = max(1, min(_AHEAD_MOST, int(ceiling.per_second * _AHEAD_SECONDS)))
                first = ceiling.reserve(count)
                self._starts.extend(first + index / ceiling.per_second for index in range(count))
            return self._starts.popleft()


def _lately(moments: deque[float], now: float) -> int:
    """How many moments lie within the last second; forgets the others."""
    while moments and moments[0] <= now - 1.0:
        moments.popleft()
    return len(moments)
