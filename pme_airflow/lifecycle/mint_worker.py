"""The worker that mints: it records each mint before it is sent, and then its result."""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from pme_airflow.api.messages import MintRequest
from pme_airflow.api.outcomes import Made, MintVerdict, NotMade, Unknown
from pme_airflow.errors import (
    LedgerUnavailableError,
    PMECredentialsError,
    PMEError,
    PMELostAnswerError,
    PMEUnavailableError,
    PMEUnreachableError,
)
from pme_airflow.ledger import mint_answers, mint_requests, mint_runs
from pme_airflow.ledger.mint_answers import MintAnswer, Settled
from pme_airflow.ledger.mint_requests import Busy, Demand, PendingMint, Reuse
from pme_airflow.ledger.mint_runs import MintRun
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.lifecycle.mint_result import MintTally
from pme_airflow.lifecycle.progress import Progress
from pme_airflow.lifecycle.services import Services
from pme_airflow.lifecycle.worker_loop import Landed, RequestLimits, Worker, WorkerLoop
from pme_airflow.sealing import OpenedLink, SealRequest, fingerprint

__all__ = ["MAX_LOST_RESPONSES", "mint_missing"]

#: A model fails for the run after so many lost responses, so that a broken network cannot leave more live tokens.
MAX_LOST_RESPONSES = 5
_MAX_REFUSALS = 15
_MAX_REFUSAL_SECONDS = 1.0
#: Seconds before a model that another run is minting for is looked up again.
_BUSY_SECONDS = 0.5
#: A mint is not sent if its row was recorded longer ago: the row's end would not cover the token's life.
_STALE_SECONDS = 60.0

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Job:
    """A model that needs a link, and what happened to it in this run."""

    model_id: str
    lost: int = 0
    refused: int = 0


@dataclass(frozen=True)
class _Staged:
    """A mint whose row is committed, to be sent next."""

    mint: PendingMint
    job: _Job
    recorded_at: float


_Landed = Landed[_Staged, list[MintVerdict]]


def mint_missing(
    services: Services, run_context: RunContext, demand: Demand, model_ids: Sequence[str], tally: MintTally
) -> None:
    """Find or mint a link for each model, and add the results to a tally.

    :raises PMECredentialsError: if the credentials are refused.
    :raises LedgerUnavailableError: if the ledger cannot be written; nothing is sent that is not recorded.
    """
    mint_run = services.database.run(run_context, mint_runs.begin)
    worker = _MintWorker(services, run_context, demand, mint_run, model_ids, tally)
    worker.run()
    if isinstance(worker.stopped, PMECredentialsError):
        raise worker.stopped


class _MintWorker(Worker[_Job, _Staged, list[MintVerdict]]):
    """One mint run."""

    def __init__(
        self,
        services: Services,
        run_context: RunContext,
        demand: Demand,
        mint_run: MintRun,
        model_ids: Sequence[str],
        tally: MintTally,
    ) -> None:
        self._services = services
        self._run_context = run_context
        self._demand = demand
        self._mint_run = mint_run
        self._models: Iterator[str] = iter(model_ids)
        self._tally = tally
        self._progress = Progress(log, "minting", len(model_ids), services.clock)
        limits = RequestLimits(services.client.limiter, services.client.settings.batch_size)
        self._loop = WorkerLoop(self, limits, services.clock, "mint")
        self.stopped: PMEError | None = None

    def run(self) -> None:
        """Mint until every model has a link or has failed."""
        try:
            with self._loop:
                self._loop.run()
        finally:
            with suppress(LedgerUnavailableError):
                self._services.database.run(self._run_context, mint_runs.finish)

    # ---------------------------------------------------------------- staging

    def next_jobs(self, count: int) -> Sequence[_Job]:
        return [_Job(model_id) for model_id in islice(self._models, count)]

    def stage(self, jobs: Sequence[_Job]) -> Sequence[_Staged]:
        """Look models up in one transaction, and record the mints that are needed."""
        if self.stopped is not None:
            for job in jobs:
                self._fail(job, self.stopped)
            return []
        services = self._services
        recorded_at = services.clock.monotonic()
        by_model = {job.model_id: job for job in jobs}
        prepared = services.database.run(
            self._run_context,
            lambda tx: mint_requests.prepare(
                tx, self._mint_run, self._demand, list(by_model), services.server_now(), services.can_open
            ),
        )
        staged = []
        for entry in prepared:
            job = by_model[entry.model_id]
            if isinstance(entry, Reuse):
                self._tally.reused += 1
                self._finish(job, entry)
            elif isinstance(entry, Busy):
                self._loop.postpone(job, _BUSY_SECONDS)
            else:
                staged.append(_Staged(entry, job, recorded_at))
        return staged

    def send(self, batch: Sequence[_Staged]) -> list[MintVerdict]:
        """Send a batch, unless this process was suspended for too long after the rows were recorded."""
        if self._services.clock.monotonic() - min(staged.recorded_at for staged in batch) > _STALE_SECONDS:
            error = PMEUnavailableError("The worker was suspended before the request was sent.")
            return [NotMade(error, resend=True)] * len(batch)
        return self._services.client.mint(
            [MintRequest(staged.mint.model_id, self._demand.validity) for staged in batch]
        )

    def cancel(self, staged: Sequence[_Staged]) -> None:
        """Close the rows of mints that will not be sent."""
        error = self.stopped or PMEUnavailableError("The run ended before it could send the request.")
        self.settle([Landed(staged, [NotMade(error, resend=False)] * len(staged), None)])

    def keep_alive(self) -> None:
        """Extend the run's claims."""
        self._services.database.run(self._run_context, mint_runs.keep_alive)

    # --------------------------------------------------------------- settling

    def settle(self, landed: Sequence[_Landed]) -> None:
        """Record the results of requests in one transaction."""
        outcomes = [pair for request in landed for pair in zip(request.batch, _verdicts(request), strict=True)]
        if not outcomes:
            return
        services = self._services
        entries = self._answers(outcomes)
        results = services.database.run(
            self._run_context,
            lambda tx: mint_answers.settle(
                tx, self._demand, entries, services.server_now(), services.server_time_upper_bound()
            ),
        )
        now = services.server_now()
        for (staged, verdict), result in zip(outcomes, results, strict=True):
            self._conclude(staged.job, verdict, result, now)

    def _answers(self, outcomes: Sequence[tuple[_Staged, MintVerdict]]) -> list[MintAnswer]:
        """Return what is recorded of verdicts; links that were made are sealed."""
        requests = [
            SealRequest(OpenedLink(verdict.link.url, verdict.link.access_token), mint.link_id, mint.model_id)
            for mint, verdict in ((staged.mint, verdict) for staged, verdict in outcomes)
            if isinstance(verdict, Made)
        ]
        sealed = iter(self._services.sealer.seal_all(requests))
        return [
            MintAnswer(staged.mint, verdict, next(sealed), fingerprint(verdict.link.access_token))
            if isinstance(verdict, Made)
            else MintAnswer(staged.mint, verdict)
            for staged, verdict in outcomes
        ]

    def _conclude(self, job: _Job, verdict: MintVerdict, result: Settled, now: datetime) -> None:
        """Finish a job, fail it, or try it again."""
        if isinstance(verdict, Unknown):
            self._after_lost_response(job, verdict)
        elif isinstance(verdict, NotMade):
            self._after_refusal(job, verdict)
        elif verdict.link.valid_until <= now:
            error = PMEUnavailableError(
                "The API returned a link that ended in the past; it is recorded and revoked. Check the clock of the "
                "API's host."
            )
            self._fail(job, error)
        elif not result.usable:
            log.warning("Model %s: its link has ended or is flagged; the model is tried again.", job.model_id)
            self._loop.postpone(job, _BUSY_SECONDS)
        else:
            self._tally.minted += 1
            self._tally.note_validity(self._demand.validity.duration, verdict.link.valid_until - now)
            self._finish(job, result)

    def _after_lost_response(self, job: _Job, verdict: Unknown) -> None:
        job.lost += 1
        self._tally.lost += 1
        log.warning(
            "Model %s: a response was lost (%s); the ledger accounts for its token.", job.model_id, verdict.reason
        )
        if job.lost < MAX_LOST_RESPONSES:
            self._loop.postpone(job, _backoff(job.lost))
            return
        message = f"{job.lost} responses were lost; tokens that nobody has may work until they expire. See the ledger."
        self._fail(job, PMELostAnswerError(message))

    def _after_refusal(self, job: _Job, verdict: NotMade) -> None:
        job.refused += 1
        error = verdict.error
        exhausted = job.refused >= _MAX_REFUSALS
        if _stops_run(error) or (exhausted and isinstance(error, PMEUnavailableError)):
            self.stopped = self.stopped or error
            self._loop.stop()
        if not verdict.resend or exhausted or self.stopped is not None:
            self._fail(job, error)
        else:
            self._loop.postpone(job, verdict.retry_after or min(_backoff(job.refused - 1), _MAX_REFUSAL_SECONDS))

    def _finish(self, job: _Job, link: Reuse | Settled) -> None:
        self._tally.add(job.model_id, link.row if self._tally.keeps_items else None)
        self._progress.step()

    def _fail(self, job: _Job, error: PMEError) -> None:
        self._tally.fail(job.model_id, error)
        log.error("Model %s has no new link: %s", job.model_id, error)
        self._progress.step()


def _verdicts(request: _Landed) -> list[MintVerdict]:
    """Return a request's verdicts. One that failed for a reason other than the API's response counts as lost."""
    if request.result is not None:
        return request.result
    if isinstance(request.error, PMEError):
        return [NotMade(request.error, resend=False)] * len(request.batch)
    return [Unknown(f"{type(request.error).__name__} in the worker")] * len(request.batch)


def _stops_run(error: PMEError) -> bool:
    """Whether no other request of the run would fare better."""
    return isinstance(error, PMEUnreachableError | PMECredentialsError)


def _backoff(tries: int) -> float:
    return random.uniform(0.5, 1.0) * 0.25 * float(2**tries)  # noqa: S311
