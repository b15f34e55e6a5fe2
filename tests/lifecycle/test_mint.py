"""A mint reuses what it may, asks the account for its list only where a model needs a link, and warns of short links."""

from __future__ import annotations

import logging
from datetime import timedelta

import pytest

from pme_airflow.dev.emulator import World
from pme_airflow.durations import Validity
from pme_airflow.errors import PMEInputError
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.lifecycle.account_models import ModelQuery
from pme_airflow.lifecycle.mint import MintLinksRequest, mint_links
from pme_airflow.lifecycle.services import Services
from tests.lifecycle.conftest import SHARED_MODELS
from tests.support.rooms import CLIENT, demand, mint, rows

MODELS = SHARED_MODELS[:3]
HALF_DAY = timedelta(hours=12)
DAY = Validity.parse("24h")
RUN = RunContext.of_task("dag", "monday", "mint")


def no_list(*_: object) -> object:
    raise AssertionError("the account was asked for its list")


def test_links_that_would_be_renewed_at_once_are_refused() -> None:
    for renew_before in (timedelta(hours=24), timedelta(hours=25)):
        with pytest.raises(PMEInputError, match=r"renew_before: .* is not less than valid_for"):
            MintLinksRequest(MODELS, "intranet", DAY, renew_before)
    request = MintLinksRequest(MODELS, "intranet", DAY, timedelta(hours=23, minutes=59))
    assert (request.models_per_token, request.viewer) == (1, None)


def test_links_with_enough_time_left_are_reused_without_a_request_or_a_write(
    shared_services: Services, shared_world: World
) -> None:
    services = shared_services
    first = mint(services, "monday", MODELS)
    assert (first.minted, first.reused, first.links) == (3, 0, 3)
    services.client.mint = services.client.sync_clock = no_list  # type: ignore[assignment,method-assign]
    again = mint(services, "keeper", [*MODELS, MODELS[0]], demand(renew_before=HALF_DAY))
    assert (again.minted, again.reused, again.links) == (0, 3, 3)
    assert again.items == first.items
    assert shared_world.counts["minted"] == 3


def test_a_model_without_a_link_is_minted_beside_those_that_are_reused(shared_services: Services) -> None:
    mint(shared_services, "monday", MODELS[:2])
    found = mint(shared_services, "keeper", MODELS, demand(renew_before=HALF_DAY))
    assert (found.minted, found.reused, found.links) == (1, 2, 3)
    assert [item["model_id"] for item in found.items] == MODELS


def test_the_account_is_not_listed_while_no_known_model_needs_a_link(shared_services: Services) -> None:
    services = shared_services
    query = ModelQuery("*", frozenset(SHARED_MODELS[3:]))
    mint(services, "monday", query)
    listing, services.client.models = services.client.models, no_list  # type: ignore[assignment,method-assign]
    kept = mint(services, "keeper", query, demand(renew_before=HALF_DAY))
    assert (kept.minted, kept.reused, [item["model_id"] for item in kept.items]) == (0, 3, MODELS)
    with pytest.raises(AssertionError, match="asked for its list"):
        mint(services, "nightly", query)
    with pytest.raises(AssertionError, match="asked for its list"):  # nothing is known of this audience
        mint(services, "keeper", query, demand(renew_before=HALF_DAY, audience="portal"))
    services.client.models = listing  # type: ignore[method-assign]
    assert mint(services, "keeper", query, demand(renew_before=HALF_DAY, audience="portal")).minted == 3


def test_the_servers_time_is_learned_before_anything_is_minted(shared_services: Services) -> None:
    services = shared_services
    known: list[bool] = []
    send = services.client.mint

    def noting(requests: object) -> object:
        known.append(services.client.server_clock.known)
        return send(requests)  # type: ignore[arg-type]

    services.client.mint = noting  # type: ignore[assignment,method-assign]
    mint(services, "monday", MODELS)
    assert known == [True]


@pytest.mark.parametrize(
    ("seconds", "viewer", "warned"), [(29, None, True), (30, None, False), (29, "sha256:viewer", False)]
)
def test_links_too_short_for_showcase_are_warned_of_unless_a_viewer_asks(
    shared_services: Services, caplog: pytest.LogCaptureFixture, seconds: int, viewer: str | None, warned: bool
) -> None:
    request = MintLinksRequest(MODELS[:1], "intranet", Validity(seconds), viewer=viewer)
    with caplog.at_level(logging.WARNING):
        assert mint_links(shared_services, RUN, request).links == 1
    assert any("Showcase needs time to start" in record.message for record in caplog.records) is warned
    (row,) = rows(shared_services)
    assert (row.viewer, row.client_id, row.valid_for) == (viewer, CLIENT, seconds)
