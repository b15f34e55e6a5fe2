"""One loop stages ahead, sends in batches, settles together, delays retries, and loses no response."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from pme_airflow.api.batch_size import BatchSize
from pme_airflow.api.limiter import Limiter
from pme_airflow.clock import SystemClock
from pme_airflow.lifecycle import worker_loop
from pme_airflow.lifecycle.worker_loop import (
    KEEP_ALIVE_SECONDS,
    Landed,
    RequestLimits,
    SlotLimits,
    Worker,
    WorkerLoop,
)
from tests.support.clocks import FakeClock


@dataclass(frozen=True)
class Fixed:
    """Limits that never change."""

    in_flight: int = 2
    ahead: int = 4
    batch_size: int = 2
    threads: int = 4

    def next_size(self) -> int:
        return self.batch_size

    def started(self, count: int) -> None:
        """Nothing is learnt."""

    def ended(self, count: int) -> None:
        """Nothing is learnt."""

    def requests(self) -> int:
        return self.in_flight

    def staged(self, in_flight: int) -> int:
        return self.ahead


@dataclass
class Recorder(Worker[int, int, list[int]]):
    """Doubles numbers, and keeps a diary of what it was called for."""

    numbers: deque[int]
    broken: dict[int, BaseException] = field(default_factory=dict)
    diary: list[tuple[str, list[int]]] = field(default_factory=list)
    settled: list[int] = field(default_factory=list)
    errors: list[BaseException] = field(default_factory=list)
    idles: int = 0
    lives: int = 0
    most: int = 0
    _now: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def next_jobs(self, count: int) -> Sequence[int]:
        return [self.numbers.popleft() for _ in range(min(count, len(self.numbers)))]

    def stage(self, jobs: Sequence[int]) -> Sequence[int]:
        self.diary.append(("stage", list(jobs)))
        return [job for job in jobs if job >= 0]

    def send(self, batch: Sequence[int]) -> list[int]:
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
        try:
            for number in batch:
                if number in self.broken:
                    raise self.broken[number]
            return [2 * number for number in batch]
        finally:
            with self._lock:
                self._now -= 1

    def settle(self, landed: Sequence[Landed[int, list[int]]]) -> None:
        for request in landed:
            self.diary.append(("settle", list(request.batch)))
            self.settled += request.result or []
            self.errors += [request.error] if request.error else []

    def cancel(self, staged: Sequence[int]) -> None:
        self.diary.append(("cancel", list(staged)))

    def idle(self) -> bool:
        self.idles += 1
        return False

    def keep_alive(self) -> None:
        self.lives += 1


def recorder(count: int, **more: object) -> Recorder:
    return Recorder(deque(range(1, count + 1)), **more)  # type: ignore[arg-type]


def in_turn(worker: Recorder) -> None:
    """Let no request end before the responses that came earlier are settled."""
    turn = threading.Semaphore(1)
    send, settle = worker.send, worker.settle

    def waiting(batch: Sequence[int]) -> list[int]:
        assert turn.acquire(timeout=10)
        return send(batch)

    def releasing(landed: Sequence[Landed[int, list[int]]]) -> None:
        try:
            settle(landed)
        finally:
            for _ in landed:
                turn.release()

    worker.send, worker.settle = waiting, releasing  # type: ignore[method-assign]


def run(worker: Recorder, limits: Fixed | None = None, clock: FakeClock | None = None) -> None:
    with WorkerLoop(worker, limits or Fixed(), clock or FakeClock(), "test") as loop:
        loop.run()


def batches(worker: Recorder) -> list[list[int]]:
    return sorted(numbers for what, numbers in worker.diary if what == "settle")


def test_every_job_is_staged_sent_and_settled_once() -> None:
    worker = recorder(25)
    run(worker)
    assert sorted(worker.settled) == [2 * number for number in range(1, 26)]
    staged = [number for what, numbers in worker.diary if what == "stage" for number in numbers]
    assert staged == list(range(1, 26))
    assert worker.idles == 1


def test_requests_are_full_as_long_as_more_is_to_come() -> None:
    worker = recorder(25)
    run(worker, Fixed(ahead=5))
    assert [len(batch) for batch in batches(worker)].count(2) == 12
    assert sum(len(batch) for batch in batches(worker)) == 25


def test_no_more_are_staged_than_there_is_room_for() -> None:
    worker = recorder(40)
    run(worker, Fixed(ahead=3))
    assert max(len(numbers) for what, numbers in worker.diary if what == "stage") <= 3


def test_no_more_requests_are_in_flight_than_allowed() -> None:
    worker = recorder(60)
    run(worker, Fixed(in_flight=2, batch_size=1, threads=8, ahead=8))
    assert worker.most <= 2


def test_jobs_that_need_no_request_are_not_sent() -> None:
    worker = Recorder(deque([1, -2, 3, -4]))
    run(worker)
    assert sorted(worker.settled) == [2, 6]


def test_nothing_to_do_is_done_at_once() -> None:
    worker = recorder(0)
    run(worker)
    assert worker.diary == []
    assert worker.idles == 1


def test_a_worker_that_has_more_after_a_pause_goes_on() -> None:
    worker = recorder(2)

    def idle() -> bool:
        worker.idles += 1
        if worker.idles < 3:
            worker.numbers.extend([10 * worker.idles])
            return True
        return False

    worker.idle = idle  # type: ignore[method-assign]
    run(worker)
    assert sorted(worker.settled) == [2, 4, 20, 40]


def test_jobs_of_one_request_have_the_same_key() -> None:
    worker = recorder(8)
    worker.batch_key = lambda number: number > 3  # type: ignore[method-assign]
    run(worker, Fixed(batch_size=5, ahead=8))
    assert batches(worker) == [[1, 2, 3], [4, 5, 6, 7, 8]]


def test_a_postponed_job_is_staged_again_after_its_delay() -> None:
    clock = FakeClock()
    worker = recorder(1)
    times: list[float] = []

    def stage(jobs: Sequence[int]) -> Sequence[int]:
        times.append(clock.monotonic())
        if len(times) < 3:
            loop.postpone(jobs[0], 7.0)
            return []
        return jobs

    worker.stage = stage  # type: ignore[method-assign]
    with WorkerLoop(worker, Fixed(), clock, "test") as loop:
        loop.run()
    assert times == [0.0, 7.0, 14.0]
    assert worker.settled == [2]


def test_postponed_jobs_are_woken_in_the_order_of_their_times() -> None:
    clock = FakeClock()
    worker = recorder(3)
    woken: list[int] = []

    def stage(jobs: Sequence[int]) -> Sequence[int]:
        if clock.monotonic() == 0.0:
            for job in jobs:
                loop.postpone(job, 10.0 - job)
        else:
            woken.extend(jobs)
        return []

    worker.stage = stage  # type: ignore[method-assign]
    with WorkerLoop(worker, Fixed(), clock, "test") as loop:
        loop.run()
    assert woken == [3, 2, 1]
    assert clock.slept == pytest.approx(9.0)


def test_what_a_request_raised_is_settled_with_the_others() -> None:
    worker = recorder(6, broken={3: ValueError("no")})
    run(worker)
    assert sorted(worker.settled) == [2, 4, 10, 12]
    assert [str(error) for error in worker.errors] == ["no"]


def test_responses_are_settled_together() -> None:
    worker = recorder(8)
    gate = threading.Barrier(4)
    calls: list[int] = []
    send, settle = worker.send, worker.settle

    def together(batch: Sequence[int]) -> list[int]:
        gate.wait(10)
        return send(batch)

    def counted(landed: Sequence[Landed[int, list[int]]]) -> None:
        calls.append(len(landed))
        settle(landed)

    worker.send, worker.settle = together, counted  # type: ignore[method-assign]
    with WorkerLoop(worker, Fixed(in_flight=4, ahead=8), SystemClock(), "test") as loop:
        loop.run()
    assert sum(calls) == 4
    assert len(calls) < 4


def test_after_a_stop_nothing_is_sent_and_what_is_staged_is_cancelled() -> None:
    worker = recorder(20)
    settle = worker.settle

    def stopping(landed: Sequence[Landed[int, list[int]]]) -> None:
        settle(landed)
        loop.stop()

    worker.settle = stopping  # type: ignore[method-assign]
    in_turn(worker)
    with WorkerLoop(worker, Fixed(in_flight=1), FakeClock(), "test") as loop:
        loop.run()
    sent = [number for batch in batches(worker) for number in batch]
    cancelled = [number for what, numbers in worker.diary if what == "cancel" for number in numbers]
    assert sent == [1, 2, 3, 4]  # the second request was launched as soon as the first one landed
    assert cancelled == list(range(5, 21))


def test_after_a_stop_postponed_jobs_are_staged_at_once() -> None:
    clock = FakeClock()
    worker = recorder(2)
    staged: list[float] = []

    def stage(jobs: Sequence[int]) -> Sequence[int]:
        staged.append(clock.monotonic())
        if len(staged) == 1:
            for job in jobs:
                loop.postpone(job, 1000.0)
            loop.stop()
        return []

    worker.stage = stage  # type: ignore[method-assign]
    with WorkerLoop(worker, Fixed(), clock, "test") as loop:
        loop.run()
    assert staged == [0.0, 0.0]
    assert clock.slept == 0.0


def test_a_failure_of_the_books_ends_the_run_and_settles_what_is_in_flight() -> None:
    worker = recorder(12)
    settle = worker.settle
    failing = [RuntimeError("the ledger is away")]

    def broken(landed: Sequence[Landed[int, list[int]]]) -> None:
        if failing:
            raise failing.pop()
        settle(landed)

    worker.settle = broken  # type: ignore[method-assign]
    in_turn(worker)
    with pytest.raises(RuntimeError, match="away"):
        run(worker, Fixed(in_flight=3, ahead=12))
    sent = [number for batch in batches(worker) for number in batch]
    cancelled = [number for what, numbers in worker.diary if what == "cancel" for number in numbers]
    assert sent
    assert cancelled
    assert not set(sent) & set(cancelled)


def test_a_second_failure_while_settling_does_not_hide_the_first(caplog: pytest.LogCaptureFixture) -> None:
    worker = recorder(12)
    numbers = iter(range(100))

    def broken(landed: Sequence[Landed[int, list[int]]]) -> None:
        raise RuntimeError(f"failure {next(numbers)}")

    def also_broken(staged: Sequence[int]) -> None:
        raise RuntimeError("cancelling failed")

    worker.settle, worker.cancel = broken, also_broken  # type: ignore[method-assign]
    in_turn(worker)
    with pytest.raises(RuntimeError, match="failure 0"):
        run(worker, Fixed(in_flight=3, ahead=12))
    assert "was not recorded (RuntimeError)" in caplog.text
    assert "was not sent" in caplog.text


def test_a_long_run_keeps_its_claims_alive() -> None:
    clock = FakeClock()
    worker = recorder(10)
    settle = worker.settle

    def slowly(landed: Sequence[Landed[int, list[int]]]) -> None:
        settle(landed)
        clock.advance(KEEP_ALIVE_SECONDS - 1)

    worker.settle = slowly  # type: ignore[method-assign]
    in_turn(worker)
    run(worker, Fixed(in_flight=1, batch_size=1), clock)
    assert worker.lives == 5  # every second of ten settlements, 14 s apart


def test_a_loop_can_run_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_loop, "_GATHER_SECONDS", 0.0)
    worker = recorder(3)
    with WorkerLoop(worker, Fixed(), FakeClock(), "test") as loop:
        loop.run()
        worker.numbers.extend([7, 8])
        loop.run()
    assert sorted(worker.settled) == [2, 4, 6, 14, 16]


def test_request_limits_stage_as_much_as_is_in_flight_and_half_of_it_at_first() -> None:
    limits = RequestLimits(Limiter(8, 32, FakeClock()), BatchSize(10))
    assert limits.next_size() == 10
    assert limits.requests() == 8 + 4 + 1
    assert limits.threads == 32 + 16 + 1
    assert limits.staged(0) == 4 * 10
    assert limits.staged(1) == 13 * 10
    assert RequestLimits(Limiter(1, 1, FakeClock()), BatchSize(3)).staged(0) == 3


def test_larger_requests_are_fewer_so_that_no_more_links_are_in_flight() -> None:
    batches = BatchSize(10, 25)
    limits = RequestLimits(Limiter(32, 32, FakeClock()), batches)
    assert limits.requests() * 10 == 490
    for count in (10, 15, 20, 25):
        batches.accepted(count, 0.1)
    assert (limits.requests(), limits.next_size(), limits.staged(1)) == (19, 25, 475)
    assert limits.threads == 49


def test_one_request_at_a_time_tries_a_larger_size() -> None:
    """What is refused for another reason than its size is neither accepted nor refused, and is tried again."""
    together: list[int] = []
    smaller = threading.Event()

    class Watching(Recorder):
        larger = 0

        def send(self, batch: Sequence[int]) -> list[int]:
            with self._lock:
                self.larger += len(batch) > 2
                together.append(self.larger)
            if len(batch) > 2:
                assert smaller.wait(timeout=10)
            else:
                smaller.set()
            try:
                return super().send(batch)
            finally:
                with self._lock:
                    self.larger -= len(batch) > 2

    batches = BatchSize(2, 12)
    batches.accepted(2, 0.0)
    worker = Watching(deque(range(60)))
    with WorkerLoop(worker, RequestLimits(Limiter(4, 4, FakeClock()), batches), FakeClock(), "test") as loop:
        loop.run()
    sizes = [len(numbers) for what, numbers in worker.diary if what == "settle"]
    assert sum(sizes) == 60
    assert max(together) == 1
    assert max(sizes) == 7
    assert sizes.count(7) > 1


def test_a_request_larger_than_all_that_may_be_in_flight_is_staged_whole() -> None:
    batches = BatchSize(2, 12)
    batches.accepted(2, 0.0)
    worker = recorder(30)
    with WorkerLoop(worker, RequestLimits(Limiter(1, 1, FakeClock()), batches), FakeClock(), "test") as loop:
        loop.run()
    assert len(worker.settled) == 30


@pytest.mark.parametrize(("at_once", "requests"), [(1, 1), (2, 4), (8, 16)])
def test_slot_limits_claim_no_more_than_is_sent_at_once(at_once: int, requests: int) -> None:
    limits = SlotLimits(at_once)
    assert (limits.threads, limits.next_size(), limits.requests()) == (at_once, 1, requests)
    assert limits.staged(0) == requests
    assert limits.staged(requests) == 0
    assert limits.staged(1) == requests - 1


def test_the_threads_of_a_loop_carry_its_name() -> None:
    worker, names = recorder(4), set()
    send = worker.send

    def naming(batch: Sequence[int]) -> list[int]:
        names.add(threading.current_thread().name.rpartition("_")[0])
        return send(batch)

    worker.send = naming  # type: ignore[method-assign]
    WorkerLoop(worker, Fixed(), SystemClock(), "mint").run()
    assert names == {"pme-mint"}


def test_responses_are_gathered_for_20_milliseconds_after_the_first() -> None:
    worker, waits = recorder(4), []
    with WorkerLoop(worker, Fixed(), FakeClock(), "test") as loop:
        land = loop._land

        def noting(timeout: float) -> list[Landed[int, list[int]]]:
            waits.append(timeout)
            return land(timeout)

        loop._land = noting  # type: ignore[method-assign]
        loop.run()
    assert sorted(set(waits)) == pytest.approx([0.02, 15.0])
    assert KEEP_ALIVE_SECONDS == 15.0
