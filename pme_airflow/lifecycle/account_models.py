"""The models of an account: listing them, and noting which ones it has stopped listing."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass

from pme_airflow.errors import PMEInputError, PMEUnavailableError
from pme_airflow.ledger import audience_models
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.lifecycle.services import Services

__all__ = ["ModelQuery", "list_models"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ModelQuery:
    """The models that an account lists.

    :param query: what the API is queried for; ``*`` for all.
    :param exclude: ids of models to leave out.
    """

    query: str
    exclude: frozenset[str] = frozenset()

    def without_excluded(self, model_ids: Iterable[str]) -> list[str]:
        """Return models without those that are excluded, each once."""
        return [model_id for model_id in dict.fromkeys(model_ids) if model_id not in self.exclude]


def list_models(services: Services, run_context: RunContext, audience: str, query: ModelQuery) -> list[str]:
    """Return the models the account lists; if the API is unavailable, those that the ledger knows.

    Models that the account has stopped listing are noted, so that transfers clear their slots.

    :raises PMEInputError: if the query finds no model.
    """
    services.database.prepare()
    listing = audience_models.Listing(services.client.client_id, audience, query.query, query.exclude)
    try:
        listed = [model.model_id for model in services.client.models(query.query)]
    except PMEUnavailableError as error:
        with services.database.read() as tx:
            known = audience_models.known_models(tx, listing, services.server_now())
        if not known:
            raise
        log.warning("The account's models cannot be listed (%s); the %d known ones are used.", error, len(known))
        return query.without_excluded(known)
    wanted = query.without_excluded(listed)
    if not wanted:
        raise PMEInputError("models: the query found no model of the account. Widen it.")
    with services.database.write(run_context) as tx:
        gone = audience_models.record_listing(tx, listing, wanted)
    if gone:
        log.warning("The account has stopped listing %s. Their slots are cleared.", ", ".join(gone))
    return wanted
