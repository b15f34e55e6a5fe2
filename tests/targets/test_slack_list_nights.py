"""A list of forty spaces through nights of a network that breaks, with two runs at once; and what it costs."""

from __future__ import annotations

import json

import pytest

from pme_airflow.dev.emulator import World
from pme_airflow.lifecycle.services import Services
from tests.conftest import MakeServices
from tests.support.clocks import FakeClock
from tests.support.nights import Nights
from tests.support.places import SlackPlace, slack_place
from tests.support.rooms import known_spaces, mint, publish
from tests.support.scale import scaled

pytestmark = pytest.mark.timeout(scaled(300, 3000))
SPACES = 40


@pytest.fixture
def clock(world: World) -> FakeClock:
    made = FakeClock()
    world.freeze_clock(made.now())
    return made


@pytest.fixture
def services(make_services: MakeServices, clock: FakeClock) -> Services:
    return make_services(clock)


@pytest.mark.parametrize("runs", [1, 2])
def test_forty_spaces_in_a_list(services: Services, clock: FakeClock, world: World, runs: int) -> None:
    with slack_place() as place:
        place.layout = "list"
        nights = Nights(place, services, clock, world, known_spaces(world, SPACES), runs)
        nights.go(scaled(2, 30))
        lists = [m for m in place.channel.messages.values() if "Private spaces" in json.dumps(m)]
        assert 1 <= len(lists) <= 3
        nights.clear()
        assert [message["text"] for message in place.channel.messages.values()] == ["hello"]
        assert sum(place.proxy.struck.values()) > 0


def test_a_list_costs_at_most_a_twentieth_of_the_calls(services: Services, world: World) -> None:
    nights, calls = scaled(3, 40), {}
    models = known_spaces(world, SPACES)
    for layout in ("message", "list"):
        with slack_place() as place:
            place.layout = layout
            _go(place, services, f"{layout}-", nights, models)
            calls[layout] = len(place.channel.calls)
    assert calls["list"] <= calls["message"] / 20


def _go(place: SlackPlace, services: Services, prefix: str, nights: int, models: list[str]) -> None:
    for night in range(nights):
        items = mint(services, f"{prefix}{night}", models).items
        assert list(publish(services, f"{prefix}{night}", place.target(), items).failed) == []
