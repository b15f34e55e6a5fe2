"""What a mint run asks for: a link for each model, or tokens that several models share."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import islice

from pme_airflow.api.client import PMEClient
from pme_airflow.errors import PMECredentialsError, PMEError, PMESharedTokenError

__all__ = ["MintJob", "TokenSharing", "can_be_split"]

#: A run that got no token for several models after so many refusals, the last one for two models, asks for no more.
_MAX_REFUSALS = 5

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Split:
    """What became of a token that was refused, and asked for in parts.

    :param left: how many of its models have no token yet.
    :param refused: how many models the smallest part had that was refused.
    :param made: how many models the largest part had that was made.
    """

    left: int
    refused: int
    made: int = 0


@dataclass(slots=True)
class MintJob:
    """Models that need a link, or a token that they share, and what happened to them in this run."""

    models: tuple[str, ...]
    lost: int = 0
    refused: int = 0
    #: When it was first refused, by the monotonic clock.
    refused_at: float | None = None
    split: _Split | None = None

    def of(self, models: tuple[str, ...]) -> MintJob:
        """Return the job for a part of its models."""
        return self if models == self.models else replace(self, models=models)


class TokenSharing:
    """Decides which models of a run share a token.

    :param client: the API, which may make no such tokens.
    :param most: how many models may share a token; 1 for a link for each.
    """

    def __init__(self, client: PMEClient, most: int) -> None:
        self._client = client
        self._wanted = most
        self._largest = 0
        self._refused = 0
        if most > 1 and self.most == 1:
            log.info("Each model gets a link of its own: the API was found to make no tokens for several models.")
        elif self.most < most:
            log.info("%d models share a token: the API was found to make none for %d.", self.most, most)

    @property
    def most(self) -> int:
        """How many models share a token at the most now."""
        limit = self._client.models_per_token if self._wanted > 1 else 1
        return self._wanted if limit is None else min(self._wanted, limit)

    def jobs(self, model_ids: Iterable[str], count: int) -> list[MintJob]:
        """Take so many jobs from the models that are left; fewer where there are no more."""
        most, left = self.most, iter(model_ids)
        parts = iter(lambda: tuple(islice(left, most)), ())
        return [MintJob(part) for part in islice(parts, count)]

    def note_made(self, job: MintJob) -> None:
        """Note that the API made a token for a job's models."""
        size, split = len(job.models), job.split
        self._largest = max(self._largest, size)
        if split is None:
            return
        split.left -= size
        split.made = max(split.made, size)
        # Where one bad model was the reason, a part was made that is as large as another one that was refused.
        if not split.left and 1 < split.made < self.most and self._largest < split.refused:
            self._limit(split.made)

    def instead(self, job: MintJob, error: PMEError | None = None) -> list[MintJob]:
        """Return the jobs to try in place of one for several models.

        One bad model among them fails alone in the end.

        :param error: why no token was made; ``None`` where one was made that cannot be used.
        """
        self._refused += 1
        size = len(job.models)
        refuses_all = self._largest < 2 and self._refused >= _MAX_REFUSALS and size == 2
        if isinstance(error, PMESharedTokenError) or refuses_all:
            self._stop()
        elif error is not None:
            job.split = job.split or _Split(size, size)
            job.split.refused = min(job.split.refused, size)
        part = min(self.most, (size + 1) // 2)
        return [job.of(job.models[start : start + part]) for start in range(0, size, part)]

    def _limit(self, most: int) -> None:
        log.warning(
            "The PME API makes tokens for up to %d models. That many share one; the API is asked for more again in a "
            "day.", most,
        )  # fmt: skip
        self._client.limit_models_per_token(most)

    def _stop(self) -> None:
        if self._wanted > 1:
            log.warning(
                "The PME API makes no tokens for several models. Each model gets a link of its own; the API is asked "
                "for shared tokens again in a day."
            )
        self._wanted = 1
        self._client.limit_models_per_token(1)


def can_be_split(job: MintJob, error: PMEError) -> bool:
    """Return whether fewer models may fare better than those of a refused job."""
    return len(job.models) > 1 and error.permanent and not isinstance(error, PMECredentialsError)
