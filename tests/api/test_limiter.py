"""The limiter finds what an API takes, keeps to a named rate, and ignores faults. In virtual time."""

from __future__ import annotations

import random
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError

import pytest

from pme_airflow.api.limiter import Limiter, LocalRateLimit, RateLimit
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


def test_a_latency_of_just_twice_the_lowest_and_a_tenth_of_a_second_is_not_slow() -> None:
    clock = FakeClock()
    limiter = Limiter(1, 8, clock)
    limiter.ended(limiter.start(), 200)
    started = limiter.start()
    clock.advance(0.1)
    limiter.ended(started, 200)
    assert limiter.at_once == 2


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


def test_a_request_waits_while_as_many_as_allowed_are_in_flight() -> None:
    limiter = Limiter(2, 2, FakeClock())
    first = limiter.start()
    limiter.start()
    with ThreadPoolExecutor(1) as pool:
        third = pool.submit(limiter.start)
        with pytest.raises(FutureTimeoutError):
            third.result(0.1)
        limiter.ended(first, 200)
        third.result(30)
        fourth = pool.submit(limiter.start)  # one that ended makes room for one
        with pytest.raises(FutureTimeoutError):
            fourth.result(0.1)
        limiter.ended(first, 200)
        fourth.result(30)


def test_responses_of_more_than_a_second_ago_are_not_kept() -> None:
    clock = FakeClock()
    limiter = Limiter(8, 8, clock)
    for _ in range(100):
        clock.advance(0.5)
        limiter.ended(limiter.start(), 200)
    assert len(limiter._accepted) == 2


# -------------------------------------------------------------------------------- each rule alone


def refused_at_once(refused: int, accepted: int, in_flight: int = 0) -> tuple[Limiter, FakeClock, list[float]]:
    """A limiter after so many responses at second 0, and the requests that are still in flight."""
    clock = FakeClock()
    limiter = Limiter(4096, 4096, clock)
    begun = [limiter.start() for _ in range(refused + accepted + in_flight)]
    for number in range(accepted + refused):
        limiter.ended(begun[number], 200 if number < accepted else 429)
    return limiter, clock, begun[refused + accepted :]


@pytest.mark.parametrize(
    ("refused", "accepted", "is_limit"), [(4, 0, False), (5, 0, True), (5, 11, True), (5, 12, False), (6, 14, True)]
)
def test_five_refusals_in_a_second_are_a_limit_where_they_are_three_tenths_of_it(
    refused: int, accepted: int, is_limit: bool
) -> None:
    limiter, _, _ = refused_at_once(refused, accepted)
    assert limiter.start() == pytest.approx(1.0 if is_limit else 0.0)


def test_refusals_more_than_a_second_apart_are_no_limit() -> None:
    clock = FakeClock()
    limiter = Limiter(4096, 4096, clock)
    for seconds in (0.5, 0.5, 0.0, 0.0, 0.0):
        clock.advance(seconds)
        limiter.ended(limiter.start(), 429)
    assert limiter.start() == 2.0  # the first one was a second ago when the last one came, the others were not
    limiter = Limiter(4096, 4096, clock := FakeClock())
    for seconds in (0.5, 0.0, 0.0, 0.0, 1.0):
        clock.advance(seconds)
        limiter.ended(limiter.start(), 429)
    assert limiter.start() == 1.5


@pytest.mark.parametrize(("accepted", "per_second"), [(11, 0.95 * 11), (0, 0.5)])
def test_the_rate_is_a_little_less_than_what_was_accepted(accepted: int, per_second: float) -> None:
    limiter, _, _ = refused_at_once(5, accepted)
    first = limiter.start()
    assert limiter.start() - first == pytest.approx(1 / per_second)


@pytest.mark.parametrize(("seconds", "factor"), [(7.5, 1 + (1 / 0.95 - 1) / 8), (15, 1 / 0.95), (30, 8 / 0.95 - 7)])
def test_the_rate_is_back_where_it_was_refused_after_15_seconds_and_grows_fast_then(
    seconds: float, factor: float
) -> None:
    limiter, clock, _ = refused_at_once(5, 11)
    clock.advance(1 + seconds)
    starts = [limiter.start() for _ in range(3)]
    assert starts[:2] == [1 + seconds] * 2
    assert starts[2] - starts[1] == pytest.approx(1 / (11 * 0.95 * factor))


def test_a_further_refusal_pauses_shortly_and_takes_five_hundredths_of_the_rate() -> None:
    limiter, _, _ = refused_at_once(5, 11)
    limiter.ended(limiter.start(), 429)
    first = limiter.start()
    assert first == pytest.approx(1.25)
    assert limiter.start() - first == pytest.approx(1 / (11 * 0.95**2))


@pytest.mark.parametrize("status", [503, None])
def test_a_fault_leaves_the_rate_as_it_is(status: int | None) -> None:
    limiter, _, _ = refused_at_once(5, 11)
    first = limiter.start()
    limiter.ended(first, status)
    assert limiter.start() - first == pytest.approx(1 / (11 * 0.95))


def test_a_rate_cut_four_times_and_refused_by_chance_was_no_limit() -> None:
    limiter, _, _ = refused_at_once(5, 11)
    for expected in (1.0, 1.25, 1.5, 1.75):
        started = limiter.start()
        assert started == pytest.approx(expected)
        limiter.ended(started, 429)
    assert [limiter.start(), limiter.start()] == pytest.approx([1.75, 1.75])


def test_a_rate_cut_four_times_and_refused_on_and_on_is_measured_anew() -> None:
    limiter, _, in_flight = refused_at_once(5, 11, in_flight=2)
    for _ in range(3):
        limiter.ended(limiter.start(), 429)
    fourth = limiter.start()
    for started in (*in_flight, fourth):
        limiter.ended(started, 429)
    first = limiter.start()
    assert first == pytest.approx(fourth + 0.25)
    assert limiter.start() - first == pytest.approx(1 / 0.5)


def test_the_longest_pause_that_was_asked_for_counts_up_to_30_seconds() -> None:
    clock = FakeClock()
    limiter = Limiter(8, 8, clock)
    begun = [limiter.start() for _ in range(3)]
    for started, retry_after in zip(begun, (7.0, 3.0, None), strict=True):
        limiter.ended(started, 503, retry_after=retry_after)
    started = limiter.start()
    assert started == 7.0
    limiter.ended(started, 429, retry_after=3600.0)
    assert limiter.start() == 37.0


@pytest.mark.parametrize("status", [429, 503, None])
def test_every_refusal_halves_the_concurrency_down_to_one(status: int | None) -> None:
    clock = FakeClock()
    limiter = Limiter(5, 8, clock)
    found = []
    for _ in range(4):
        limiter.ended(limiter.start(), status)
        found.append(limiter.at_once)
        clock.advance(1)
    assert found == [2, 1, 1, 1]


class Reserving(RateLimit):
    """Remembers how many starts were reserved at once."""

    def __init__(self, per_second: float, clock: FakeClock) -> None:
        super().__init__(per_second)
        self.counts: list[int] = []
        self._clock = clock

    def reserve(self, count: int) -> float:
        self.counts.append(count)
        return self._clock.monotonic()


@pytest.mark.parametrize(("per_second", "count"), [(1, 1), (8, 1), (9, 2), (100, 24), (206, 49), (207, 50), (1000, 50)])
def test_starts_of_a_quarter_of_a_second_are_reserved_at_once(per_second: float, count: int) -> None:
    clock = FakeClock()
    rate_limit = Reserving(per_second, clock)
    limiter = Limiter(count + 1, 0, clock, rate_limit)
    starts = [limiter.start() for _ in range(count)]
    assert rate_limit.counts == [count]
    assert starts == pytest.approx([index / (per_second * 0.97) for index in range(count)])
    limiter.start()
    assert rate_limit.counts == [count, count]


@pytest.mark.parametrize(("late", "reserved"), [(0.04, 1), (0.06, 2)])
def test_a_reserved_start_is_dropped_a_twentieth_of_a_second_after_its_time(late: float, reserved: int) -> None:
    clock = FakeClock()
    rate_limit = Reserving(9, clock)
    limiter = Limiter(8, 0, clock, rate_limit)
    limiter.start()
    clock.advance(1 / (9 * 0.97) + late)
    limiter.start()
    assert len(rate_limit.counts) == reserved


def test_reserved_starts_follow_each_other_and_are_not_saved_up() -> None:
    clock = FakeClock()
    rate_limit = LocalRateLimit(100, clock)
    assert rate_limit.per_second == pytest.approx(97)
    assert [rate_limit.reserve(97), rate_limit.reserve(97)] == pytest.approx([0.0, 1.0])
    clock.advance(10)
    assert [rate_limit.reserve(1), rate_limit.reserve(1)] == pytest.approx([10.0, 10 + 1 / 97])


def test_more_requests_are_allowed_when_more_are_asked_for_and_never_fewer() -> None:
    clock = FakeClock()
    limiter = Limiter(2, 2, clock)
    limiter.allow(1)
    assert (limiter.at_once, limiter.most) == (2, 2)
    limiter.allow(8)
    assert (limiter.at_once, limiter.most) == (8, 8)
    limiter.start()
    limiter.ended(clock.monotonic(), 429)
    limiter.allow(8)
    assert limiter.at_once == 4


def test_a_request_that_waits_for_room_starts_when_more_are_allowed() -> None:
    limiter = Limiter(1, 1, FakeClock())
    limiter.start()
    waiting = threading.Thread(target=limiter.start)
    waiting.start()
    limiter.allow(2)
    waiting.join(30)
    assert not waiting.is_alive()
