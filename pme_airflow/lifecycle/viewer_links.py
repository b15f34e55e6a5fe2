"""A link of a single viewer: short-lived, minted when it is asked for, reused while half of it is left."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pme_airflow.durations import Validity
from pme_airflow.errors import PMEModelError, PMEUnavailableError
from pme_airflow.ledger import mint_requests
from pme_airflow.ledger.keys import viewer_audience
from pme_airflow.ledger.links import item_of
from pme_airflow.ledger.mint_requests import Demand
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.lifecycle.mint import MintLinksRequest, mint_links
from pme_airflow.lifecycle.services import Services

__all__ = ["ViewerLinkRequest", "mint_for_viewer", "reusable_for_viewer"]


@dataclass(frozen=True)
class ViewerLinkRequest:
    """One viewer's link of one model.

    :param model_id: the model.
    :param audience: the audience that the viewer belongs to.
    :param viewer: the viewer's name. The ledger gets its keyed fingerprint alone.
    :param validity: how long a new link is to live.
    """

    model_id: str
    audience: str
    viewer: str
    validity: Validity

    def demand(self, services: Services) -> Demand:
        """Return what the ledger is asked for."""
        fingerprint = services.sealer.viewer_fingerprints(self.viewer)[0]
        audience = viewer_audience(self.audience)
        return Demand(services.client.client_id, audience, self.validity, self.validity.duration / 2, fingerprint)


def reusable_for_viewer(services: Services, request: ViewerLinkRequest) -> dict[str, Any] | None:
    """Return the item of the viewer's link if at least half of it is left; only reads.

    :raises LedgerError: if the ledger cannot be read.
    """
    services.database.prepare()
    demand = request.demand(services)
    with services.database.read() as tx:
        rows = mint_requests.look(tx, demand, [request.model_id], services.server_time_upper_bound(), services.can_open)
    return item_of(rows[request.model_id], request.model_id) if request.model_id in rows else None


def mint_for_viewer(services: Services, request: ViewerLinkRequest) -> dict[str, Any]:
    """Return the item of a new link, or of one that another process mints for the same viewer meanwhile.

    :raises PMEModelError: if the API refuses the model.
    :raises PMEError: if no link can be had now.
    """
    demand = request.demand(services)
    wanted = MintLinksRequest([request.model_id], demand.audience, demand.validity, demand.renew_before, demand.viewer)
    result = mint_links(services, RunContext(f"refresh/{request.audience}"), wanted)
    if result.items:
        return result.items[0]
    failure = result.failures[0]
    raise (PMEModelError if failure.permanent else PMEUnavailableError)(failure.reason)
