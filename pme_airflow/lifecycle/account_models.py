"""List the models of an account, and record which ones it has stopped listing."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass

from pme_airflow.errors import PMEError, PMEInputError, PMEUnavailableError
from pme_airflow.ledger import audience_models
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.ledger.transaction import WriteTransaction
from pme_airflow.lifecycle.clearing_guard import clearing_refused, too_many
from pme_airflow.lifecycle.services import Services

__all__ = ["AccountModels", "ModelQuery", "list_models"]

_MOST_NAMED = 20

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ModelQuery:
    """The models that an account lists.

    :param query: what the API is queried for; ``*`` for all.
    :param exclude: ids of models to leave out.
    :param allow_clearing: whether more than half of the models may be cleared at once.
    """

    query: str
    exclude: frozenset[str] = frozenset()
    allow_clearing: bool = False

    def without_excluded(self, model_ids: Iterable[str]) -> list[str]:
        """Return models without those that are excluded, each once."""
        return [model_id for model_id in dict.fromkeys(model_ids) if model_id not in self.exclude]


@dataclass(frozen=True)
class AccountModels:
    """The models that a query found.

    :param models: their ids.
    :param problem: what is wrong with what the account lists, if anything is; models that it lists no more are kept.
    """

    models: list[str]
    problem: PMEError | None = None


def list_models(services: Services, run_context: RunContext, audience: str, query: ModelQuery) -> AccountModels:
    """Return the models the account lists; if the API is unavailable, those that the ledger knows.

    Models that the account has stopped listing are recorded, so that transfers clear their slots. If these are more
    than half of what it listed the last time, none is recorded and all are kept, since that is more likely a mistake.

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
        return AccountModels(query.without_excluded(known))
    wanted = query.without_excluded(listed)
    if not wanted:
        raise PMEInputError("models: the query found no model of the account. Widen it.")

    def record(tx: WriteTransaction) -> tuple[audience_models.ListingChange, list[str] | None]:
        change = audience_models.compare_listing(tx, listing, wanted)
        if not query.allow_clearing and too_many(len(change.missing), change.before):
            return change, None
        return change, audience_models.record_listing(tx, listing, wanted)

    change, gone = services.database.run(run_context, record)
    if gone is None:
        problem = clearing_refused(len(change.missing), change.before, f"models of audience {audience}")
        log.error("The account lists only %d models: %s.", len(wanted), problem)
        return AccountModels([*wanted, *sorted(change.missing)], problem)
    if gone:
        shown = ", ".join(gone[:_MOST_NAMED]) + (", …" if len(gone) > _MOST_NAMED else "")
        log.warning("The account has stopped listing %d models, whose slots are cleared: %s.", len(gone), shown)
    return AccountModels(wanted)
