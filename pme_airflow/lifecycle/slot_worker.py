"""The worker that writes a target's slots: it claims them, puts several at a time, and records them as they land."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import timedelta
from types import TracebackType
from typing import Any, Protocol

from pme_airflow.errors import PMEError, SlotError
from pme_airflow.ledger import claims, publications, slot_claims
from pme_airflow.ledger.links import item_of
from pme_airflow.ledger.publications import NotRecorded, Publication, Shown
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.ledger.slot_claims import SlotAction, SlotPlan
from pme_airflow.ledger.transaction import WriteTransaction
from pme_airflow.lifecycle.foreign_slots import foreign_slots
from pme_airflow.lifecycle.services import Services
from pme_airflow.lifecycle.worker_loop import Landed, SlotLimits, Worker, WorkerLoop
from pme_airflow.targets.base import SlotResult

__all__ = ["BUSY_SECONDS", "BUSY_TRIES", "PutSlot", "SlotListener", "SlotWriter"]

#: How often, and how long apart, a slot or target is tried again that another run is writing.
BUSY_TRIES = 100
BUSY_SECONDS = 0.5

log = logging.getLogger(__name__)
Item = Mapping[str, Any]


class PutSlot(Protocol):
    """Puts a link into a slot and reads it back, in a thread."""

    def __call__(self, slot: str, item: Item, previous: Publication | None, /) -> SlotResult: ...


class SlotListener(Protocol):
    """Is called with the result of each slot."""

    def slot_published(self, slot: str, item: Item) -> None:
        """The slot shows the item's link now."""

    def slot_unchanged(self, slot: str, item: Item) -> None:
        """The slot showed the item's link, or a later one, already."""

    def slot_failed(self, slot: str, item: Item, error: PMEError) -> None:
        """The slot does not show the item's link."""


@dataclass(slots=True)
class _Job:
    """A slot, and the items to put there one after the other."""

    slot: str
    items: deque[Item]
    overwritten: bool = False
    tries: int = 0


@dataclass(frozen=True)
class _Claimed:
    """A claimed slot, and what it shows so far."""

    job: _Job
    previous: Publication | None


class SlotWriter(Worker[_Job, _Claimed, SlotResult], AbstractContextManager["SlotWriter"]):
    """Writes one target's slots. Use it as a context manager.

    :param target: the target's name in the ledger.
    :param at_once: how many slots are written at the same time.
    :param put: writes one slot.
    :param grace: how long the link that a slot showed is left alive, by what putting the new one returned.
    :param listener: called with the result of each slot.
    :param publishers: the DAGs whose slots may be given to another audience; ``None`` for all.
    :param audiences: the audiences that are published for; ``None`` if they are not known.
    """

    def __init__(
        self,
        services: Services,
        run_context: RunContext,
        target: str,
        at_once: int,
        put: PutSlot,
        grace: Callable[[SlotResult], timedelta],
        listener: SlotListener,
        publishers: frozenset[str] | None = None,
        audiences: frozenset[str] | None = None,
    ) -> None:
        self._services = services
        self._run_context = run_context
        self._target = target
        self._put = put
        self._grace = grace
        self._listener = listener
        self._publishers = publishers
        self._audiences = audiences
        self._jobs: deque[_Job] = deque()
        self._loop = WorkerLoop(self, SlotLimits(at_once), services.clock, "publish")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.__exit__(kind, error, trace)

    def write(self, wanted: Iterable[tuple[str, Item]]) -> None:
        """Put every item into its slot, those of one slot one after the other."""
        jobs: dict[str, _Job] = {}
        for slot, item in wanted:
            jobs.setdefault(slot, _Job(slot, deque())).items.append(item)
        self._jobs.extend(jobs.values())
        self._loop.run()

    def next_jobs(self, count: int) -> Sequence[_Job]:
        return [self._jobs.popleft() for _ in range(min(count, len(self._jobs)))]

    def stage(self, jobs: Sequence[_Job]) -> Sequence[_Claimed]:
        """Claim slots, and return those that are to be put."""
        claimed = []
        plans = self._plans(jobs)
        foreign = self._foreign(jobs, plans)
        for job, plan in zip(jobs, plans, strict=True):
            if job.slot in foreign:
                self._fail(job, SlotError(foreign[job.slot]))
            elif plan.action is SlotAction.PUT:
                if plan.link is not None and plan.link.link_id != job.items[0]["link_id"]:
                    job.items[0] = item_of(plan.link, plan.model_id)
                claimed.append(_Claimed(job, plan.previous))
            elif plan.action is SlotAction.DEAD:
                self._fail(job, SlotError("the link is revoked, expired or flagged; the next run brings a new one"))
            elif plan.action is SlotAction.BUSY:
                self._retry_busy(job)
            else:
                self._listener.slot_unchanged(job.slot, job.items.popleft())
                self._continue(job)
        return claimed

    def _plans(self, jobs: Sequence[_Job]) -> list[SlotPlan]:
        database = self._services.database
        uncertain = [job.slot for job in jobs if job.overwritten]
        if uncertain:  # in a transaction of its own: these rows are locked before the claims, and elsewhere after them
            database.run(self._run_context, lambda tx: slot_claims.set_uncertain(tx, self._target, uncertain))
        wanted = {job.slot: str(job.items[0]["link_id"]) for job in jobs}
        models = {job.slot: str(job.items[0]["model_id"]) for job in jobs}
        passed = self._services.server_time_lower_bound()
        plans = database.run(
            self._run_context,
            lambda tx: slot_claims.open_slots(tx, self._target, wanted, self._services.grace, models, passed),
        )
        return [plans[job.slot] for job in jobs]

    def _foreign(self, jobs: Sequence[_Job], plans: Sequence[SlotPlan]) -> dict[str, str]:
        """Find slots that show another audience a live link, and must not; release them, and return why."""
        foreign = foreign_slots(
            self._services,
            {job.slot: plan for job, plan in zip(jobs, plans, strict=True)},
            {job.slot: str(job.items[0]["audience"]) for job in jobs},
            self._publishers,
            self._audiences,
        )
        if foreign:
            self._release(sorted(foreign))
        return foreign

    def send(self, batch: Sequence[_Claimed]) -> SlotResult:
        (claimed,) = batch
        return self._put(claimed.job.slot, claimed.job.items[0], claimed.previous)

    def settle(self, landed: Sequence[Landed[_Claimed, SlotResult]]) -> None:
        """Record slots that were put, and release those that were not, in one transaction."""
        put = [(entry.batch[0].job, entry.result) for entry in landed if entry.result is not None]
        failed = [(entry.batch[0].job, entry.error) for entry in landed if entry.error is not None]
        shown = [
            Shown(job.slot, str(item["link_id"]), result.details, self._grace(result), str(item["model_id"]))
            for job, result in put
            if (item := job.items[0])
        ]

        def record(tx: WriteTransaction) -> dict[str, NotRecorded]:
            slot_claims.release_slots(tx, self._target, [job.slot for job, _ in failed])
            return publications.publish(tx, self._target, shown) if shown else {}

        refused = self._services.database.run(self._run_context, record)
        for job, _ in put:
            if job.slot not in refused:
                self._listener.slot_published(job.slot, job.items.popleft())
                self._continue(job)
            else:
                log.warning("%s, %s: %s; the slot is read and tried again.", self._target, job.slot, refused[job.slot])
                job.overwritten = True
                self._retry_busy(job, 0.0)
        for job, error in failed:
            if not isinstance(error, PMEError):
                raise error
            self._fail(job, error)

    def cancel(self, staged: Sequence[_Claimed]) -> None:
        """Release slots that will not be put."""
        self._release([claimed.job.slot for claimed in staged])

    def keep_alive(self) -> None:
        """Extend the run's claims: a host that asks for pauses may keep slots waiting for longer than 45 s."""
        self._services.database.run(self._run_context, claims.extend)

    def _release(self, slots: Sequence[str]) -> None:
        self._services.database.run(self._run_context, lambda tx: slot_claims.release_slots(tx, self._target, slots))

    def _retry_busy(self, job: _Job, seconds: float = BUSY_SECONDS) -> None:
        job.tries += 1
        if job.tries > BUSY_TRIES:
            self._fail(job, SlotError("another run kept this slot locked; try again", passing=True))
        else:
            self._loop.postpone(job, seconds)

    def _fail(self, job: _Job, error: PMEError) -> None:
        self._listener.slot_failed(job.slot, job.items.popleft(), error)
        self._continue(job)

    def _continue(self, job: _Job) -> None:
        """Go on with a slot's next item."""
        job.overwritten, job.tries = False, 0
        if job.items:
            self._jobs.append(job)
