"""Sweeps: revoking what is due until it is confirmed, and closing what has ended."""

from __future__ import annotations

import logging
import random
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from pme_airflow.api.outcomes import NotRevoked, Revoked, RevokeVerdict
from pme_airflow.errors import LedgerUnavailableError, PMECredentialsError, PMEError, PMESealError
from pme_airflow.ledger import flags, revocations, sweep_queue
from pme_airflow.ledger.exposed import FlaggedAlive, flagged_alive
from pme_airflow.ledger.links import LinkRow
from pme_airflow.ledger.revocations import NotRevokedAnswer
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.ledger.sweep_queue import Due
from pme_airflow.lifecycle.bounded_list import MAX_ENTRIES, BoundedList
from pme_airflow.lifecycle.progress import Progress
from pme_airflow.lifecycle.services import Services
from pme_airflow.sealing import OpenedLink

__all__ = ["SweepOutcome", "SweepRequest", "SweepResult", "Sweeper", "summary", "sweep"]

_KEY_MISSING_WAIT = timedelta(minutes=5)
_PATIENCE = timedelta(seconds=60)
_MAX_BACKOFF = 30.0
_UNREACHED_ROUNDS = 3
#: Of a deadline, the part that one request may take and the part that one connection attempt may take.
_REQUEST_SHARE = 0.6

log = logging.getLogger(__name__)

_Batch = list[tuple[LinkRow, OpenedLink]]


@dataclass(frozen=True)
class SweepRequest:
    """What to revoke, and how long to go on.

    :param max_attempts: a link that the API refused to revoke so often is irrevocable.
    :param verify: whether to request each revoked link itself and record its HTTP status.
    :param flagged_only: whether to revoke leaked links alone and leave retirements to the next sweep.
    :param deadline: how long to go on without a confirmed revocation; ``None`` to go on as long as anything is due
        within a minute.
    """

    max_attempts: int = 6
    verify: bool = False
    flagged_only: bool = False
    deadline: timedelta | None = None


@dataclass
class SweepResult:
    """What a sweep revoked, and what it did not. Lists keep their first 1,000 entries; ``total`` counts all.

    :param expired: how many links had ended by themselves and were closed.
    :param irrevocable: links that became irrevocable in this sweep.
    :param unopened: links that no key of the connection opens, so that they cannot be revoked.
    :param other_clients: the flagged live links of other clients, which this connection cannot revoke.
    :param pending: how many flagged links of this client are still live, irrevocable ones left out.
    :param alive: how many flagged links of this client are still live, irrevocable ones included.
    :param reasons: why flagged links were not revoked, by link id.
    :param exposures: seconds from flag to confirmation, by fingerprint.
    :param tombstones: the fingerprints among what was revoked that were flagged before they were known.
    """

    revoked: BoundedList[LinkRow] = field(default_factory=BoundedList)
    expired: int = 0
    irrevocable: BoundedList[LinkRow] = field(default_factory=BoundedList)
    unopened: BoundedList[LinkRow] = field(default_factory=BoundedList)
    other_clients: tuple[FlaggedAlive, ...] = ()
    pending: int = 0
    alive: int = 0
    reasons: dict[str, str] = field(default_factory=dict)
    exposures: dict[str, float] = field(default_factory=dict)
    tombstones: list[str] = field(default_factory=list)

    @property
    def given_up(self) -> BoundedList[LinkRow]:
        """The links that became irrevocable in this sweep."""
        return self.irrevocable

    @property
    def audiences(self) -> list[str]:
        """The audiences in which a flagged link went dark."""
        return sorted({row.audience for row in self.revoked if row.flagged_at is not None})

    @property
    def promise_kept(self) -> bool:
        """Whether no flagged link is live any more, of any client."""
        return not (self.alive or self.irrevocable or self.unopened or self.other_clients)


def sweep(services: Services, run_context: RunContext, request: SweepRequest) -> SweepResult:
    """Revoke what is due until nothing is, and close what has ended.

    :raises PMECredentialsError: if the credentials are refused; what is due stays due.
    """
    limit = request.deadline
    if limit is None:
        return Sweeper(services, run_context, request=request).sweep()
    with services.client.with_deadline(limit.total_seconds() * _REQUEST_SHARE) as client:
        return Sweeper(replace(services, client=client), run_context, request=request).sweep()


SweepOutcome = SweepResult


class Sweeper:
    """Revokes what is due, in batches, with several requests under way.

    :param services: the connection's client, ledger and keys.
    :param run_context: who acts.
    :param max_attempts: after so many answers that are not ``true`` a link is irrevocable.
    :param verify: whether each revoked link is itself asked, and its HTTP status recorded.
    """

    def __init__(
        self,
        services: Services,
        run_context: RunContext,
        max_attempts: int = 6,
        *,
        verify: bool = False,
        request: SweepRequest | None = None,
    ) -> None:
        self._services = services
        self._run_context = run_context
        self._request = request or SweepRequest(max_attempts, verify)
        self._max_attempts = self._request.max_attempts
        self._verify = self._request.verify
        self._outcome = SweepResult()
        self._unreached = 0
        self._progress_at = services.clock.monotonic()

    def sweep(self, *, flagged_only: bool = False) -> SweepResult:
        """Revoke until nothing is due any more: what was denied is tried again with backoff, until it is irrevocable.

        :raises PMECredentialsError: where the credentials are refused; everything due stays due.
        """
        flagged_only = flagged_only or self._request.flagged_only
        services = self._services
        if not flagged_only:
            self._close_ended()
        client = services.client
        taken = self._take(flagged_only)
        if taken:
            self._progress = Progress(log, "revoking", len(taken), services.clock)
            with ThreadPoolExecutor(client.limiter.max_ready, thread_name_prefix="pme-sweep") as pool:
                self._drive(pool, taken, flagged_only)
        self._count_alive()
        return self._outcome

    def _count_alive(self) -> None:
        with suppress(LedgerUnavailableError), self._services.database.read() as tx:
            by_client = flagged_alive(tx)
            own = [entry for entry in by_client if entry.client_id == self._services.client.client_id]
            self._outcome.alive = sum(entry.count for entry in own)
            self._outcome.pending = sum(entry.count - entry.irrevocable for entry in own)
            self._outcome.other_clients = tuple(entry for entry in by_client if entry not in own)

    def _overdue(self) -> bool:
        """Whether nothing was confirmed for longer than the request's deadline."""
        limit = self._request.deadline
        waited = self._services.clock.monotonic() - self._progress_at
        return limit is not None and waited >= limit.total_seconds() * _REQUEST_SHARE

    def _close_ended(self) -> None:
        services = self._services
        with services.database.read() as tx:
            if not revocations.anything_to_close(tx, services.server_time_lower_bound()):
                return
        with services.database.write(self._run_context) as tx:
            moment = services.server_time_lower_bound()
            self._outcome.expired += revocations.expire(tx, moment)

    def _drive(self, pool: ThreadPoolExecutor, taken: list[Due], flagged_only: bool) -> None:
        """Keep every connection busy: what is next is taken, and the books are kept, while requests fly."""
        flying: dict[Future[list[RevokeVerdict]], _Batch] = {}
        while True:
            taken = [] if self._overdue() else self._launch(pool, flying, taken)
            if not taken and not self._overdue():
                taken = self._launch(pool, flying, self._take(flagged_only))
            if not flying:
                if not taken and not self._rest():
                    return
                continue
            done, _ = wait(flying, return_when=FIRST_COMPLETED)
            landed = [(flying.pop(future), future) for future in done]
            taken = self._launch(pool, flying, taken)
            self._settle(landed)

    def _launch(
        self, pool: ThreadPoolExecutor, flying: dict[Future[list[RevokeVerdict]], _Batch], taken: list[Due]
    ) -> list[Due]:
        """Send what was taken while connections are free; what is left of it."""
        client = self._services.client
        while taken and len(flying) < client.limiter.ready:
            batch, taken = self._next_batch(taken)
            if batch:
                flying[pool.submit(client.revoke, [opened.token for _, opened in batch])] = batch
        return taken

    def _take(self, flagged_only: bool) -> list[Due]:
        services = self._services
        client = services.client
        with services.database.write(self._run_context) as tx:
            return sweep_queue.take_due(
                tx,
                services.client.client_id,
                client.settings.batch_size * client.limiter.ready,
                flagged_only=flagged_only,
            )

    def _next_batch(self, taken: list[Due]) -> tuple[_Batch, list[Due]]:
        """A batch of one kind, so that a leak never waits for a retirement in the same request."""
        size = self._services.client.settings.batch_size
        kind = taken[0].flagged
        cut = next((i for i, due in enumerate(taken[:size]) if due.flagged is not kind), min(size, len(taken)))
        batch: _Batch = []
        for due in taken[:cut]:
            opened = self._open(due.row)
            if opened is not None:
                batch.append((due.row, opened))
        return batch, taken[cut:]

    def _open(self, row: LinkRow) -> OpenedLink | None:
        try:
            if row.sealed is None:
                raise PMESealError("its sealed text is gone")
            return self._services.sealer.open(row.sealed, row.link_id, row.model_id)
        except PMESealError as error:
            log.error("Link %s of model %s cannot be revoked: %s", row.link_id, row.model_id, error)
            self._outcome.unopened.append(row)
            self._explain(row, str(error))
            services = self._services
            with services.database.write(self._run_context) as tx:
                answer = NotRevokedAnswer(row, str(error), False, _KEY_MISSING_WAIT)
                revocations.denied(
                    tx,
                    [answer],
                    self._max_attempts,
                    services.server_time_lower_bound(),
                )
            return None

    def _settle(self, landed: Sequence[tuple[_Batch, Future[list[RevokeVerdict]]]]) -> None:
        """Record what became of requests, all that have landed in one transaction."""
        confirmed: _Batch = []
        answers: list[NotRevokedAnswer] = []
        refused: PMECredentialsError | None = None
        for batch, future in landed:
            verdicts, error = _verdicts(future, len(batch))
            refused = error if isinstance(error, PMECredentialsError) else refused
            reached = any(isinstance(verdict, Revoked) or verdict.sent for verdict in verdicts)
            self._unreached = 0 if reached else self._unreached + 1
            for (row, opened), verdict in zip(batch, verdicts, strict=True):
                if isinstance(verdict, Revoked):
                    confirmed.append((row, opened))
                else:
                    answers.append(NotRevokedAnswer(row, verdict.reason, verdict.sent, self._wait(row, verdict)))
                    self._explain(row, verdict.reason)
        if confirmed:
            self._progress_at = self._services.clock.monotonic()
        verified = self._verified(confirmed)
        services = self._services
        with services.database.write(self._run_context) as tx:
            rows = [row for row, _ in confirmed]
            gone = revocations.revoked(tx, rows, verified)
            not_revoked = revocations.denied(
                tx,
                answers,
                self._max_attempts,
                services.server_time_lower_bound(),
            )
            leaked = {row.fingerprint or "": row.flagged_at for row in gone if row.flagged_at is not None}
            self._outcome.tombstones += flags.tombstones_among(tx, list(leaked))
            now = tx.now()
        self._outcome.exposures |= {mark: max(0.0, (now - at).total_seconds()) for mark, at in leaked.items()}
        for row in gone:
            self._outcome.revoked.append(row)
        self._outcome.expired += len(not_revoked.expired)
        for row in not_revoked.irrevocable:
            self._outcome.irrevocable.append(row)
        self._progress.step(len(gone))
        for row in not_revoked.irrevocable:
            log.error("Link %s of model %s is irrevocable: it ends at %s.", row.link_id, row.model_id, row.valid_until)
        if refused is not None:
            raise refused

    def _explain(self, row: LinkRow, reason: str) -> None:
        if row.flagged_at is not None and len(self._outcome.reasons) < MAX_ENTRIES:
            self._outcome.reasons[row.link_id] = reason

    def _verified(self, confirmed: Sequence[tuple[LinkRow, OpenedLink]]) -> dict[str, str]:
        if not self._verify:
            return {}
        answers = {row.link_id: self._services.client.probe_link(opened.url) for row, opened in confirmed}
        return {link_id: "no answer" if status is None else f"HTTP {status}" for link_id, status in answers.items()}

    def _wait(self, row: LinkRow, verdict: NotRevoked) -> timedelta:
        backoff = min(_MAX_BACKOFF, 0.5 * 2.0**row.revoke_attempts) * random.uniform(0.5, 1.0)  # noqa: S311
        return timedelta(seconds=max(backoff, verdict.retry_after or 0.0))

    def _rest(self) -> bool:
        """Wait for what is to be tried again soon; false where the next sweep is to see to it: nothing is, or the API
        was not reached time after time, each for the client's whole deadline."""
        services = self._services
        if self._overdue():
            return False
        with suppress(LedgerUnavailableError), services.database.read() as tx:
            left = sweep_queue.next_due_at(tx, services.client.client_id)
            if left is not None and left <= _PATIENCE and self._unreached < _UNREACHED_ROUNDS:
                services.clock.sleep(left.total_seconds() + 0.01)
                return True
        return False


def _verdicts(future: Future[list[RevokeVerdict]], count: int) -> tuple[list[RevokeVerdict], BaseException | None]:
    """A request's verdicts, and why it failed where it did outside of the API's answers."""
    error = future.exception()
    if error is None:
        return future.result(), None
    said = str(error) if isinstance(error, PMEError) else type(error).__name__
    return [NotRevoked(said, sent=False)] * count, error


def summary(outcome: SweepOutcome) -> dict[str, Any]:
    """A sweep's outcome as JSON, without links."""
    return {
        "revoked": [
            {
                "link_id": row.link_id,
                "model_id": row.model_id,
                "audience": row.audience,
                "fingerprint": row.fingerprint,
                "flagged_at": row.flagged_at.isoformat() if row.flagged_at else None,
                "exposure": outcome.exposures.get(row.fingerprint or ""),
            }
            for row in outcome.revoked
        ],
        "expired": outcome.expired,
        "irrevocable": [row.link_id for row in outcome.given_up],
        "unopened": [row.link_id for row in outcome.unopened],
        "tombstones_hit": outcome.tombstones,
        "pending": outcome.pending,
    }
