"""Limit requests to a rate that is never exceeded, and below it to the concurrency and rate that the API accepts.

Additive increase and multiplicative decrease, as in TCP (RFC 5681); a rate that was refused is approached again slowly
and then exceeded quickly, as in CUBIC (RFC 9438).
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections import deque

from pme_airflow.clock import Clock

__all__ = ["Limiter", "LocalRateLimit", "RateLimit"]

#: The share of a configured rate limit that is used, since requests arrive a little early or late.
_RATE_MARGIN = 0.97
#: Starts are reserved for so many seconds at once, and at most so many of them.
_RESERVE_SECONDS = 0.25
_MAX_RESERVED = 50
#: A reserved start is dropped so many seconds after its time: other processes may be starting then.
_STALE_SECONDS = 0.05
#: Treat 429s as a rate limit once at least 5 arrive within 1 s and are at least 30 % of the responses.
_RATE_LIMIT_COUNT = 5
_RATE_LIMIT_PART = 0.3
#: After a refusal for the rate, send 95 % of what the API accepted in the last second; 95 % of that after the next.
_DECREASE = 0.95
#: If a rate below 85 % of its first value is still refused, that value was wrong: measure it again.
_REMEASURE_PART = 0.85
_MIN_RATE = 0.5
#: Seconds without a request after the rate limit is found, and after each further refusal.
_FIRST_PAUSE = 1.0
_PAUSE = 0.25
#: The longest pause in seconds that one refusal imposes on all requests; a longer ``Retry-After`` ends by the deadline.
_MAX_PAUSE = 30.0
#: Seconds after which the rate is back where it was refused: it hardly grows before that, and fast after it.
_PLATEAU_SECONDS = 15.0
#: A latency above twice the lowest plus 0.1 s means that the API is overloaded.
_SLOW_FACTOR = 2.0
_SLOW_SECONDS = 0.1


class RateLimit(ABC):
    """A number of requests a second that is never exceeded.

    :param per_second: how many the API allows; 97 % of it is sent.
    """

    def __init__(self, per_second: float) -> None:
        self.per_second = per_second * _RATE_MARGIN

    @abstractmethod
    def reserve(self, count: int) -> float:
        """Reserve a number of evenly spaced starts.

        :return: the time of the first, in seconds of the clock's monotonic time.
        """


class LocalRateLimit(RateLimit):
    """A rate limit of one process.

    :param per_second: requests a second that the API allows.
    :param clock: the source of time.
    """

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
    """Decides when the next request starts and how many are in flight. Safe to share between threads.

    :param concurrency: how many requests are in flight to begin with.
    :param max_concurrency: how many there may become while latencies do not rise.
    :param clock: the source of time and of waiting.
    :param rate_limit: a limit that is never exceeded, or ``None`` for none.
    """

    def __init__(
        self, concurrency: int, max_concurrency: int, clock: Clock, rate_limit: RateLimit | None = None
    ) -> None:
        self.most = max(concurrency, max_concurrency)
        self._clock = clock
        self._rate_limit = rate_limit
        self._lock = threading.Lock()
        self._room = threading.Condition(self._lock)
        self._in_flight = 0
        self._reserving = threading.Lock()
        self._starts: deque[float] = deque()
        self._first_concurrency = self._concurrency = float(concurrency)
        self._decreased_at = self._paused_until = clock.monotonic()
        self._rate: float | None = None
        self._first_rate: float  # set with the rate, as is the next start
        self._next: float
        self._accepted: deque[float] = deque()
        self._refused: deque[float] = deque()
        self._lowest_latency: dict[object, float] = {}

    def allow(self, concurrency: int) -> None:
        """Let at least so many requests be in flight while latencies do not rise; a limit that is higher stays."""
        with self._room:
            if concurrency > self.most:
                self.most = concurrency
                self._first_concurrency = self._concurrency = float(concurrency)
                self._room.notify_all()

    @property
    def at_once(self) -> int:
        """How many requests may be in flight now."""
        return int(self._concurrency)

    @property
    def ready(self) -> int:
        """How many requests to prepare, so that one starts as soon as another ends."""
        return self.at_once + self.at_once // 2 + 1

    @property
    def max_ready(self) -> int:
        """The largest value that ``ready`` can have."""
        return self.most + self.most // 2 + 1

    def start(self) -> float:
        """Wait until a request may start.

        :return: its start in seconds of monotonic time, to be passed to :meth:`ended`.
        """
        with self._room:
            self._room.wait_for(lambda: self._in_flight < self.at_once)
            self._in_flight += 1
        while (left := self._seconds_left()) > 0:
            self._clock.sleep(left)
        if self._rate_limit is not None:
            start = self._next_start(self._rate_limit)
            while (left := start - self._clock.monotonic()) > 0:
                self._clock.sleep(left)
        return self._clock.monotonic()

    def _seconds_left(self) -> float:
        """Return the seconds until a request may start; zero means that it starts now and is counted."""
        with self._lock:
            now = self._clock.monotonic()
            if now < self._paused_until:
                return self._paused_until - now
            if self._rate is None:
                return 0.0
            if now < self._next:
                return self._next - now
            self._next = max(self._next + 1.0 / self._rate_at(now), now)
            return 0.0

    def ended(self, started: float, status: int | None, retry_after: float | None = None, kind: object = None) -> None:
        """Adjust the limits to the result of a request.

        :param started: what :meth:`start` returned.
        :param status: the response's HTTP status; ``None`` where there was no response.
        :param retry_after: seconds the API asks to wait.
        :param kind: names requests whose latencies can be compared.
        """
        with self._lock:
            self._in_flight -= 1
            self._room.notify_all()
            now = self._clock.monotonic()
            if status not in (429, 503, None):
                self._accepted.append(now)
                _count_last_second(self._accepted, now)
                self._adjust_concurrency(now - started, kind)
                return
            if retry_after:
                self._paused_until = max(self._paused_until, now + min(retry_after, _MAX_PAUSE))
            if status == 429:
                self._refused.append(now)
            if started >= self._decreased_at:
                self._decreased_at = now
                self._concurrency = max(1.0, self._concurrency / 2)
                if self._rate is not None and status == 429:
                    self._decrease_rate(now)
            if self._rate is None and status == 429 and self._is_rate_limit(now):
                self._set_rate(now, _FIRST_PAUSE)

    def _is_rate_limit(self, now: float) -> bool:
        """Return whether the 429s of the last second are a rate limit rather than a fault."""
        refused = _count_last_second(self._refused, now)
        responses = refused + _count_last_second(self._accepted, now)
        return refused >= _RATE_LIMIT_COUNT and refused >= _RATE_LIMIT_PART * responses

    def _set_rate(self, now: float, pause: float) -> None:
        """Limit the rate to a little less than the API accepted in the last second, after a pause in seconds."""
        self._rate = self._first_rate = max(_MIN_RATE, _count_last_second(self._accepted, now) * _DECREASE)
        self._paused_until = self._next = max(self._paused_until, now + pause)

    def _decrease_rate(self, now: float) -> None:
        rate = self._rate_at(now) * _DECREASE
        if rate > self._first_rate * _REMEASURE_PART:
            self._rate = rate
            self._paused_until = self._next = max(self._paused_until, now + _PAUSE)
        elif self._is_rate_limit(now):
            self._set_rate(now, _PAUSE)
        else:
            self._rate = None

    def _adjust_concurrency(self, latency: float, kind: object) -> None:
        """Allow one more request a round trip; where responses have become slow one less, down to the first value."""
        lowest = self._lowest_latency[kind] = min(latency, self._lowest_latency.get(kind, latency))
        step = 1.0 / self._concurrency
        if latency <= lowest * _SLOW_FACTOR + _SLOW_SECONDS:
            self._concurrency = min(float(self.most), self._concurrency + step)
        elif self._concurrency > self._first_concurrency:
            self._concurrency = max(self._first_concurrency, self._concurrency - step)

    def _rate_at(self, timestamp: float) -> float:
        assert self._rate is not None
        since = max(0.0, timestamp - self._paused_until)
        return self._rate * (1.0 + (1.0 / _DECREASE - 1.0) * (since / _PLATEAU_SECONDS) ** 3)

    def _next_start(self, rate_limit: RateLimit) -> float:
        with self._reserving:
            while self._starts and self._starts[0] < self._clock.monotonic() - _STALE_SECONDS:
                self._starts.popleft()
            if not self._starts:
                count = max(1, min(_MAX_RESERVED, int(rate_limit.per_second * _RESERVE_SECONDS)))
                first = rate_limit.reserve(count)
                self._starts.extend(first + index / rate_limit.per_second for index in range(count))
            return self._starts.popleft()


def _count_last_second(timestamps: deque[float], now: float) -> int:
    """Count the timestamps of the last second and drop the others."""
    while timestamps and timestamps[0] <= now - 1.0:
        timestamps.popleft()
    return len(timestamps)
