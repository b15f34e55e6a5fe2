"""Making sure that every model has a link: the rows, the requests, and what became of them."""

from __future__ import annotations

import heapq
import logging
import random
from collections import deque
from collections.abc import Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pme_airflow.api.answers import Made, MintVerdict, NotMade, Unknown
from pme_airflow.api.messages import MintRequest
from pme_airflow.errors import (
    LedgerUnavailableError,
    PMECredentialsError,
    PMEError,
    PMEInputError,
    PMELostAnswerError,
    PMEUnavailableError,
)
from pme_airflow.ledger import audience_models, mint_answers, mint_requests, mint_runs
from pme_airflow.ledger.database import Database
from pme_airflow.ledger.links import item_of
from pme_airflow.ledger.mint_answers import MintAnswer, Settled
from pme_airflow.ledger.mint_requests import Busy, Demand, PendingMint, Reuse
from pme_airflow.ledger.mint_runs import MintRun
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.lifecycle.progress import Progress
from pme_airflow.lifecycle.services import Services
from pme_airflow.lifecycle.xcom_payload import MOST_ITEMS, reference_to_links
from pme_airflow.sealing import OpenedLink, fingerprint

__all__ = ["MAX_LOST_ANSWERS", "MintFailure", "MintOutcome", "Minter"]

#: After so many lost answers a model fails for the run, so that a broken network cannot breed live tokens.
MAX_LOST_ANSWERS = 5
_MAX_REFUSALS = 15
_MAX_REFUSAL_SECONDS = 1.0
_KEEP_ALIVE_SECONDS = 15.0
#: How long answers are gathered for one transaction.
_GATHER_SECONDS = 0.02
_BUSY_SECONDS = 0.5
_STALE_SECONDS = 60.0
_LOOK_AHEAD = 500

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class MintFailure:
    """A model without a new link, and why; ``permanent`` where trying again without a change is a waste."""

    model_id: str
    reason: str
    permanent: bool


@dataclass
class MintOutcome:
    """What making sure came to.

    :param items: the links as XCom items; empty where there are more than XCom is to carry.
    :param reference: what refers to the links where there are more.
    :param links: how many there are.
    """

    items: list[dict[str, Any]] = field(default_factory=list, repr=False)
    reference: dict[str, Any] | None = None
    links: int = 0
    failures: list[MintFailure] = field(default_factory=list)
    minted: int = 0
    reused: int = 0
    lost: int = 0

    @property
    def handover(self) -> list[dict[str, Any]] | dict[str, Any]:
        """What the next task is handed: the items, or the reference to them."""
        return self.items if self.reference is None else self.reference


class LinkCollector:
    """The models that have a link; their items only while all of them fit in one XCom."""

    def __init__(self, wanted: Sequence[str]) -> None:
        self._wanted = wanted
        self._keeps_items = len(wanted) <= MOST_ITEMS
        self._items: dict[str, dict[str, Any] | None] = {}

    def __contains__(self, model_id: str) -> bool:
        return model_id in self._items

    def add(self, model_id: str, link: Reuse | Settled) -> None:
        """Note a model's link; its row is made only where items are kept."""
        self._items[model_id] = item_of(link.row) if self._keeps_items else None

    def into(self, outcome: MintOutcome, database: Database, audience: str) -> None:
        """Hand the links over, in the order they were wanted."""
        have = [model_id for model_id in self._wanted if model_id in self._items]
        outcome.links = len(have)
        if self._keeps_items:
            outcome.items = [item for model_id in have if (item := self._items[model_id]) is not None]
        else:
            outcome.reference = reference_to_links(database, audience, have)


@dataclass(slots=True)
class _Work:
    model_id: str
    lost: int = 0
    refused: int = 0


@dataclass(frozen=True)
class _Staged:
    """A mint whose row is committed, and that is to be sent next."""

    minting: PendingMint
    work: _Work
    recorded_at: float


_Landed = tuple[list[_Staged], list[MintVerdict]]


class Minter:
    """Makes sure of links for one run_context.

    :param services: the connection's client, ledger and keys.
    :param run_context: who acts; the same run, task and map index finds its own earlier links.
    """

    def __init__(self, services: Services, run_context: RunContext) -> None:
        self._services = services
        self._run_context = run_context

    def ensure(self, demand: Demand, model_ids: Iterable[str]) -> MintOutcome:
        """Make sure that each model has a link that will do.

        One bad model does not stop the others: it is in the outcome's failures.

        :raises PMECredentialsError: where the credentials are refused; nothing was minted.
        :raises LedgerUnavailableError: where the ledger cannot be written; nothing is sent that is not recorded.
        """
        wanted = list(dict.fromkeys(model_ids))
        gathered = LinkCollector(wanted)
        outcome = MintOutcome()
        self._hand_on_surely(demand, wanted, gathered, outcome)
        missing = [model_id for model_id in wanted if model_id not in gathered]
        if missing:
            self._services.learn_server_time()
            _Session(self._services, self._run_context, demand, outcome, gathered).run(missing)
        gathered.into(outcome, self._services.database, demand.audience)
        return outcome

    def ensure_listed(self, demand: Demand, query: str) -> MintOutcome:
        """Make sure that each model the account lists has a link that will do.

        Where only what is due is to be renewed and the ledger knows of nothing due, the account is not asked at all.
        Where it cannot be asked, the models that the ledger knows are seen to.

        :raises PMEInputError: where the query finds no model.
        """
        services = self._services
        listing = audience_models.Listing(demand.client_id, demand.audience, query)
        with services.database.read() as tx:
            known = audience_models.known_models(tx, listing, services.server_now())
        gathered, outcome = LinkCollector(known), MintOutcome()
        self._hand_on_surely(demand, known, gathered, outcome)
        if known and outcome.reused == len(known):
            gathered.into(outcome, services.database, demand.audience)
            return outcome
        return self.ensure(demand, self.list_models(demand.client_id, demand.audience, query))

    def list_models(self, client_id: str, audience: str, query: str) -> list[str]:
        """The models the account lists; where it cannot be asked, those that the ledger knows.

        What the account lists no more is noted, so that transfers clear its slots.

        :raises PMEInputError: where the query finds no model.
        """
        services = self._services
        listing = audience_models.Listing(client_id, audience, query)
        try:
            listed = [model.model_id for model in services.client.models(query)]
        except PMEUnavailableError as error:
            with services.database.read() as tx:
                known = audience_models.known_models(tx, listing, services.server_now())
            if not known:
                raise
            log.warning("The account's models cannot be listed (%s); the %d known ones are seen to.", error, len(known))
            return known
        if not listed:
            raise PMEInputError("models: the query found no model of the account. Widen it.")
        with services.database.write(self._run_context) as tx:
            gone = audience_models.record_listing(tx, listing, listed)
        if gone:
            log.warning("The account lists no more: %s. Their slots are cleared.", ", ".join(gone))
        return list(dict.fromkeys(listed))

    def _hand_on_surely(
        self, demand: Demand, model_ids: Sequence[str], gathered: LinkCollector, outcome: MintOutcome
    ) -> None:
        """Links that will do whatever the worker's clock is worth: found without a request or a write."""
        if demand.renew_before is None:
            return
        services = self._services
        for start in range(0, len(model_ids), _LOOK_AHEAD):
            part = model_ids[start : start + _LOOK_AHEAD]
            with services.database.read() as tx:
                rows = mint_requests.look(tx, demand, part, services.server_time_upper_bound(), services.can_open)
            for model_id, row in rows.items():
                gathered.add(model_id, Reuse(model_id, row))
            outcome.reused += len(rows)


class _Session:
    """One mint_run: a window of requests under way, with the ledger written by this thread alone."""

    def __init__(
        self, services: Services, run_context: RunContext, demand: Demand, outcome: MintOutcome, gathered: LinkCollector
    ) -> None:
        self._services = services
        self._run_context = run_context
        self._demand = demand
        self._outcome = outcome
        self._gathered = gathered
        self._ready: deque[_Work] = deque()
        self._later: list[tuple[float, int, _Work]] = []
        self._order = 0
        self._staged: deque[_Staged] = deque()
        self._flying: dict[Future[list[MintVerdict]], list[_Staged]] = {}
        self._stopped: PMEError | None = None
        self._alive_at = services.clock.monotonic()
        self._mint_run: MintRun

    def run(self, model_ids: Sequence[str]) -> None:
        database = self._services.database
        self._ready.extend(_Work(model_id) for model_id in model_ids)
        self._progress = Progress(log, "minting", len(model_ids), self._services.clock)
        with database.write(self._run_context) as tx:
            self._mint_run = mint_runs.begin(tx)
        with ThreadPoolExecutor(self._services.client.limiter.max_ready, thread_name_prefix="pme-mint") as pool:
            try:
                self._drive(pool)
            finally:
                self._close()
        if isinstance(self._stopped, PMECredentialsError):
            raise self._stopped

    def _drive(self, pool: ThreadPoolExecutor) -> None:
        """Keep every connection busy: rows are recorded ahead, and the books are kept, while requests fly."""
        client = self._services.client
        size = client.settings.batch_size
        self._stage(size * max(1, client.limiter.at_once // 2))  # few at first: nothing flies until they are recorded
        while self._ready or self._later or self._flying or self._staged:
            self._wake()
            self._launch(pool)
            ahead = client.limiter.ready * size
            if self._ready and len(self._staged) < ahead:
                self._stage(ahead - len(self._staged))
                self._launch(pool)
            if self._flying:
                self._land(pool)
            elif self._later and not self._ready and not self._staged:
                self._services.clock.sleep(max(0.0, self._later[0][0] - self._services.clock.monotonic()))
            self._keep_alive()

    def _close(self) -> None:
        """Land what is still flying, whatever went wrong, so that no answer that came is thrown away."""
        while self._flying:
            with suppress(LedgerUnavailableError):
                self._settle(self._landed())
        with suppress(LedgerUnavailableError):
            self._unsend(PMEUnavailableError("The run ended before it could ask."))
        with suppress(LedgerUnavailableError), self._services.database.write(self._run_context) as tx:
            mint_runs.finish(tx)

    # ---------------------------------------------------------------- staging

    def _stage(self, count: int) -> None:
        """Look at so many waiting models in one transaction, and record the mints among them."""
        works = {work.model_id: work for work in (self._ready.popleft() for _ in range(min(count, len(self._ready))))}
        if self._stopped is not None:
            for work in works.values():
                self._fail(work, self._stopped)
            return
        services = self._services
        recorded_at = services.clock.monotonic()
        with services.database.write(self._run_context) as tx:
            prepared = mint_requests.prepare(
                tx,
                self._mint_run,
                self._demand,
                list(works),
                services.server_now(),
                services.can_open,
            )
        for entry in prepared:
            work = works[entry.model_id]
            if isinstance(entry, Reuse):
                self._done(work, entry)
                self._outcome.reused += 1
            elif isinstance(entry, Busy):
                self._postpone(work, _BUSY_SECONDS)
            else:
                self._staged.append(_Staged(entry, work, recorded_at))

    def _launch(self, pool: ThreadPoolExecutor) -> None:
        """Send what is staged, in full requests as long as more is to come."""
        client = self._services.client
        size = client.settings.batch_size
        if self._stopped is not None:
            self._unsend(self._stopped)
        while (
            self._staged and len(self._flying) < client.limiter.ready and (len(self._staged) >= size or not self._ready)
        ):
            batch = [self._staged.popleft() for _ in range(min(size, len(self._staged)))]
            self._flying[pool.submit(self._send, batch)] = batch

    def _send(self, batch: Sequence[_Staged]) -> list[MintVerdict]:
        """Send, unless this process was asleep since the rows were recorded: they would not cover the token's life."""
        if self._services.clock.monotonic() - min(staged.recorded_at for staged in batch) > _STALE_SECONDS:
            return [NotMade(PMEUnavailableError("The worker slept before it could ask."), resend=True)] * len(batch)
        return self._services.client.mint(
            [MintRequest(staged.minting.model_id, self._demand.validity) for staged in batch]
        )

    def _unsend(self, error: PMEError) -> None:
        """Close the rows of mints that will not be sent."""
        unsent, self._staged = list(self._staged), deque()
        if unsent:
            self._settle([(unsent, [NotMade(error, resend=False)] * len(unsent))])

    # ---------------------------------------------------------------- landing

    def _land(self, pool: ThreadPoolExecutor) -> None:
        """Take what has landed, and what lands within a moment of it, and send the next at once each time."""
        clock = self._services.clock
        landed: list[_Landed] = []
        until = clock.monotonic() + _GATHER_SECONDS
        while fresh := self._landed(_KEEP_ALIVE_SECONDS if not landed else max(0.0, until - clock.monotonic())):
            landed += fresh
            self._launch(pool)
        self._settle(landed)

    def _landed(self, timeout: float = _KEEP_ALIVE_SECONDS) -> list[_Landed]:
        done, _ = wait(self._flying, timeout=timeout, return_when=FIRST_COMPLETED)
        return [(batch := self._flying.pop(future), _verdicts(future, len(batch))) for future in done]

    def _settle(self, landed: Sequence[_Landed]) -> None:
        """Record what became of requests, all that have landed in one transaction."""
        services = self._services
        entries = []
        works: list[_Work] = []
        for batch, verdicts in landed:
            for staged, verdict in zip(batch, verdicts, strict=True):
                sealed = mark = None
                if isinstance(verdict, Made):
                    opened = OpenedLink(verdict.link.url, verdict.link.access_token)
                    sealed = services.sealer.seal(opened, staged.minting.link_id, staged.minting.model_id)
                    mark = fingerprint(verdict.link.access_token)
                entries.append(MintAnswer(staged.minting, verdict, sealed, mark))
                works.append(staged.work)
        if not entries:
            return
        with services.database.write(self._run_context) as tx:
            settled = mint_answers.settle(
                tx,
                self._demand,
                entries,
                services.server_now(),
                services.server_time_upper_bound(),
            )
        for work, answer, result in zip(works, entries, settled, strict=True):
            self._judge(work, answer.verdict, result, services.server_now())

    def _judge(self, work: _Work, verdict: MintVerdict, result: Settled, now: datetime) -> None:
        if isinstance(verdict, Unknown):
            work.lost += 1
            self._outcome.lost += 1
            log.warning("Model %s: an answer was lost (%s); the ledger accounts for it.", work.model_id, verdict.reason)
            if work.lost >= MAX_LOST_ANSWERS:
                message = (
                    f"{work.lost} answers were lost; tokens nobody holds may live until their end. See the ledger."
                )
                self._fail(work, PMELostAnswerError(message))
            else:
                self._postpone(work, _backoff(work.lost))
        elif isinstance(verdict, NotMade):
            self._refused(work, verdict)
        elif verdict.link.valid_until <= now:
            message = (
                "the API answered a link that ended in the past; it was recorded and is revoked. Check the clock of "
                "the API's host."
            )
            self._fail(work, PMEUnavailableError(message))
        elif not result.usable:
            log.warning("Model %s: its link came too late or is flagged; looking again.", work.model_id)
            self._postpone(work, _BUSY_SECONDS)
        else:
            self._outcome.minted += 1
            self._done(work, result)

    def _refused(self, work: _Work, verdict: NotMade) -> None:
        work.refused += 1
        error = verdict.error
        whole = isinstance(error, PMECredentialsError) or (
            isinstance(error, PMEUnavailableError) and work.refused >= _MAX_REFUSALS
        )
        if whole or _unreachable(error):
            self._stopped = self._stopped or error
        if not verdict.resend or self._stopped is not None or work.refused >= _MAX_REFUSALS:
            self._fail(work, error)
        else:
            self._postpone(work, verdict.retry_after or min(_backoff(work.refused - 1), _MAX_REFUSAL_SECONDS))

    # ---------------------------------------------------------------- the books

    def _done(self, work: _Work, link: Reuse | Settled) -> None:
        self._gathered.add(work.model_id, link)
        self._progress.step()

    def _fail(self, work: _Work, error: PMEError) -> None:
        self._outcome.failures.append(MintFailure(work.model_id, str(error), error.permanent))
        log.error("Model %s was not minted for: %s", work.model_id, error)
        self._progress.step()

    def _postpone(self, work: _Work, seconds: float) -> None:
        self._order += 1
        heapq.heappush(self._later, (self._services.clock.monotonic() + seconds, self._order, work))

    def _wake(self) -> None:
        now = self._services.clock.monotonic()
        while self._later and (self._later[0][0] <= now or self._stopped is not None):
            self._ready.append(heapq.heappop(self._later)[2])

    def _keep_alive(self) -> None:
        now = self._services.clock.monotonic()
        if now - self._alive_at >= _KEEP_ALIVE_SECONDS:
            self._alive_at = now
            with self._services.database.write(self._run_context) as tx:
                mint_runs.keep_alive(tx)


def _verdicts(future: Future[list[MintVerdict]], count: int) -> list[MintVerdict]:
    """A request's verdicts; one that failed outside of the API's answers is a lost one, whatever the cause."""
    error = future.exception()
    if error is None:
        return future.result()
    if isinstance(error, PMEError):
        return [NotMade(error, resend=False)] * count
    return [Unknown(f"{type(error).__name__} in the worker")] * count


def _unreachable(error: PMEError) -> bool:
    """Whether the client gave the API up after its whole deadline, so that others would fare no better."""
    return isinstance(error, PMEUnavailableError) and "not reached" in str(error)


def _backoff(tries: int) -> float:
    return random.uniform(0.5, 1.0) * 0.25 * float(2**tries)  # noqa: S311
