"""The limiter finds what an API takes, keeps to a named rate, and ignores faults. In virtual time."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable

import pytest

from pme_airflow.api.limiter import Limiter, LocalRateLimit
from tests.support.clocks import FakeClock

LATENCY = 0.01


class Server:
    """An API of one caller; ``answer`` gives the status of a request that arrives at a time."""

    def __init__(self, limiter: Limiter, clock: FakeClock, answer: Callable[[float], int]) -> None:
        self.limiter, self.clock, self.answer = limiter, clock, answer
        self.starts: list[float] = []
        self.statuses: list[int] = []

    def run(self, seconds: float) -> tuple[int, int]:
        """Requests for so long; how many were taken and how many refused in that time."""
        before, until = len(self.statuses), self.clock.monotonic() + seconds
        while self.clock.monotonic() < until:
            started = self.limiter.start()
            self.starts.append(started)
            self.clock.advance(LATENCY / 2)
            status = self.answer(self.clock.monotonic())
            self.clock.advance(LATENCY / 2)
            self.statuses.append(status)
            self.limiter.ended(started, status)
        fresh = self.statuses[before:]
        return fresh.count(200), len(fresh) - fresh.count(200)


def limit_of(per_second: float) -> Callable[[float], int]:
    """At most so many in any second."""
    taken: deque[float] = deque()

    def answer(timestamp: float) -> int:
        while taken and taken[0] <= timestamp - 1.0:
            taken.popleft()
        if len(taken) >= per_second:
            return 429
        taken.append(timestamp)
        return 200

    return answer


@pytest.mark.parametrize("per_second", [5, 20, 60])
def test_a_rate_limit_nobody_named_is_found_used_and_seldom_refused(per_second: int) -> None:
    clock = FakeClock()
    server = Server(Limiter(8, 32, clock), clock, limit_of(per_second))
    server.run(10)
    taken, refused = server.run(200)
    assert taken / 200 > 0.9 * per_second
    assert refused < 0.02 * taken


def test_a_limit_that_is_raised_is_found() -> None:
    clock = FakeClock()
    server = Server(Limiter(8, 32, clock), clock, limit_of(5))
    server.run(60)
    server.answer = limit_of(40)
    server.run(120)
    assert server.run(60)[0] / 60 > 0.8 * 40


def test_a_limit_that_is_lowered_is_found() -> None:
    clock = FakeClock()
    server = Server(Limiter(8, 32, clock), clock, limit_of(60))
    server.run(60)
    server.answer = limit_of(6)
    server.run(30)
    taken, refused = server.run(100)
    assert taken / 100 > 0.9 * 6
    assert refused < 0.02 * taken


def test_a_limit_that_turns_out_to_be_a_fault_is_forgotten() -> None:
    """Many refusals at once look like a limit; once the rate has been cut and they go on by chance, it is none."""
    clock, chance = FakeClock(), random.Random(7)
    server = Server(Limiter(8, 32, clock), clock, limit_of(20))
    server.run(30)
    server.answer = lambda _: 429 if chance.random() < 0.1 else 200
    server.run(30)
    taken, _ = server.run(60)
    assert taken / 60 > 0.7 / LATENCY


def test_requests_are_prepared_beyond_those_in_flight_by_half() -> None:
    clock = FakeClock()
    limiter = Limiter(8, 32, clock)
    assert (limiter.ready, limiter.max_ready) == (13, 49)
    Server(limiter, clock, lambda _: 200).run(30)
    assert limiter.ready == limiter.max_ready


def test_faults_that_come_by_chance_do_not_slow_it_down() -> None:
    clock, chance = FakeClock(), random.Random(7)
    server = Server(Limiter(8, 32, clock), clock, lambda _: 429 if chance.random() < 0.1 else 200)
    taken, _ = server.run(60)
    assert taken / 60 > 0.7 / LATENCY


def test_a_named_rate_is_never_exceeded() -> None:
    clock = FakeClock()
    server = Server(Limiter(8, 32, clock, LocalRateLimit(20, clock)), clock, limit_of(20))
    taken, refused = server.run(60)
    assert refused == 0
    assert taken / 60 > 0.95 * 20
    assert max(sum(1 for other in server.starts if start <= other < start + 1) for start in server.starts) <= 20


def test_nothing_starts_before_retry_after_has_passed() -> None:
    clock = FakeClock()
    limiter = Limiter(8, 32, clock)
    limiter.ended(limiter.start(), 503, retry_after=7.0)
    assert limiter.start() == pytest.approx(7.0)


def test_concurrency_grows_while_latency_is_low_and_halves_at_a_refusal() -> None:
    clock = FakeClock()
    limiter = Limiter(8, 32, clock)
    server = Server(limiter, clock, lambda _: 200)
    server.run(30)
    assert limiter.at_once == 32
    clock.advance(1)
    limiter.ended(limiter.start(), 503)
    assert limiter.at_once == 16


def test_refusals_of_requests_in_flight_together_halve_once() -> None:
    clock = FakeClock()
    limiter = Limiter(8, 32, clock)
    clock.advance(1)
    begun = [limiter.start() for _ in range(8)]
    clock.advance(0.05)
    for started in begun:
        limiter.ended(started, 503)
    assert limiter.at_once == 4


def test_an_api_that_grows_slow_gets_the_first_concurrency_again() -> None:
    clock = FakeClock()
    limiter = Limiter(8, 32, clock)
    Server(limiter, clock, lambda _: 200).run(30)
    assert limiter.at_once == 32
    for _ in range(2000):
        started = limiter.start()
        clock.advance(2.0)
        limiter.ended(started, 200)
    assert limiter.at_once == 8


@pytest.mark.parametrize(("latency", "slow"), [(0.29, False), (0.31, True)])
def test_a_latency_of_twice_the_lowest_and_a_tenth_of_a_second_takes_back_one_step(latency: float, slow: bool) -> None:
    clock = FakeClock()
    limiter = Limiter(8, 32, clock)
    for seconds in [0.1] * 600 + [latency] * 32:
        started = limiter.start()
        clock.advance(seconds)
        limiter.ended(started, 200)
    assert limiter.at_once == (30 if slow else 32)


def test_slow_requests_are_not_held_against_quick_ones_of_another_kind() -> None:
    clock = FakeClock()
    limiter = Limiter(8, 32, clock)
    for kind, latency in [("token", 0.01), *[("mint", 3.0)] * 2000]:
        started = limiter.start()
        clock.advance(latency)
        limiter.ended(started, 200, kind=kind)
    assert limiter.at_once == 32


def test_a_refusal_for_an_hour_does_not_hold_others_for_an_hour() -> None:
    clock = FakeClock()
    limiter = Limiter(8, 32, clock)
    limiter.ended(limiter.start(), 429, retry_after=3600.0)
    assert limiter.start() <= 30.0


def test_a_named_concurrency_is_never_exceeded() -> None:
    clock = FakeClock()
    limiter = Limiter(8, 0, clock)
    Server(limiter, clock, lambda _: 200).run(30)
    assert limiter.at_once == limiter.most == 8
