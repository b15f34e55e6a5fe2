"""One loop for all work that keeps several requests in flight: minting, writing slots and revoking.

Jobs are staged ahead in the ledger, sent in batches by a pool of threads, and settled together as responses arrive. The
ledger is written by the calling thread alone, and requests are launched while it writes.
"""

from __future__ import annotations

import heapq
import logging
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Generic, Protocol, TypeVar

from pme_airflow.api.batch_size import BatchSize
from pme_airflow.api.limiter import Limiter
from pme_airflow.clock import Clock
from pme_airflow.garbage import fewer_collections

__all__ = ["KEEP_ALIVE_SECONDS", "Landed", "Limits", "RequestLimits", "SlotLimits", "Worker", "WorkerLoop"]

#: How often :meth:`Worker.keep_alive` is called, at least, while requests are in flight. Claims last for 45 s.
KEEP_ALIVE_SECONDS = 15.0
#: How long responses are gathered for one transaction after the first one arrived.
_GATHER_SECONDS = 0.02

log = logging.getLogger(__name__)
Job = TypeVar("Job")
Staged = TypeVar("Staged")
Result = TypeVar("Result")


class Limits(Protocol):
    """Limits of what is staged and in flight."""

    @property
    def threads(self) -> int:
        """The most requests there can ever be in flight."""

    def next_size(self) -> int:
        """Return how many staged jobs the next request may hold."""

    def started(self, count: int) -> None:
        """Note that a request with so many jobs is on its way."""

    def ended(self, count: int) -> None:
        """Note that it has ended, whatever came of it."""

    def requests(self) -> int:
        """Return how many requests may be in flight now."""

    def staged(self, in_flight: int) -> int:
        """Return how many jobs may be staged while so many requests are in flight; at least those of the next one."""


@dataclass(frozen=True)
class RequestLimits:
    """Batched requests to the API, with as much staged as is in flight.

    Larger batches are fewer at once, so that a process that dies leaves no more tokens unaccounted for.
    """

    limiter: Limiter
    batches: BatchSize

    @property
    def threads(self) -> int:
        """See :class:`Limits`."""
        return self.limiter.max_ready

    def next_size(self) -> int:
        """See :class:`Limits`."""
        return self.batches.next()

    def started(self, count: int) -> None:
        """See :class:`Limits`."""
        self.batches.started(count)

    def ended(self, count: int) -> None:
        """See :class:`Limits`."""
        self.batches.ended(count)

    def requests(self) -> int:
        """See :class:`Limits`."""
        return min(self.limiter.ready, self.limiter.max_ready * self.batches.first // self.batches.taken)

    def staged(self, in_flight: int) -> int:
        """See :class:`Limits`. Half of it at first, since nothing is sent until the first jobs are recorded."""
        requests = self.requests() if in_flight else self.limiter.at_once // 2
        return max(requests * self.batches.taken, self.batches.next())


@dataclass(frozen=True)
class SlotLimits:
    """Slots of a target, one a request: one waits with its claim behind each one that is written, none behind one.

    :param at_once: how many slots are written at the same time.
    """

    at_once: int

    @property
    def threads(self) -> int:
        """See :class:`Limits`."""
        return self.at_once

    def next_size(self) -> int:
        """See :class:`Limits`."""
        return 1

    def started(self, count: int) -> None:
        """See :class:`Limits`. The size of a request never changes."""

    def ended(self, count: int) -> None:
        """See :meth:`started`."""

    def requests(self) -> int:
        """See :class:`Limits`."""
        return self.at_once if self.at_once == 1 else 2 * self.at_once

    def staged(self, in_flight: int) -> int:
        """See :class:`Limits`. A claim ends after 45 s, so nothing is claimed that cannot be sent at once."""
        return self.requests() - in_flight


@dataclass(frozen=True)
class Landed(Generic[Staged, Result]):
    """A request that has ended.

    :param result: what :meth:`Worker.send` returned; ``None`` if it raised.
    :param error: what it raised.
    """

    batch: Sequence[Staged]
    result: Result | None
    error: BaseException | None


class Worker(ABC, Generic[Job, Staged, Result]):
    """The work of one :class:`WorkerLoop`. All methods but :meth:`send` run in the calling thread."""

    @abstractmethod
    def next_jobs(self, count: int) -> Sequence[Job]:
        """Return the next jobs; fewer than ``count`` if there are no more for now."""

    @abstractmethod
    def stage(self, jobs: Sequence[Job]) -> Sequence[Staged]:
        """Record jobs in the ledger before they are sent; jobs that need no request are left out."""

    @abstractmethod
    def send(self, batch: Sequence[Staged]) -> Result:
        """Send a batch, in a thread of the pool."""

    @abstractmethod
    def settle(self, landed: Sequence[Landed[Staged, Result]]) -> None:
        """Record what became of requests."""

    def batch_key(self, staged: Staged) -> object:
        """Return what staged jobs of one request must have in common."""
        return None

    def cancel(self, staged: Sequence[Staged]) -> None:
        """Undo the staging of jobs that will not be sent."""

    def idle(self) -> bool:
        """Called when no job is left; return whether to call :meth:`next_jobs` again."""
        return False

    def keep_alive(self) -> None:
        """Called every :data:`KEEP_ALIVE_SECONDS`."""


class WorkerLoop(Generic[Job, Staged, Result]):
    """Keeps requests in flight until a worker has no more jobs. Use it as a context manager.

    :param worker: the work.
    :param limits: how much is staged and in flight.
    :param clock: the source of time and of waiting.
    :param name: names the threads.
    """

    def __init__(self, worker: Worker[Job, Staged, Result], limits: Limits, clock: Clock, name: str) -> None:
        self._worker = worker
        self._limits = limits
        self._clock = clock
        self._pool = ThreadPoolExecutor(limits.threads, thread_name_prefix=f"pme-{name}")
        self._ready: deque[Job] = deque()
        self._later: list[tuple[float, int, Job]] = []
        self._postponed = 0
        self._staged: deque[Staged] = deque()
        self._in_flight: dict[Future[Result], Sequence[Staged]] = {}
        self._ended: SimpleQueue[Future[Result]] = SimpleQueue()
        self._source_empty = False
        self._stopped = False
        self._alive_at = clock.monotonic()

    def __enter__(self) -> WorkerLoop[Job, Staged, Result]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown()

    def postpone(self, job: Job, seconds: float) -> None:
        """Stage a job again after some seconds."""
        self._postponed += 1
        heapq.heappush(self._later, (self._clock.monotonic() + seconds, self._postponed, job))

    def stop(self) -> None:
        """Send nothing more. What is staged is cancelled, and jobs still to come are given to the worker to stage."""
        self._stopped = True

    def run(self) -> None:
        """Work until there are no more jobs. Requests in flight are settled even after an error."""
        with fewer_collections():
            try:
                while self._step():
                    pass
            finally:
                self._drain()

    def _step(self) -> bool:
        """Stage, launch and settle once; return whether anything is left to do."""
        self._wake()
        self._launch()
        for _ in range(2):  # few jobs first, so that requests are in flight while the rest is recorded
            if self._stage():
                self._launch()
        if self._in_flight:
            self._worker.settle(self._gather())
        elif not self._ready and not self._staged:
            if self._later and not self._stopped:
                self._clock.sleep(max(0.0, self._later[0][0] - self._clock.monotonic()))
            elif not self._later and self._source_empty and not self._worker.idle():
                return False
        self._keep_alive()
        return True

    def _wake(self) -> None:
        now = self._clock.monotonic()
        while self._later and (self._later[0][0] <= now or self._stopped):
            self._ready.append(heapq.heappop(self._later)[2])

    def _stage(self) -> bool:
        """Stage as many jobs as there is room for; return whether there were any."""
        room = self._limits.staged(len(self._in_flight)) - len(self._staged)
        if room <= 0:
            return False
        jobs = [self._ready.popleft() for _ in range(min(room, len(self._ready)))]
        if len(jobs) < room:
            fresh = self._worker.next_jobs(room - len(jobs))
            self._source_empty = len(fresh) < room - len(jobs)
            jobs += fresh
        if jobs:
            self._staged.extend(self._worker.stage(jobs))
        return bool(jobs)

    def _launch(self) -> None:
        """Send what is staged, in full requests as long as more jobs are to come."""
        if self._stopped:
            self._cancel()
        while self._staged and len(self._in_flight) < self._limits.requests():
            size = self._limits.next_size()
            if len(self._staged) < size and (self._ready or not self._source_empty):
                return
            batch = self._next_batch(size)
            future = self._pool.submit(self._worker.send, batch)
            self._in_flight[future] = batch
            self._limits.started(len(batch))
            future.add_done_callback(self._ended.put)

    def _next_batch(self, size: int) -> Sequence[Staged]:
        batch = [self._staged.popleft()]
        key = self._worker.batch_key(batch[0])
        while self._staged and len(batch) < size and self._worker.batch_key(self._staged[0]) == key:
            batch.append(self._staged.popleft())
        return batch

    def _gather(self) -> list[Landed[Staged, Result]]:
        """Wait for a response, and take what arrives shortly after it; launch the next request for each at once."""
        landed = self._land(KEEP_ALIVE_SECONDS)
        until = self._clock.monotonic() + _GATHER_SECONDS
        while landed:
            self._launch()
            more = self._land(max(0.0, until - self._clock.monotonic()))
            if not more:
                break
            landed += more
        return landed

    def _land(self, timeout: float) -> list[Landed[Staged, Result]]:
        """Wait for a request to end, and return all that have; each one ends once, however many are in flight."""
        if not self._in_flight:
            return []
        try:
            done = [self._ended.get(timeout=timeout)]
        except Empty:
            return []
        done += [self._ended.get_nowait() for _ in range(self._ended.qsize())]
        landed = [_landed(self._in_flight.pop(future), future) for future in done]
        for request in landed:
            self._limits.ended(len(request.batch))
        return landed

    def _keep_alive(self) -> None:
        now = self._clock.monotonic()
        if now - self._alive_at >= KEEP_ALIVE_SECONDS:
            self._alive_at = now
            self._worker.keep_alive()

    def _cancel(self) -> None:
        unsent, self._staged = list(self._staged), deque()
        if unsent:
            self._worker.cancel(unsent)

    def _drain(self) -> None:
        """Settle what is still in flight and cancel what is staged; a run without errors leaves neither."""
        while self._in_flight:
            landed = self._land(KEEP_ALIVE_SECONDS)
            try:
                self._worker.settle(landed)
            except Exception as error:  # noqa: BLE001 - the run fails with its first error, and the rest is settled
                log.warning("A response that came after the run failed was not recorded (%s).", type(error).__name__)
        try:
            self._cancel()
        except Exception as error:  # noqa: BLE001 - as above
            log.warning("Work that was not sent was not recorded as such (%s).", type(error).__name__)


def _landed(batch: Sequence[Staged], future: Future[Result]) -> Landed[Staged, Result]:
    error = future.exception()
    return Landed(batch, future.result() if error is None else None, error)
