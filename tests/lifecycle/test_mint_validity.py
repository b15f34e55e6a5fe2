"""An API that gives less than was requested is noticed, and links are renewed by what it gave."""

from __future__ import annotations

import logging
from datetime import timedelta

import pytest

from pme_airflow.dev.emulator import World
from pme_airflow.ledger.links import given_share
from pme_airflow.lifecycle.mint import given_validity
from pme_airflow.lifecycle.services import Services
from tests.conftest import MODELS, MakeServices
from tests.support.clocks import FakeClock
from tests.support.rooms import demand, mint

ALL = list(MODELS)[:3]
HALF = timedelta(hours=12)
HOUR = timedelta(hours=1)


@pytest.fixture
def clock(world: World) -> FakeClock:
    made = FakeClock()
    world.freeze_clock(made.now())
    return made


@pytest.fixture
def services(make_services: MakeServices, clock: FakeClock) -> Services:
    return make_services(clock)


def clamp(world: World, seconds: int) -> None:
    """Let the API give no more than so many seconds."""
    issue = world.issue
    world.issue = lambda model_id, asked: issue(model_id, min(asked, seconds))  # type: ignore[method-assign]


def pass_time(world: World, clock: FakeClock, seconds: float) -> None:
    clock.advance(seconds)
    world.move_clock(seconds)


def keep(services: Services, run: str) -> int:
    """Let the keeper run, and return how many links it minted."""
    return mint(services, run, ALL, demand(renew_before=HALF)).minted


def test_a_keeper_mints_once_and_renews_at_half_of_what_was_given(
    services: Services, world: World, clock: FakeClock
) -> None:
    clamp(world, 3600)
    assert keep(services, "first") == 3
    assert keep(services, "second") == 0
    pass_time(world, clock, 1790)
    assert keep(services, "third") == 0
    pass_time(world, clock, 20)
    assert keep(services, "fourth") == 3
    assert world.counts["minted"] == 6


def test_a_retry_of_a_nightly_run_finds_its_own_links(services: Services, world: World, clock: FakeClock) -> None:
    clamp(world, 3600)
    assert mint(services, "monday", ALL).minted == 3
    assert mint(services, "monday", ALL).reused == 3
    pass_time(world, clock, 2650)
    assert mint(services, "monday", ALL).reused == 3
    pass_time(world, clock, 100)
    assert mint(services, "monday", ALL).minted == 3


def test_the_clamp_is_reported_once_a_run(services: Services, world: World, caplog: pytest.LogCaptureFixture) -> None:
    clamp(world, 3600)
    with caplog.at_level(logging.WARNING):
        result = mint(services, "first", ALL)
    assert result.given_validity is not None
    assert abs(result.given_validity - HOUR) < timedelta(seconds=2)
    assert sum("instead of" in record.message for record in caplog.records) == 1
    known = given_validity(services, "intranet")
    assert known is not None
    assert abs(known - HOUR) < timedelta(seconds=2)


def test_an_api_that_gives_what_was_requested_is_not_reported(services: Services) -> None:
    assert mint(services, "first", ALL).given_validity is None
    assert given_validity(services, "intranet") is None
    assert given_validity(services, "nobody") is None


def test_a_short_link_that_was_requested_so_is_no_clamp(services: Services) -> None:
    mint(services, "first", ALL, demand("1h"))
    assert keep(services, "keeper") == 3


@pytest.mark.parametrize(
    ("given", "share"), [(24.0, 1.0), (30.0, 1.0), (22.8, 1.0), (22.79, 0.9496), (12.0, 0.5), (0.0, 0.0), (-1.0, 0.0)]
)
def test_the_share_is_one_unless_it_is_clearly_less(given: float, share: float) -> None:
    assert given_share(timedelta(hours=24), timedelta(hours=given)) == pytest.approx(share, abs=0.0001)
