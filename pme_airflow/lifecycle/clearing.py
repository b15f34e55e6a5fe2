"""Clear slots that must no longer show a link, several at a time."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import timedelta
from enum import Enum
from functools import partial
from itertools import islice

from pme_airflow.errors import PMEError, SlotError
from pme_airflow.ledger import claims, publications, slot_claims
from pme_airflow.ledger.publications import Publication
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.ledger.transaction import WriteTransaction
from pme_airflow.lifecycle.document_listener import DocumentListener
from pme_airflow.lifecycle.document_worker import DocumentWriter
from pme_airflow.lifecycle.link_opener import LinkOpener
from pme_airflow.lifecycle.publish_result import PublishResult
from pme_airflow.lifecycle.services import Services
from pme_airflow.lifecycle.shared_places import Clearing, FormerNames
from pme_airflow.lifecycle.slot_worker import BUSY_SECONDS, BUSY_TRIES
from pme_airflow.lifecycle.target_calls import TargetCalls, slot_error
from pme_airflow.lifecycle.target_index import finish_target
from pme_airflow.lifecycle.worker_loop import Landed, SlotLimits, Worker, WorkerLoop
from pme_airflow.targets.base import SlotResult, Target

__all__ = ["clear_slots"]

log = logging.getLogger(__name__)


def clear_slots(
    services: Services,
    run_context: RunContext,
    target: Target,
    going: Iterable[Publication],
    reason: str,
    result: PublishResult,
    grace: timedelta | None = None,
    opener: LinkOpener | None = None,
) -> None:
    """Clear slots at a target, retire the links that no slot shows any more, and add the outcome to a result.

    A slot that another run is writing is waited for, as long as a claim lasts; one that shows another link is left. A
    former name of a place that shows another slot's link is withdrawn, and the place left as it is.

    :param grace: how long the links stay alive; if omitted, as long as replaced links do.
    :param opener: opens the links of slots that share a document with those that are cleared.
    """
    removed_before = result.removed.total
    clearing = Clearing(reason, services.grace if grace is None else grace)
    listener = _Listener(target.name, result)
    if type(target).place is not Target.place:
        going = FormerNames(services, run_context, target, clearing, listener.slot_cleared).without(going)
    if type(target).document is not Target.document:
        shared, going = _split(target, going)
        usual = opener or LinkOpener(lambda item: services.open_item(dict(item)))
        writer = DocumentWriter(services, run_context, target, usual, listener, grace=grace, reason=reason)
        with writer:
            writer.write([], shared)
    _SlotClearer(services, run_context, target, going, clearing, result).run()
    if result.removed.total > removed_before:
        problem = finish_target(services, run_context, target)
        if problem is not None:
            log.error("%s: its index was not written: %s", target.name, problem)
            result.fail("index", "all", problem)


def _split(target: Target, going: Iterable[Publication]) -> tuple[list[Publication], list[Publication]]:
    """Return the slots that share a document with others, and those that do not."""
    slots = list(going)
    shared = [shown for shown in slots if target.document(shown.slot) is not None]
    return shared, [shown for shown in slots if target.document(shown.slot) is None]


class _Listener(DocumentListener):
    """Adds what became of slots that are cleared to a result."""

    def __init__(self, target: str, result: PublishResult) -> None:
        self._target = target
        self._result = result

    def slot_cleared(self, shown: Publication) -> None:
        """The slot shows nothing any more."""
        self._result.removed.append({"slot": shown.slot, "model_id": shown.model_id})

    def slot_not_cleared(self, shown: Publication, error: PMEError) -> None:
        """The slot may show its link still."""
        log.error("%s, %s: the slot was not cleared: %s", self._target, shown.slot, error)
        self._result.fail(shown.slot, shown.model_id, error)


class _SlotClearer(Worker[Publication, Publication, SlotResult]):
    """Clears one target's slots."""

    def __init__(
        self,
        services: Services,
        run_context: RunContext,
        target: Target,
        going: Iterable[Publication],
        clearing: Clearing,
        result: PublishResult,
    ) -> None:
        self._services = services
        self._run_context = run_context
        self._target = target
        self._going = iter(going)
        self._clearing = clearing
        self._listener = _Listener(target.name, result)
        self._calls = TargetCalls(target.name, services.clock)
        self._tries: Counter[str] = Counter()
        self._loop = WorkerLoop(self, SlotLimits(target.at_once), services.clock, "clear")

    def run(self) -> None:
        """Clear until no slot is left."""
        with self._loop:
            self._loop.run()

    def next_jobs(self, count: int) -> Sequence[Publication]:
        return list(islice(self._going, count))

    def stage(self, jobs: Sequence[Publication]) -> Sequence[Publication]:
        """Claim slots, and return those that are to be cleared."""
        claimed = []
        for publication in jobs:
            claim = self._services.database.run(self._run_context, partial(_claim, publication))
            if claim is _Claim.TAKEN:
                claimed.append(publication)
            elif claim is _Claim.BUSY:
                self._retry(publication)
            else:
                log.info("%s, %s: the slot shows another link by now.", self._target.name, publication.slot)
        return claimed

    def _retry(self, publication: Publication) -> None:
        """Try again soon: a run that was killed keeps its slots for 45 s."""
        self._tries[publication.slot] += 1
        if self._tries[publication.slot] < BUSY_TRIES:
            self._loop.postpone(publication, BUSY_SECONDS)
        else:
            error = SlotError("another run kept this slot locked; try again", passing=True)
            self._listener.slot_not_cleared(publication, error)

    def send(self, batch: Sequence[Publication]) -> SlotResult:
        """Clear a slot, in a thread.

        :raises PMEError: if it may still show its link.
        """
        (publication,) = batch
        problem: PMEError
        try:
            return SlotResult.of(
                self._calls.call(lambda: self._target.take_away(publication.slot, publication.details))
            )
        except Exception as error:  # noqa: BLE001 - a target of any author may raise anything
            problem = slot_error(error)
        raise problem

    def settle(self, landed: Sequence[Landed[Publication, SlotResult]]) -> None:
        for entry in landed:
            if entry.error is not None and not isinstance(entry.error, PMEError):
                raise entry.error
            self._record(entry.batch[0], entry.result, entry.error)

    def _record(self, publication: Publication, cleared: SlotResult | None, problem: PMEError | None) -> None:
        def record(tx: WriteTransaction) -> None:
            if cleared is not None:
                grace = timedelta(0) if cleared.old_link_remains else self._clearing.grace
                publications.withdraw(tx, [publication], self._clearing.reason, grace)
            slot_claims.release_slots(tx, self._target.name, [publication.slot])

        self._services.database.run(self._run_context, record)
        if problem is None:
            self._listener.slot_cleared(publication)
        else:
            self._listener.slot_not_cleared(publication, problem)

    def cancel(self, staged: Sequence[Publication]) -> None:
        """Release slots that will not be cleared."""
        slots = [publication.slot for publication in staged]
        self._services.database.run(
            self._run_context, lambda tx: slot_claims.release_slots(tx, self._target.name, slots)
        )

    def keep_alive(self) -> None:
        """Extend the run's claims."""
        self._services.database.run(self._run_context, claims.extend)


class _Claim(Enum):
    """What came of claiming a slot that is to be cleared."""

    TAKEN = "taken"
    #: Another run is writing it.
    BUSY = "busy"
    #: It shows another link, or nothing, by now.
    CHANGED = "changed"


def _claim(publication: Publication, tx: WriteTransaction) -> _Claim:
    if slot_claims.claim_shown(tx, publication):
        return _Claim.TAKEN
    return _Claim.BUSY if slot_claims.is_shown(tx, publication) else _Claim.CHANGED
