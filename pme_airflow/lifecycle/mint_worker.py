"""The worker that mints: it records each mint before it is sent, and then its result."""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from pme_airflow.api.messages import MintRequest
from pme_airflow.api.outcomes import Made, MintVerdict, NotMade, Unknown
from pme_airflow.errors import (
    LedgerUnavailableError,
    PMECredentialsError,
    PMEError,
    PMELostAnswerError,
    PMEModelError,
    PMEUnavailableError,
    PMEUnreachableError,
)
from pme_airflow.ledger import claims, mint_answers, mint_requests, mint_runs
from pme_airflow.ledger.link_models import named_models
from pme_airflow.ledger.links import LinkRow
from pme_airflow.ledger.mint_answers import MintAnswer, Settled
from pme_airflow.ledger.mint_requests import Busy, Demand, PendingMint, Reuse
from pme_airflow.ledger.mint_runs import MintRun
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.lifecycle.mint_jobs import MintJob, TokenSharing, can_be_split
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
#: How long a busy API is waited for, and the longest pause where it names none: it may count requests by the minute.
_MAX_BUSY_SECONDS = 300.0
_MAX_BUSY_PAUSE = 20.0
#: Somebody waits for the result of a client whose deadline is shorter: a busy API is waited for no longer than that.
_PATIENT_SECONDS = 60.0
#: Seconds before a model that another run is minting for is looked up again.
_BUSY_SECONDS = 0.5
#: A mint is not sent if its row was recorded longer ago: the row's end would not cover the token's life.
_STALE_SECONDS = 60.0

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Staged:
    """A mint whose row is committed, to be sent next."""

    mint: PendingMint
    job: MintJob
    recorded_at: float


_Landed = Landed[_Staged, list[MintVerdict]]


def mint_missing(
    services: Services,
    run_context: RunContext,
    demand: Demand,
    model_ids: Sequence[str],
    tally: MintTally,
    models_per_token: int,
) -> None:
    """Find or mint a link for each model, and add the results to a tally.

    :param models_per_token: how many models may share a token.

    :raises PMECredentialsError: if the credentials are refused.
    :raises LedgerUnavailableError: if the ledger cannot be written; nothing is sent that is not recorded.
    """
    mint_run = services.database.run(run_context, mint_runs.begin)
    worker = _MintWorker(services, run_context, demand, mint_run, model_ids, tally, models_per_token)
    worker.run()
    if isinstance(worker.stopped, PMECredentialsError):
        raise worker.stopped


class _MintWorker(Worker[MintJob, _Staged, list[MintVerdict]]):
    """One mint run."""

    def __init__(
        self,
        services: Services,
        run_context: RunContext,
        demand: Demand,
        mint_run: MintRun,
        model_ids: Sequence[str],
        tally: MintTally,
        models_per_token: int,
    ) -> None:
        self._services = services
        self._run_context = run_context
        self._demand = demand
        self._mint_run = mint_run
        self._models: Iterator[str] = iter(model_ids)
        self._tally = tally
        self._sharing = TokenSharing(services.client, models_per_token)
        self._progress = Progress(log, "minting", len(model_ids), services.clock)
        limits = RequestLimits(services.client.limiter, services.client.batch_size)
        self._loop = WorkerLoop(self, limits, services.clock, "mint")
        self._jitter = 1.0
        #: Models that ended without a link of their own, and whose claims this run still holds.
        self._without_link: list[str] = []
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

    def next_jobs(self, count: int) -> Sequence[MintJob]:
        return self._sharing.jobs(self._models, count)

    def stage(self, jobs: Sequence[MintJob]) -> Sequence[_Staged]:
        """Look models up in one transaction, and record the mints that are needed."""
        if self.stopped is not None:
            for job in jobs:
                self._fail(job, self.stopped)
            return []
        services = self._services
        recorded_at = services.clock.monotonic()
        by_model = {model_id: job for job in jobs for model_id in job.models}
        tokens = [job.models for job in jobs] if len(by_model) > len(jobs) else None
        prepared = services.database.run(
            self._run_context,
            lambda tx: mint_requests.prepare(
                tx, self._mint_run, self._demand, list(by_model), services.server_now(), services.can_open, tokens
            ),
        )
        staged = []
        busy: dict[int, list[str]] = {}
        for entry in prepared:
            if isinstance(entry, Reuse):
                self._tally.reused += 1
                self._finish(entry.model_id, entry)
            elif isinstance(entry, Busy):
                busy.setdefault(id(by_model[entry.model_id]), []).append(entry.model_id)
            else:
                staged.append(_Staged(entry, by_model[entry.opens[0]].of(entry.opens), recorded_at))
        for models in busy.values():
            self._loop.postpone(by_model[models[0]].of(tuple(models)), _BUSY_SECONDS)
        return staged

    def batch_key(self, staged: _Staged) -> object:
        return bool(staged.mint.models)

    def send(self, batch: Sequence[_Staged]) -> list[MintVerdict]:
        """Send a batch, unless this process was suspended for too long after the rows were recorded."""
        if self._services.clock.monotonic() - min(staged.recorded_at for staged in batch) > _STALE_SECONDS:
            error = PMEUnavailableError("The worker was suspended before the request was sent.")
            return [NotMade(error, resend=True)] * len(batch)
        return self._services.client.mint(
            [MintRequest(staged.mint.opens[0], self._demand.validity, staged.mint.models) for staged in batch]
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
        self._jitter = random.uniform(0.5, 1.0)  # noqa: S311 - needs no secure source
        for (staged, verdict), result in zip(outcomes, results, strict=True):
            self._conclude(staged.job, verdict, result, now)
        self._release_claims()

    def _release_claims(self) -> None:
        """Let other runs mint for the models that ended without a link.

        A run extends its claims as long as it lasts: two runs that each keep one that the other waits for never end.
        """
        if self._without_link:
            keys = [self._demand.claim_key(model_id) for model_id in self._without_link]
            self._services.database.run(self._run_context, lambda tx: claims.release(tx, keys))
            self._without_link.clear()

    def _answers(self, outcomes: Sequence[tuple[_Staged, MintVerdict]]) -> list[MintAnswer]:
        """Return what is recorded of verdicts; links that were made are sealed."""
        requests = [
            SealRequest(
                OpenedLink(verdict.link.url, verdict.link.access_token, mint.models), mint.link_id, mint.model_id
            )
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

    def _conclude(self, job: MintJob, verdict: MintVerdict, result: Settled, now: datetime) -> None:
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
        elif result.repeated is not None and len(job.models) == 1:
            self._use_or_fail(job, result.before, result.repeated)
        elif result.repeated is not None or not verdict.is_complete:
            log.warning("The API's token for %s cannot be used for all of them.", named_models(job.models))
            self._try_instead(job)
        elif not result.usable:
            log.warning("The link of %s has ended or is flagged; it is tried again.", named_models(job.models))
            self._loop.postpone(job, _BUSY_SECONDS)
        else:
            self._note_minted(job, verdict, result, now)

    def _note_minted(self, job: MintJob, verdict: Made, result: Settled, now: datetime) -> None:
        self._tally.minted += len(job.models)
        self._tally.note_validity(self._demand.validity.duration, verdict.link.valid_until - now)
        self._tally.shared_tokens += len(job.models) > 1
        self._sharing.note_made(job)
        for model_id in job.models:
            self._finish(model_id, result)

    def _use_or_fail(self, job: MintJob, asked: LinkRow, holder: LinkRow) -> None:
        """Use the link that has the token already, where it is one of the same model for the same people."""
        (model_id,) = job.models
        same = (holder.audience, holder.viewer, holder.client_id) == (asked.audience, asked.viewer, asked.client_id)
        if same and model_id in holder.opens and holder.usable and self._services.can_open(holder.sealed or ""):
            self._tally.reused += 1
            self._without_link.append(model_id)
            self._finish(model_id, Reuse(model_id, holder))
            return
        message = (
            f"The API answered with the token of link {holder.link_id}, which is for {holder.named_models}, audience "
            f"{holder.audience}, and may be revoked soon. It is not used twice; the next run asks again."
        )
        self._fail(job, PMEModelError(message))

    def _try_instead(self, job: MintJob, error: PMEError | None = None) -> None:
        for part in self._sharing.instead(job, error):
            self._loop.postpone(part, 0.0)

    def _after_lost_response(self, job: MintJob, verdict: Unknown) -> None:
        job.lost += 1
        self._tally.lost += 1
        log.warning(
            "A response for %s was lost (%s); the ledger accounts for its token.",
            named_models(job.models),
            verdict.reason,
        )
        if job.lost < MAX_LOST_RESPONSES:
            self._loop.postpone(job, self._backoff(job.lost))
            return
        message = f"{job.lost} responses were lost; tokens that nobody has may work until they expire. See the ledger."
        self._fail(job, PMELostAnswerError(message))

    def _after_refusal(self, job: MintJob, verdict: NotMade) -> None:
        error = verdict.error
        if can_be_split(job, error) and self.stopped is None:
            self._try_instead(job, error)
            return
        job.refused += 1
        pause, exhausted = self._pause_after_refusal(job, verdict)
        if _stops_run(error) or (exhausted and isinstance(error, PMEUnavailableError)):
            self.stopped = self.stopped or error
            self._loop.stop()
        if not verdict.resend or exhausted or self.stopped is not None:
            self._fail(job, error)
        else:
            self._loop.postpone(job, pause)

    def _pause_after_refusal(self, job: MintJob, verdict: NotMade) -> tuple[float, bool]:
        """Return how long to wait before a job is tried again, and whether it has been tried for long enough."""
        backoff = self._backoff(job.refused - 1)
        if type(verdict.error) is not PMEUnavailableError:
            return verdict.retry_after or min(backoff, _MAX_REFUSAL_SECONDS), job.refused >= _MAX_REFUSALS
        now = self._services.clock.monotonic()
        job.refused_at = now if job.refused_at is None else job.refused_at
        pause = verdict.retry_after or min(backoff, _MAX_BUSY_PAUSE)
        deadline = self._services.client.settings.deadline
        limit = _MAX_BUSY_SECONDS if deadline >= _PATIENT_SECONDS else deadline
        return pause, pause > limit - (now - job.refused_at)

    def _backoff(self, tries: int) -> float:
        """Return a pause in seconds. Jobs settled together have the same jitter, and share a request again."""
        return self._jitter * 0.25 * float(2**tries)

    def _finish(self, model_id: str, link: Reuse | Settled) -> None:
        self._tally.add(model_id, link.row if self._tally.keeps_items else None)
        self._progress.step()

    def _fail(self, job: MintJob, error: PMEError) -> None:
        self._without_link += job.models
        for model_id in job.models:
            self._tally.fail(model_id, error)
            log.error("Model %s has no new link: %s", model_id, error)
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
