"""Slots of models that the account stopped listing are cleared, and never on a delisting that is out of date."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pme_airflow.api.messages import Model
from pme_airflow.dev.emulator import World
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.lifecycle.account_models import ModelQuery, list_models
from pme_airflow.lifecycle.publish import Publisher
from pme_airflow.lifecycle.services import Services
from tests.conftest import MODELS, SECRET
from tests.support.clocks import FakeClock
from tests.support.rooms import Shelf, mint, services_at

ONE, TWO, THREE, FOUR = ALL = list(MODELS)[:4]


@pytest.fixture
def clock(world: World) -> FakeClock:
    return FakeClock(world.now())


@pytest.fixture
def services(address: str, tmp_path: Path, clock: FakeClock) -> Iterator[Services]:
    made = services_at(address, f"sqlite:///{tmp_path}/ledger.db", SECRET, clock)
    made.database.prepare()
    yield made
    made.client.close()


def listed(services: Services, models: list[str]) -> None:
    """Let the account list these models, and list them."""
    services.client.models = lambda _: iter(map(Model, models))  # type: ignore[assignment,method-assign,return-value]
    list_models(services, RunContext.of_task("dag", "monday", "list"), "intranet", ModelQuery("*"))


def published(services: Services, shelf: Shelf, run: str, models: list[str]) -> Publisher:
    """Publish models' links, as a task of a run; return its publisher."""
    publisher = Publisher(services, RunContext.of_task("dag", run, "publish"), shelf)
    publisher.publish(mint(services, run, models).items)
    return publisher


def test_what_the_account_stopped_listing_is_cleared(services: Services, clock: FakeClock) -> None:
    shelf, other = Shelf(), Shelf("other")
    listed(services, ALL)
    published(services, shelf, "monday", ALL)
    publisher = published(services, other, "monday", ALL[1:])
    clock.advance(60)
    listed(services, ALL[1:])
    assert publisher.retire_delisted("intranet").removed.total == 0  # it does not show that model
    publisher = published(services, shelf, "tuesday", ALL[1:])
    assert [slot["slot"] for slot in publisher.retire_delisted("intranet").removed] == [ONE]
    assert set(shelf.shown) == set(ALL[1:])


def test_what_was_published_after_its_delisting_stays(services: Services, clock: FakeClock) -> None:
    shelf = Shelf()
    listed(services, ALL)
    published(services, shelf, "monday", ALL)
    clock.advance(60)
    listed(services, ALL[1:])
    clock.advance(60)
    listed(services, ALL)
    published(services, shelf, "tuesday", [ONE])  # another batch than the one that clears
    publisher = published(services, shelf, "tuesday", [TWO])  # the others are still those of monday
    assert publisher.retire_delisted("intranet").removed.total == 0
    assert set(shelf.shown) == set(ALL)


def test_what_has_an_item_just_now_stays_whatever_was_noted_before(services: Services, clock: FakeClock) -> None:
    shelf = Shelf()
    listed(services, ALL)
    published(services, shelf, "monday", ALL)
    items = mint(services, "tuesday", ALL).items
    publisher = Publisher(services, RunContext.of_task("dag", "tuesday", "publish"), shelf)
    publisher.publish(items)
    clock.advance(60)
    listed(services, ALL[1:])
    again = Publisher(services, RunContext.of_task("dag", "tuesday", "publish"), shelf)
    again.publish(items)  # a retry, whose slots show their links already
    assert again.retire_delisted("intranet").removed.total == 0
    assert set(shelf.shown) == set(ALL)


def test_another_audiences_slots_are_left_alone(services: Services, clock: FakeClock) -> None:
    shelf = Shelf()
    listed(services, ALL)
    publisher = published(services, shelf, "monday", ALL)
    clock.advance(60)
    listed(services, ALL[1:])
    assert publisher.retire_delisted("brokers").removed.total == 0
    assert set(shelf.shown) == set(ALL)


def test_a_model_that_was_found_missing_before_others_were_published_is_cleared(
    services: Services, clock: FakeClock
) -> None:
    shelf = Shelf()
    listed(services, ALL)
    published(services, shelf, "monday", ALL)
    clock.advance(60)
    listed(services, ALL[1:])
    clock.advance(60)
    publisher = published(services, shelf, "tuesday", [TWO])
    assert [slot["slot"] for slot in publisher.retire_delisted("intranet").removed] == [ONE]
