"""Sweeping: revoke what is due until the API confirms it, and close what has ended."""

from __future__ import annotations

import logging
import random
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from pme_airflow.api.outcomes import NotRevoked, Revoked, RevokeVerdict
from pme_airflow.api.token_probe import Liveness, ProbeMethod
from pme_airflow.errors import LedgerUnavailableError, PMECredentialsError, PMEError, PMESealError
from pme_airflow.ledger import flags, revocations, sweep_queue
from pme_airflow.ledger.exposed import flagged_alive
from pme_airflow.ledger.links import LinkRow
from pme_airflow.ledger.revocations import NotRevokedAnswer, NotRevokedOutcome
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.ledger.transaction import WriteTransaction
from pme_airflow.lifecycle.progress import Progress
from pme_airflow.lifecycle.services import Services
from pme_airflow.lifecycle.sweep_result import SweepResult, summary
from pme_airflow.lifecycle.token_probe import known_probe
from pme_airflow.lifecycle.worker_loop import Landed, RequestLimits, Worker, WorkerLoop
from pme_airflow.sealing import OpenedLink

__all__ = ["SweepRequest", "SweepResult", "summary", "sweep"]

#: How soon a link that no key opens is tried again: the key may be added meanwhile.
_KEY_MISSING_WAIT = timedelta(minutes=5)
#: A sweep waits at most this long for its next attempt; later attempts are left to the next sweep.
_PATIENCE = timedelta(seconds=60)
#: How many seconds a waiting sweep lets pass before it looks for new flags.
_LOOK_EVERY = 1.0
#: How long a sweep goes on for retirements that fall due one after the other: what follows a sweep waits for its end.
_MAX_STAY = timedelta(minutes=5)
#: The longest wait in seconds before the next attempt, after a denial and after no response. The latter is
#: short, so that the next sweep tries at once when the API is back.
_MAX_DENIED_BACKOFF = 30.0
_MAX_UNANSWERED_BACKOFF = 5.0
#: A sweep ends after so many requests in a row that did not reach the API, each for the client's whole deadline.
_MAX_UNREACHED = 3
#: A sweep without a deadline ends when the API has not answered for this long.
_MAX_UNANSWERED = timedelta(minutes=2)
#: How much of a deadline one request may take, so that the response is written and reported before its end.
_REQUEST_SHARE = 0.6
_CLOSE_PAGE = 1000

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SweepRequest:
    """What to revoke, and how long to go on.

    :param max_attempts: a link that the API refused to revoke so often is irrevocable.
    :param verify: whether to request each revoked link itself and record its HTTP status.
    :param flagged_only: whether to revoke leaked links alone and leave retirements to the next sweep.
    :param deadline: how long to go on without a confirmed revocation; ``None`` to go on as long as anything is due
        within a minute.
    :param next_within: how long to wait for the next retirement, so that one sweep revokes those that fall due one
        after the other; for five minutes in all, and no longer once a leaked link was revoked or anything failed.
        ``None`` not to wait.
    """

    max_attempts: int = 6
    verify: bool = False
    flagged_only: bool = False
    deadline: timedelta | None = None
    next_within: timedelta | None = None


def sweep(services: Services, run_context: RunContext, request: SweepRequest) -> SweepResult:
    """Revoke all that is due, and close links that have ended. Two concurrent sweeps share the work.

    :raises PMECredentialsError: if the credentials are refused; what is due stays due.
    """
    if request.deadline is None:
        return _sweep(services, run_context, request)
    with services.client.with_deadline(request.deadline.total_seconds() * _REQUEST_SHARE) as client:
        return _sweep(replace(services, client=client), run_context, request)


def _sweep(services: Services, run_context: RunContext, request: SweepRequest) -> SweepResult:
    services.database.prepare()
    worker = _SweepWorker(services, run_context, request)
    if not request.flagged_only:
        worker.result.expired += _close_ended(services, run_context)
    worker.run()
    try:
        with services.database.read() as tx:
            worker.result.alive = tuple(flagged_alive(tx))
    except LedgerUnavailableError:
        worker.result.alive_unread = True
    return worker.result


def _close_ended(services: Services, run_context: RunContext) -> int:
    """Close links that have ended by themselves; return how many."""
    closed = 0
    with services.database.read() as tx:
        if not revocations.anything_to_close(tx, services.server_time_lower_bound()):
            return closed
    while True:
        page = services.database.run(
            run_context, lambda tx: revocations.expire(tx, services.server_time_lower_bound(), _CLOSE_PAGE)
        )
        closed += page
        if page < _CLOSE_PAGE:
            return closed


@dataclass(frozen=True)
class _Opened:
    """A link that is to be revoked."""

    row: LinkRow
    link: OpenedLink


@dataclass(frozen=True)
class _Sent:
    """The result of a request.

    :param verified: what requesting the revoked links themselves returned, by link id.
    """

    verdicts: Sequence[RevokeVerdict]
    verified: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Recorded:
    """What the ledger recorded of some requests, and when."""

    gone: Sequence[LinkRow]
    denied: NotRevokedOutcome
    tombstones: Sequence[str]
    at: datetime


class _SweepWorker(Worker[LinkRow, _Opened, _Sent]):
    """Revokes what is due, in batches of one kind: a leak never waits for a retirement in the same request."""

    def __init__(self, services: Services, run_context: RunContext, request: SweepRequest) -> None:
        self._services = services
        self._run_context = run_context
        self._request = request
        self.result = SweepResult(services.client.client_id)
        self._progress = Progress(log, "revoking", 0, services.clock)
        limits = RequestLimits(services.client.limiter, services.client.batch_size)
        self._loop = WorkerLoop(self, limits, services.clock, "sweep")
        self._probe: ProbeMethod | None = None
        if request.verify:
            with suppress(PMEError):
                self._probe = known_probe(services)
        self._unreached = self._unanswered = 0
        self._refused: PMECredentialsError | None = None
        self._begun = self._confirmed_at = self._answered_at = services.clock.monotonic()

    def run(self) -> None:
        """Revoke until nothing is due.

        :raises PMECredentialsError: if the credentials are refused.
        """
        with self._loop:
            self._loop.run()
        if self._refused is not None:
            raise self._refused

    def next_jobs(self, count: int) -> Sequence[LinkRow]:
        if self._ended():
            return []
        services, only = self._services, self._request.flagged_only
        due = services.database.run(
            self._run_context,
            lambda tx: sweep_queue.take_due(tx, services.client.client_id, count, flagged_only=only),
        )
        return [entry.row for entry in due]

    def stage(self, jobs: Sequence[LinkRow]) -> Sequence[_Opened]:
        """Open links; those that no key opens are tried again later."""
        opened: list[_Opened] = []
        unopened: list[NotRevokedAnswer] = []
        for row in jobs:
            try:
                opened.append(_Opened(row, self._services.open_row(row)))
            except PMESealError as error:
                log.error("Link %s of %s cannot be revoked: %s", row.link_id, row.named_models, error)
                self.result.unopened.append(row)
                self.result.note_reason(row, str(error))
                unopened.append(NotRevokedAnswer(row, str(error), False, _KEY_MISSING_WAIT))
        if unopened:
            self._record([], {}, unopened)
        return opened

    def batch_key(self, staged: _Opened) -> object:
        return staged.row.flagged_at is not None

    def send(self, batch: Sequence[_Opened]) -> _Sent:
        client = self._services.client
        verdicts = client.revoke([staged.link.token for staged in batch])
        if not self._request.verify:
            return _Sent(verdicts)
        revoked = [s for s, verdict in zip(batch, verdicts, strict=True) if isinstance(verdict, Revoked)]
        return _Sent(verdicts, {staged.row.link_id: self._verified(staged) for staged in revoked})

    def _verified(self, staged: _Opened) -> str:
        """Ask about a revoked token, with the probe that is known to tell, or else by the status of its link."""
        client, row = self._services.client, staged.row
        if self._probe is not None:
            found = client.probe_token(self._probe, row.opens[0], staged.link.token, staged.link.url)
            if found is Liveness.ALIVE:
                log.error("Link %s of %s was confirmed revoked and still works.", row.link_id, row.named_models)
            return f"{found.value} ({self._probe.value})"
        status = client.probe_link(staged.link.url)
        return "no answer" if status is None else f"HTTP {status}"

    def settle(self, landed: Sequence[Landed[_Opened, _Sent]]) -> None:
        """Record the results of requests in one transaction."""
        revoked: list[LinkRow] = []
        answers: list[NotRevokedAnswer] = []
        verified: dict[str, str] = {}
        jitter = random.uniform(0.5, 1.0)  # noqa: S311 - needs no secure source
        for request in landed:
            sent = self._sent(request)
            verified |= sent.verified
            for staged, verdict in zip(request.batch, sent.verdicts, strict=True):
                if isinstance(verdict, Revoked):
                    revoked.append(staged.row)
                else:
                    answers.append(_answer(staged.row, verdict, self._unanswered, jitter))
                    self.result.note_reason(staged.row, verdict.reason)
        if landed:
            self._record(revoked, verified, answers)
        now = self._services.clock.monotonic()
        self._confirmed_at = now if revoked else self._confirmed_at
        self._answered_at = self._answered_at if self._unanswered else now
        if self._ended():
            self._loop.stop()

    def _sent(self, request: Landed[_Opened, _Sent]) -> _Sent:
        """Return the result of a request, and count requests that did not reach the API or were not answered."""
        sent = request.result
        if sent is None:
            error = request.error
            message = str(error) if isinstance(error, PMEError) else type(error).__name__
            sent = _Sent([NotRevoked(message, sent=False)] * len(request.batch))
            if isinstance(error, PMECredentialsError):
                self._refused = error
        reached = any(isinstance(verdict, Revoked) or verdict.sent for verdict in sent.verdicts)
        answered = any(isinstance(verdict, Revoked) or verdict.denied for verdict in sent.verdicts)
        self._unreached = 0 if reached else self._unreached + 1
        self._unanswered = 0 if answered else self._unanswered + 1
        return sent

    def _record(
        self, revoked: Sequence[LinkRow], verified: dict[str, str], answers: Sequence[NotRevokedAnswer]
    ) -> None:
        services = self._services

        def record(tx: WriteTransaction) -> _Recorded:
            gone = revocations.revoked(tx, revoked, verified)
            denied = revocations.denied(tx, answers, self._request.max_attempts, services.server_time_lower_bound())
            leaked = [row.fingerprint or "" for row in gone if row.flagged_at is not None]
            return _Recorded(gone, denied, flags.tombstones_among(tx, leaked), tx.now())

        recorded = services.database.run(self._run_context, record)
        self.result.tombstones += recorded.tombstones
        self.result.note_revoked(recorded.gone, recorded.at)
        self.result.expired += len(recorded.denied.expired)
        self._progress.step(len(recorded.gone))
        for row in recorded.denied.irrevocable:
            self.result.irrevocable.append(row)
            log.error("Link %s of %s is irrevocable: it ends at %s.", row.link_id, row.named_models, row.valid_until)

    def cancel(self, staged: Sequence[_Opened]) -> None:
        """Leave links that will not be sent to other sweeps."""
        rows = [entry.row for entry in staged]
        self._services.database.run(self._run_context, lambda tx: sweep_queue.release(tx, rows))

    def keep_alive(self) -> None:
        """Keep other sweeps away from what this one has in flight."""
        self._services.database.run(self._run_context, sweep_queue.extend)

    def idle(self) -> bool:
        """Wait for what is to be revoked soon; return whether there is any. A new flag ends the wait."""
        while (wait := self._time_to_next()) is not None and not self._ended():
            pause = min(wait.total_seconds() + 0.01, _LOOK_EVERY)
            self._services.clock.sleep(min(pause, self._remaining()) if self._request.deadline else pause)
            if wait.total_seconds() < _LOOK_EVERY:
                return True
        return False

    def _time_to_next(self) -> timedelta | None:
        """Return how long until something is to be revoked that this sweep waits for."""
        services = self._services
        turns: list[timedelta] = []
        with suppress(LedgerUnavailableError), services.database.read() as tx:
            retry = sweep_queue.next_due_at(tx, services.client.client_id)
            turns += [retry] if retry is not None and retry <= _PATIENCE else []
            within = self._waits_for_retirements()
            retirement = sweep_queue.next_retirement_in(tx, services.client.client_id) if within else None
            turns += [retirement] if retirement is not None and within and retirement <= within else []
        return min(turns, default=None)

    def _waits_for_retirements(self) -> timedelta | None:
        """Return how long to wait for the next retirement; ``None`` once its caller should know of something."""
        result, stayed = self.result, self._services.clock.monotonic() - self._begun
        eventful = result.exposure_seconds or result.reasons or result.irrevocable or result.unopened
        return None if eventful or stayed >= _MAX_STAY.total_seconds() else self._request.next_within

    def _ended(self) -> bool:
        """Whether nothing more is to be sent."""
        silent = self._services.clock.monotonic() - self._answered_at
        overdue = self._remaining() <= 0 if self._request.deadline else silent > _MAX_UNANSWERED.total_seconds()
        return overdue or self._refused is not None or self._unreached >= _MAX_UNREACHED

    def _remaining(self) -> float:
        """Return the seconds left for a revocation to be confirmed before the request's deadline."""
        limit = (self._request.deadline or timedelta(0)).total_seconds() * _REQUEST_SHARE
        return limit - (self._services.clock.monotonic() - self._confirmed_at)


def _answer(row: LinkRow, verdict: NotRevoked, unanswered: int, jitter: float) -> NotRevokedAnswer:
    """Return what is recorded of a link that was not revoked, with the wait before its next try.

    :param jitter: the same for all links settled together, which then share a request again.
    """
    if verdict.denied:
        backoff = min(_MAX_DENIED_BACKOFF, 0.5 * 2.0 ** min(row.revoke_attempts, 10))
    else:
        backoff = min(_MAX_UNANSWERED_BACKOFF, 0.5 * 2.0 ** min(unanswered, 10))
    wait = timedelta(seconds=max(backoff * jitter, verdict.retry_after or 0.0))
    return NotRevokedAnswer(row, verdict.reason, verdict.denied, wait)
