"""The worker for documents that several slots share: each is claimed, written, read back and recorded as one."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from types import TracebackType
from typing import Any

from pme_airflow.errors import PMEError, SlotError
from pme_airflow.ledger import claims, document_claims, publications, slot_claims
from pme_airflow.ledger.links import LinkRow, by_ids, item_of
from pme_airflow.ledger.publications import Publication, Shown
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.ledger.slot_claims import SlotAction, SlotPlan
from pme_airflow.ledger.transaction import WriteTransaction
from pme_airflow.lifecycle.document_listener import DocumentListener
from pme_airflow.lifecycle.document_slots import DocumentPlan, DocumentResult, KeptSlot, NewSlot, write_document
from pme_airflow.lifecycle.foreign_slots import foreign_slots
from pme_airflow.lifecycle.link_opener import LinkOpener
from pme_airflow.lifecycle.services import Services
from pme_airflow.lifecycle.slot_worker import BUSY_SECONDS, BUSY_TRIES
from pme_airflow.lifecycle.target_calls import TargetCalls
from pme_airflow.lifecycle.worker_loop import Landed, SlotLimits, Worker, WorkerLoop
from pme_airflow.targets.base import SlotResult, Target

__all__ = ["DocumentWriter"]

log = logging.getLogger(__name__)
Item = Mapping[str, Any]


@dataclass(slots=True)
class _Job:
    """A document, the items to put into its slots one after the other, and the slots to clear."""

    document: str
    items: dict[str, deque[Item]] = field(default_factory=dict)
    going: list[Publication] = field(default_factory=list)
    overwritten: bool = False
    tries: int = 0


@dataclass(frozen=True)
class _Claimed:
    """A claimed document, and what is to be done about it."""

    job: _Job
    plan: DocumentPlan


class DocumentWriter(Worker[_Job, _Claimed, DocumentResult], AbstractContextManager["DocumentWriter"]):
    """Writes one target's documents. Use it as a context manager.

    :param opener: opens the links of all slots of a document.
    :param listener: called with the result of each slot.
    :param publishers: the DAGs whose slots may be given to another audience; ``None`` for all.
    :param audiences: the audiences that are published for; ``None`` if they are not known.
    :param grace: how long a link that is no longer shown is left alive.
    :param reason: why slots are cleared.
    """

    def __init__(
        self,
        services: Services,
        run_context: RunContext,
        target: Target,
        opener: LinkOpener,
        listener: DocumentListener,
        *,
        publishers: frozenset[str] | None = None,
        audiences: frozenset[str] | None = None,
        grace: timedelta | None = None,
        reason: str = "",
    ) -> None:
        self._services = services
        self._run_context = run_context
        self._target = target
        self._name = target.name
        self._opener = opener
        self._listener = listener
        self._publishers = publishers
        self._audiences = audiences
        self._grace = services.grace if grace is None else grace
        self._reason = reason
        self._calls = TargetCalls(target.name, services.clock)
        self._jobs: deque[_Job] = deque()
        self._loop = WorkerLoop(self, SlotLimits(target.at_once), services.clock, "documents")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.__exit__(kind, error, trace)

    def write(self, wanted: Iterable[tuple[str, Item]], going: Iterable[Publication] = ()) -> None:
        """Put items into their slots, and clear others: each document is written once."""
        jobs: dict[str, _Job] = {}
        for slot, item in wanted:
            document = str(self._target.document(slot))
            jobs.setdefault(document, _Job(document)).items.setdefault(slot, deque()).append(item)
        for shown in going:
            document = str(self._target.document(shown.slot))
            jobs.setdefault(document, _Job(document)).going.append(shown)
        self._jobs.extend(jobs.values())
        self._loop.run()

    def next_jobs(self, count: int) -> Sequence[_Job]:
        return [self._jobs.popleft() for _ in range(min(count, len(self._jobs)))]

    # ----------------------------------------------------------------- claiming

    def stage(self, jobs: Sequence[_Job]) -> Sequence[_Claimed]:
        """Claim documents and their slots, and return the documents that are to be written."""
        documents = [job.document for job in jobs]
        ours = self._services.database.run(
            self._run_context, lambda tx: document_claims.take(tx, self._name, documents)
        )
        claimed = []
        for job in jobs:
            if job.document not in ours:
                self._retry_busy(job)
                continue
            plan = self._plan(job)
            if plan is not None:
                claimed.append(_Claimed(job, plan))
        return claimed

    def _plan(self, job: _Job) -> DocumentPlan | None:
        """Claim the slots of a claimed document; return ``None``, without a claim, if there is nothing to write."""
        shown = self._shown(job)
        wanted = {slot: items[0] for slot, items in job.items.items()}
        plans = self._open(job, shown, wanted)
        busy = [slot for slot, plan in plans.items() if plan.action is SlotAction.BUSY]
        if busy:
            self._release(job, [slot for slot, plan in plans.items() if plan.action is SlotAction.PUT])
            self._retry_busy(job)
            return None
        new = self._new(job, plans)
        gone = self._gone(job)
        if not new and not gone:
            self._release(job, [])
            self._continue(job)
            return None
        kept = {slot: entry for slot, entry in self._kept(shown).items() if slot not in gone}
        return DocumentPlan(
            job.document,
            {slot: NewSlot(item, kept.get(slot)) for slot, item in new.items()},
            {slot: entry for slot, entry in kept.items() if slot not in new},
            gone,
        )

    def _shown(self, job: _Job) -> dict[str, Publication]:
        """Return what the document's slots show. After another run wrote it meanwhile, all of them are uncertain."""
        database = self._services.database
        with database.read() as tx:
            found = document_claims.shown_from(tx, self._name, job.document)
        shown = {entry.slot: entry for entry in found if self._target.document(entry.slot) == job.document}
        if job.overwritten and shown:
            database.run(self._run_context, lambda tx: slot_claims.set_uncertain(tx, self._name, list(shown)))
        return shown

    def _open(self, job: _Job, shown: Mapping[str, Publication], wanted: Mapping[str, Item]) -> Mapping[str, SlotPlan]:
        """Claim the slots that are to be put: those that are wanted, and all others after another run wrote them."""
        going = {entry.slot for entry in job.going}
        others = [entry for slot, entry in shown.items() if job.overwritten and slot not in going]
        link_ids = {entry.slot: entry.link_id for entry in others}
        models = {entry.slot: entry.model_id for entry in others}
        link_ids |= {slot: str(item["link_id"]) for slot, item in wanted.items()}
        models |= {slot: str(item["model_id"]) for slot, item in wanted.items()}
        if not link_ids:
            return {}
        grace, passed = self._services.grace, self._services.server_time_lower_bound()
        return self._services.database.run(
            self._run_context, lambda tx: slot_claims.open_slots(tx, self._name, link_ids, grace, models, passed)
        )

    def _new(self, job: _Job, plans: Mapping[str, SlotPlan]) -> dict[str, Item]:
        """Return the items to put; slots that need none, or may not have one, are taken out of the job."""
        new = {
            slot: self._item(job, slot, plan.link, plan.model_id)
            for slot, plan in plans.items()
            if plan.action is SlotAction.PUT and plan.link is not None
        }
        audiences = {slot: str(items[0]["audience"]) for slot, items in job.items.items()}
        foreign = foreign_slots(self._services, plans, audiences, self._publishers, self._audiences)
        self._release_slots(sorted(foreign))
        for slot, reason in foreign.items():
            new.pop(slot, None)
            self._fail(job, slot, SlotError(reason))
        for slot, plan in plans.items():
            if slot not in job.items or slot in foreign:
                continue
            if plan.action is SlotAction.DEAD:
                self._fail(
                    job, slot, SlotError("the link is revoked, expired or flagged; the next run brings a new one")
                )
            elif plan.action in (SlotAction.KEEP, SlotAction.NEWER):
                self._listener.slot_unchanged(slot, self._next(job, slot))
        return new

    def _item(self, job: _Job, slot: str, link: LinkRow, model_id: str | None) -> Item:
        """Return the item to put: for an uncertain slot it may be another one than was wanted."""
        items = job.items.get(slot)
        if items is None:
            return item_of(link, model_id)
        if link.link_id != items[0]["link_id"]:
            items[0] = item_of(link, model_id)
        return items[0]

    def _gone(self, job: _Job) -> dict[str, Publication]:
        gone = {}
        for entry in job.going:
            if self._services.database.run(self._run_context, partial(slot_claims.claim_shown, shown=entry)):
                gone[entry.slot] = entry
            else:
                log.info("%s, %s: the slot is not cleared, because another run wrote it.", self._name, entry.slot)
        job.going = list(gone.values())
        return gone

    def _kept(self, shown: Mapping[str, Publication]) -> dict[str, KeptSlot]:
        """Return what slots show, each with its link if that is still alive."""
        with self._services.database.read() as tx:
            rows = by_ids(tx, [entry.link_id for entry in shown.values()])
        now = self._services.server_time_lower_bound()
        alive = {link_id: row for link_id, row in rows.items() if row.usable and row.valid_until > now}
        return {
            slot: KeptSlot(item_of(alive[entry.link_id], entry.model_id) if entry.link_id in alive else None, entry)
            for slot, entry in shown.items()
        }

    # ----------------------------------------------------------------- writing

    def send(self, batch: Sequence[_Claimed]) -> DocumentResult:
        (claimed,) = batch
        return write_document(self._target, self._calls, claimed.plan, self._opener)

    def settle(self, landed: Sequence[Landed[_Claimed, DocumentResult]]) -> None:
        for entry in landed:
            (claimed,) = entry.batch
            if entry.result is None:
                self.cancel([claimed])
            else:
                self._settle(claimed, entry.result)
        for entry in landed:
            if entry.error is not None:
                raise entry.error

    def _settle(self, claimed: _Claimed, result: DocumentResult) -> None:
        job, plan = claimed.job, claimed.plan
        refused = self._services.database.run(self._run_context, partial(self._record, plan, result))
        if refused is None:
            log.warning("%s, %s: another run wrote it meanwhile; it is written again.", self._name, job.document)
            job.overwritten = True
            self._retry_busy(job, 0.0)
            return
        for slot in plan.new:
            if slot in result.failed:
                self._fail(job, slot, result.failed[slot])
            elif slot not in refused and slot in job.items:
                self._listener.slot_published(slot, self._next(job, slot))
        for slot, shown in plan.gone.items():
            if slot in result.failed:
                self._listener.slot_not_cleared(shown, result.failed[slot])
            else:
                self._listener.slot_cleared(shown)
        job.going, job.overwritten = [], bool(refused)
        if refused:
            self._retry_busy(job, 0.0)
        else:
            self._continue(job)

    def _record(self, plan: DocumentPlan, result: DocumentResult, tx: WriteTransaction) -> set[str] | None:
        """Record a document's slots; return those that were not recorded, or ``None`` if its claim is lost."""
        slots = [*plan.new, *plan.gone]
        if not document_claims.hold(tx, self._name, plan.document):
            slot_claims.release_slots(tx, self._name, slots)
            return None
        written = result.written
        shown = [self._as_shown(slot, new.item, written[slot]) for slot, new in plan.new.items() if slot in written]
        refused = publications.publish(tx, self._name, shown) if shown else {}
        kept = [(entry.shown, written[slot].details) for slot, entry in plan.kept.items() if slot in written]
        publications.record_details(tx, kept)
        for slot, entry in plan.gone.items():
            if slot not in result.failed:
                publications.withdraw(tx, [entry], self._reason, self._grace_of(written[slot]))
        slot_claims.release_slots(tx, self._name, slots)
        document_claims.release(tx, self._name, [plan.document])
        return set(refused)

    def _as_shown(self, slot: str, item: Item, result: SlotResult) -> Shown:
        return Shown(slot, str(item["link_id"]), result.details, self._grace_of(result), str(item["model_id"]))

    def _grace_of(self, result: SlotResult) -> timedelta:
        return timedelta(0) if result.old_link_remains else self._grace

    def cancel(self, staged: Sequence[_Claimed]) -> None:
        """Release documents that will not be written."""
        for claimed in staged:
            self._release(claimed.job, [*claimed.plan.new, *claimed.plan.gone])

    def keep_alive(self) -> None:
        """Extend the run's claims."""
        self._services.database.run(self._run_context, claims.extend)

    def _release(self, job: _Job, slots: Sequence[str]) -> None:
        def release(tx: WriteTransaction) -> None:
            slot_claims.release_slots(tx, self._name, slots)
            document_claims.release(tx, self._name, [job.document])

        self._services.database.run(self._run_context, release)

    def _release_slots(self, slots: Sequence[str]) -> None:
        if slots:
            self._services.database.run(self._run_context, lambda tx: slot_claims.release_slots(tx, self._name, slots))

    def _retry_busy(self, job: _Job, seconds: float = BUSY_SECONDS) -> None:
        job.tries += 1
        if job.tries <= BUSY_TRIES:
            self._loop.postpone(job, seconds)
            return
        error = SlotError("another run kept this document locked; try again", passing=True)
        for slot in list(job.items):
            self._fail(job, slot, error)
        for shown in job.going:
            self._listener.slot_not_cleared(shown, error)

    def _fail(self, job: _Job, slot: str, error: PMEError) -> None:
        if slot in job.items:
            self._listener.slot_failed(slot, self._next(job, slot), error)

    def _next(self, job: _Job, slot: str) -> Item:
        """Return a slot's item, which is done with; the slot's next one is put when the document is written again."""
        item = job.items[slot].popleft()
        if not job.items[slot]:
            del job.items[slot]
        return item

    def _continue(self, job: _Job) -> None:
        """Go on with the next items of a document's slots."""
        job.tries = 0
        if job.items:
            self._jobs.append(job)
