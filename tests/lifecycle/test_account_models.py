"""The models of an account: what is listed, what is known while it cannot be, and what has left it."""

from __future__ import annotations

import logging

import pytest

from pme_airflow.api.messages import Model
from pme_airflow.dev.emulator import World
from pme_airflow.errors import PMEInputError, PMEUnavailableError
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.lifecycle.account_models import AccountModels, ModelQuery, list_models
from pme_airflow.lifecycle.mint import ALL_MODELS
from pme_airflow.lifecycle.publish import Publisher
from pme_airflow.lifecycle.services import Services
from tests.conftest import MODELS, MakeServices
from tests.lifecycle.conftest import SHARED_MODELS
from tests.support.rooms import Shelf, mint

ALL = list(MODELS)


EVERYTHING = ModelQuery("*")


def listed(services: Services, query: ModelQuery = EVERYTHING, dag: str = "dag") -> AccountModels:
    return list_models(services, RunContext.of_task(dag, "monday", "list"), "intranet", query)


def lists(services: Services, models: list[str]) -> None:
    """Let the account list these models from now on."""
    services.client.models = lambda _: iter(map(Model, models))  # type: ignore[assignment,method-assign,return-value]


def test_the_models_of_a_query_are_listed_without_those_excluded(services: Services) -> None:
    assert listed(services).models == ALL
    assert listed(services, ModelQuery("*", frozenset(ALL[:2]))).models == ALL[2:]


def test_a_query_that_finds_nothing_is_refused(services: Services) -> None:
    with pytest.raises(PMEInputError, match="Widen"):
        listed(services, ModelQuery("*", frozenset(ALL)))


def test_while_the_account_cannot_be_listed_the_known_models_are_used(
    services: Services, make_services: MakeServices, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    query = ModelQuery("*", frozenset(ALL[:1]))
    listed(services, query)
    world.down = True
    with caplog.at_level(logging.WARNING):
        assert listed(make_services(deadline=0.5), query).models == sorted(ALL[1:])
    assert "cannot be listed" in caplog.text


def test_without_known_models_the_error_is_raised(make_services: MakeServices, world: World) -> None:
    world.down = True
    with pytest.raises(PMEUnavailableError):
        listed(make_services(deadline=0.5))


def test_a_model_that_left_the_account_is_cleared(services: Services) -> None:
    shelf = Shelf()
    listed(services)
    Publisher(services, RunContext.of_task("dag", "monday", "publish"), shelf).publish(mint(services, "x", ALL).items)
    lists(services, ALL[:38])
    assert listed(services).models == ALL[:38]
    publisher = Publisher(services, RunContext.of_task("dag", "tuesday", "publish"), shelf)
    publisher.publish(mint(services, "y", ALL[:38]).items)
    assert publisher.retire_delisted("intranet").removed.total == 2
    assert set(shelf.shown) == set(ALL[:38])


def test_a_list_that_lost_more_than_half_clears_nothing_and_is_reported(
    services: Services, caplog: pytest.LogCaptureFixture
) -> None:
    listed(services)
    lists(services, ALL[:19])
    with caplog.at_level(logging.ERROR):
        found = listed(services)
    assert set(found.models) == set(ALL)
    assert "21 of 40 models" in str(found.problem)
    assert "allow_clearing" in caplog.text
    assert set(listed(services).models) == set(ALL)
    assert listed(services, ModelQuery("*", allow_clearing=True)).models == ALL[:19]
    assert listed(services) == AccountModels(ALL[:19])


def test_half_of_a_list_may_go(services: Services) -> None:
    listed(services)
    lists(services, ALL[:20])
    assert listed(services) == AccountModels(ALL[:20])


def test_models_that_are_excluded_on_purpose_are_not_missing(services: Services) -> None:
    listed(services)
    assert listed(services, ModelQuery("*", frozenset(ALL[5:]))) == AccountModels(ALL[:5])


def test_the_links_of_a_doubtful_list_are_minted_and_the_run_fails(services: Services) -> None:
    mint(services, "monday", EVERYTHING)
    lists(services, ALL[:1])
    result = mint(services, "wednesday", EVERYTHING)
    assert result.links == len(ALL)
    (failure,) = result.failures
    assert (failure.model_id, failure.permanent) == (ALL_MODELS, True)
    assert not result.promise_kept


def test_another_query_of_the_audience_keeps_its_models(services: Services) -> None:
    shelf = Shelf()
    listed(services)
    Publisher(services, RunContext.of_task("dag", "monday", "publish"), shelf).publish(mint(services, "x", ALL).items)
    lists(services, [ALL[1]])
    assert listed(services, ModelQuery("Space 1"), dag="other") == AccountModels([ALL[1]])
    publisher = Publisher(services, RunContext.of_task("other", "monday", "publish"), shelf)
    publisher.publish(mint(services, "z", [ALL[1]]).items)
    assert publisher.retire_delisted("intranet").removed.total == 0
    assert set(shelf.shown) == set(ALL)


@pytest.mark.parametrize(("gone", "cut"), [(20, False), (21, True)])
def test_twenty_models_that_left_are_named(
    shared_services: Services, caplog: pytest.LogCaptureFixture, gone: int, cut: bool
) -> None:
    services, models = shared_services, SHARED_MODELS[:50]
    lists(services, models)
    listed(services)
    publisher = Publisher(services, RunContext.of_task("dag", "monday", "publish"), Shelf())
    publisher.publish(mint(services, "x", models).items)
    lists(services, models[gone:])
    with caplog.at_level(logging.WARNING):
        assert listed(services) == AccountModels(models[gone:])
    (line,) = [record.message for record in caplog.records if "stopped listing" in record.message]
    names = ", ".join(models[:20]) + (", …" if cut else "")
    assert line == f"The account has stopped listing {gone} models, whose slots are cleared: {names}."
