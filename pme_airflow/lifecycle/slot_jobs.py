"""The slots of a page: claimed ahead, put several at a time, and recorded together as they land."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol

from pme_airflow.errors import LedgerUnavailableError, PMEError
from pme_airflow.ledger import publications, slot_claims
from pme_airflow.ledger.links import item_of
from pme_airflow.ledger.publications import Publication, Shown
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.ledger.slot_claims import SlotAction, SlotPlan
from pme_airflow.lifecycle.services import Services
from pme_airflow.targets.base import SlotResult

__all__ = ["BUSY_SECONDS", "BUSY_TRIES", "Put", "SlotWork", "Tell"]

#: How often, and how long apart, a slot or target that another run is at is looked at again.
BUSY_TRIES = 100
BUSY_SECONDS = 0.5
#: How long slots that have landed are gathered for one transaction.
_GATHER_SECONDS = 0.02
_IDLE = {SlotAction.DEAD: "dead", SlotAction.BUSY: "busy"}

log = logging.getLogger(__name__)
Item = Mapping[str, Any]


class Put(Protocol):
    """Puts a link into a slot and reads it back, in a thread; gives what the target needs to edit it in place."""

    def __call__(self, slot: str, item: Item, previous: Publication | None, /) -> SlotResult: ...


class Tell(Protocol):
    """Is told what became of a slot: ``published``, ``unchanged``, ``dead``, ``busy`` or ``failed``, and why."""

    def __call__(self, what: str, slot: str, item: Item, problem: PMEError | None, /) -> None: ...


@dataclass(slots=True)
class SlotJob:
    """A slot, and the items that are to be put there in turn."""

    slot: str
    items: deque[Item]
    overwritten: bool = False
    tries: int = 0


class SlotWork:
    """One target's slots, worked off by one run_context.

    :param at_once: how many slots are put at the same time. A slot waits with its claim for one round at most.
    :param grace: how long what a slot showed is left alive, by what putting it gave.
    """

    def __init__(
        self,
        services: Services,
        run_context: RunContext,
        target: str,
        at_once: int,
        put: Put,
        grace: Callable[[SlotResult], timedelta],
        tell: Tell,
    ) -> None:
        self._services = services
        self._run_context = run_context
        self._target = target
        self._most = at_once if at_once == 1 else 2 * at_once
        self._put = put
        self._grace = grace
        self._tell = tell
        self._ready: deque[SlotJob] = deque()
        self._later: deque[tuple[float, SlotJob]] = deque()
        self._flying: dict[Future[SlotResult], SlotJob] = {}

    def run(self, pool: ThreadPoolExecutor, wanted: Iterable[tuple[str, Item]]) -> None:
        """Put every item into its slot, those of one slot in turn."""
        turns: dict[str, SlotJob] = {}
        for slot, item in wanted:
            turns.setdefault(slot, SlotJob(slot, deque())).items.append(item)
        self._ready.extend(turns.values())
        try:
            while self._ready or self._later or self._flying:
                self._wake()
                self._open(pool)
                if self._flying:
                    self._record(self._landed())
                elif self._later and not self._ready:
                    self._services.clock.sleep(max(0.0, self._later[0][0] - self._services.clock.monotonic()))
        finally:
            while self._flying:  # what was put is recorded, whatever went wrong with the rest
                with suppress(LedgerUnavailableError):
                    self._record(self._landed())

    def _wake(self) -> None:
        now = self._services.clock.monotonic()
        while self._later and self._later[0][0] <= now:
            self._ready.append(self._later.popleft()[1])

    def _open(self, pool: ThreadPoolExecutor) -> None:
        """Claim slots as far as there is room, and send those that are to be put."""
        room = self._most - len(self._flying)
        turns = [self._ready.popleft() for _ in range(min(room, len(self._ready)))]
        for turn, plan in zip(turns, self._plans(turns), strict=True):
            item = turn.items[0]
            if plan.action is SlotAction.PUT:
                if plan.link is not None and plan.link.link_id != item["link_id"]:
                    item = turn.items[0] = item_of(plan.link)
                self._flying[pool.submit(self._put, turn.slot, item, plan.previous)] = turn
            elif plan.action is SlotAction.BUSY and turn.tries < BUSY_TRIES:
                turn.tries += 1
                self._later.append((self._services.clock.monotonic() + BUSY_SECONDS, turn))
            else:
                self._done(turn, _IDLE.get(plan.action, "unchanged"))

    def _plans(self, turns: Sequence[SlotJob]) -> list[SlotPlan]:
        if not turns:
            return []
        database = self._services.database
        doubtful = [turn.slot for turn in turns if turn.overwritten]
        if doubtful:  # by itself: these rows are locked before the claims, and after them everywhere else
            with database.write(self._run_context) as tx:
                slot_claims.mark_uncertain(tx, self._target, doubtful)
        wanted = {turn.slot: str(turn.items[0]["link_id"]) for turn in turns}
        with database.write(self._run_context) as tx:
            plans = slot_claims.open_slots(tx, self._target, wanted, self._services.grace)
        return [plans[turn.slot] for turn in turns]

    def _landed(self) -> list[tuple[SlotJob, Future[SlotResult]]]:
        """What has landed, and what lands within a moment of it."""
        wait(self._flying, return_when=FIRST_COMPLETED)
        done, _ = wait(self._flying, timeout=_GATHER_SECONDS)
        return [(self._flying.pop(future), future) for future in done]

    def _record(self, landed: Sequence[tuple[SlotJob, Future[SlotResult]]]) -> None:
        database = self._services.database
        failed = [(turn, error) for turn, future in landed if (error := future.exception()) is not None]
        put = [(turn, future.result()) for turn, future in landed if future.exception() is None]
        shown = [
            Shown(turn.slot, str(turn.items[0]["link_id"]), result.details, self._grace(result)) for turn, result in put
        ]
        with database.write(self._run_context) as tx:
            slot_claims.release_slots(tx, self._target, [turn.slot for turn, _ in failed])
            refused = publications.publish(tx, self._target, shown) if shown else {}
        for turn, _ in put:
            if turn.slot not in refused:
                self._done(turn, "published")
            elif turn.tries < BUSY_TRIES:
                log.warning("%s, %s: %s; looking again.", self._target, turn.slot, refused[turn.slot])
                turn.overwritten, turn.tries = True, turn.tries + 1
                self._ready.append(turn)
            else:
                self._done(turn, "busy")
        for turn, error in failed:
            if not isinstance(error, PMEError):
                raise error
            self._done(turn, "failed", error)

    def _done(self, turn: SlotJob, what: str, problem: PMEError | None = None) -> None:
        """Tell of a slot's item, and go on with the slot's next."""
        self._tell(what, turn.slot, turn.items.popleft(), problem)
        turn.overwritten, turn.tries = False, 0
        if turn.items:
            self._ready.append(turn)
