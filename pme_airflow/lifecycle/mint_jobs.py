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
class MintJob:
    """Models that need a link, or a token that they share, and what happened to them in this run."""

    models: tuple[str, ...]
    lost: int = 0
    refused: int = 0

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
        self._made = 0
        self._refused = 0
        if most > 1 and not client.shares_tokens:
            log.info("Each model gets a link of its own: the API was found to make no tokens for several models.")

    @property
    def most(self) -> int:
        """How many models share a token at the most now."""
        return self._wanted if self._wanted > 1 and self._client.shares_tokens else 1

    def jobs(self, model_ids: Iterable[str], count: int) -> list[MintJob]:
        """Take so many jobs from the models that are left; fewer where there are no more."""
        most, left = self.most, iter(model_ids)
        parts = iter(lambda: tuple(islice(left, most)), ())
        return [MintJob(part) for part in islice(parts, count)]

    def note_made(self) -> None:
        """Note that the API made a token for several models."""
        self._made += 1

    def instead(self, job: MintJob, error: PMEError | None = None) -> list[MintJob]:
        """Return the jobs to try in place of one for several models.

        One bad model among them fails alone in the end.

        :param error: why no token was made; ``None`` where one was made that cannot be used.
        """
        self._refused += 1
        refuses_all = not self._made and self._refused >= _MAX_REFUSALS and len(job.models) == 2
        if isinstance(error, PMESharedTokenError) or refuses_all:
            self._stop()
            return [job.of((model_id,)) for model_id in job.models]
        middle = (len(job.models) + 1) // 2
        return [job.of(job.models[:middle]), job.of(job.models[middle:])]

    def _stop(self) -> None:
        if self._wanted > 1:
            log.warning(
                "The PME API makes no tokens for several models. Each model gets a link of its own; the API is asked "
                "for shared tokens again in a day."
            )
        self._wanted = 1
        self._client.refuse_shared_tokens()


def can_be_split(job: MintJob, error: PMEError) -> bool:
    """Return whether fewer models may fare better than those of a refused job."""
    return len(job.models) > 1 and error.permanent and not isinstance(error, PMECredentialsError)
