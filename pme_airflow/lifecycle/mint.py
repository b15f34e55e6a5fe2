"""Minting: make sure that every model has a link for an audience."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from pme_airflow.durations import SHORT_VALIDITY, Validity
from pme_airflow.errors import PMEError, PMEInputError
from pme_airflow.ledger import audience_models, lookup, mint_requests
from pme_airflow.ledger.mint_requests import Demand
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.lifecycle.account_models import ModelQuery, list_models
from pme_airflow.lifecycle.mint_result import MintFailure, MintResult, MintTally
from pme_airflow.lifecycle.mint_worker import MAX_LOST_RESPONSES, mint_missing
from pme_airflow.lifecycle.services import Services

__all__ = ["MAX_LOST_RESPONSES", "MintFailure", "MintLinksRequest", "MintResult", "given_validity", "mint_links"]

log = logging.getLogger(__name__)

#: Stands for the model in a failure that concerns the account's list of models.
ALL_MODELS = "*"
#: How many models are looked up in one read.
_LOOKUP_SIZE = 500


@dataclass(frozen=True)
class MintLinksRequest:
    """Which models need a link, for whom and how long.

    :param models: ids of models, or a query for what the account lists.
    :param audience: who the links are for.
    :param validity: the validity that new links are requested with.
    :param renew_before: a link with at least this left is reused; ``None`` renews all. Where the API gives less than
        was requested, it is scaled to what was given.
    :param viewer: the fingerprint of the viewer whose own links they are; ``None`` for links of the whole audience.
    :param models_per_token: how many models may share a token; 1 for a link for each.
    :raises PMEInputError: if ``renew_before`` is not less than the validity.
    """

    models: Sequence[str] | ModelQuery
    audience: str
    validity: Validity
    renew_before: timedelta | None = None
    viewer: str | None = None
    models_per_token: int = 1

    def __post_init__(self) -> None:
        if self.renew_before is not None and self.renew_before >= self.validity.duration:
            raise PMEInputError(
                f"renew_before: {self.renew_before} is not less than valid_for ({self.validity}), so every run would "
                "mint anew. Give less, for instance half of it, or leave it out to renew all."
            )


def mint_links(services: Services, run_context: RunContext, request: MintLinksRequest) -> MintResult:
    """Make sure that each model has a link: reuse those with enough time left, and mint the rest.

    One bad model does not stop the others: it is in the result's failures. Where the models are those of a query, and
    no known one needs a link, the account is not asked for its list.

    :raises PMECredentialsError: if the credentials are refused.
    :raises LedgerUnavailableError: if the ledger cannot be written; nothing is sent that is not recorded.
    :raises PMEInputError: if the query finds no model.
    """
    services.database.prepare()
    if request.validity.is_short and request.viewer is None:
        log.warning("valid_for: %s. %s", request.validity, SHORT_VALIDITY)
    demand = Demand(services.client.client_id, request.audience, request.validity, request.renew_before, request.viewer)
    if not isinstance(request.models, ModelQuery):
        return _mint_models(services, run_context, demand, request.models, request.models_per_token)
    listing = audience_models.Listing(demand.client_id, demand.audience, request.models.query, request.models.exclude)
    with services.database.read() as tx:
        known = audience_models.known_models(tx, listing, services.server_now())
    wanted = request.models.without_excluded(known)
    tally = _reusable(services, demand, wanted)
    if wanted and tally.reused == len(wanted):
        return tally.result(services.database, demand.audience)
    listed = list_models(services, run_context, demand.audience, request.models)
    return _mint_models(services, run_context, demand, listed.models, request.models_per_token, listed.problem)


def _mint_models(
    services: Services,
    run_context: RunContext,
    demand: Demand,
    models: Sequence[str],
    models_per_token: int,
    problem: PMEError | None = None,
) -> MintResult:
    wanted = list(dict.fromkeys(models))
    tally = _reusable(services, demand, wanted)
    missing = [model_id for model_id in wanted if model_id not in tally]
    if missing:
        services.learn_server_time()
        mint_missing(services, run_context, demand, missing, tally, models_per_token)
    if problem is not None:
        tally.fail(ALL_MODELS, problem)
    return tally.result(services.database, demand.audience)


def _reusable(services: Services, demand: Demand, model_ids: Sequence[str]) -> MintTally:
    """Find the links that have enough time left however wrong this worker's clock is, without a request or a write."""
    tally = MintTally(model_ids)
    if demand.renew_before is None:
        return tally
    for start in range(0, len(model_ids), _LOOKUP_SIZE):
        part = model_ids[start : start + _LOOKUP_SIZE]
        with services.database.read() as tx:
            rows = mint_requests.look(tx, demand, part, services.server_time_upper_bound(), services.can_open)
        for model_id, row in rows.items():
            tally.add(model_id, row)
        tally.reused += len(rows)
    return tally


def given_validity(services: Services, audience: str) -> timedelta | None:
    """Return how long the newest link of an audience lives if the API gave less than was requested; else ``None``."""
    with services.database.read() as tx:
        row = lookup.newest_minted(tx, services.client.client_id, audience)
    if row is None or row.minted_at is None or row.given_share == 1.0:
        return None
    return row.valid_until - row.minted_at
