"""What the base does for every target is needed: each broken copy of it fails the shared nights at a difficult place."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from unittest import mock

import pytest

from pme_airflow.dev.emulator import World
from pme_airflow.errors import SlotError
from pme_airflow.ledger import claims, keys, publications
from pme_airflow.lifecycle.publish import Publisher
from pme_airflow.lifecycle.target_calls import TargetCalls
from pme_airflow.targets.base import ShownLink, Target
from tests.conftest import MODELS, MakeServices
from tests.support.clocks import FakeClock
from tests.support.nights import Nights, Place

NIGHTS = 12
TWO = list(MODELS)[:2]


class Desk(Place, Target):
    """A place in memory that breaks, now and then confirms and does nothing, and keeps every old link in a drawer."""

    keeps_old = True

    def __init__(self) -> None:
        self.name = "desk"
        self.pages: dict[str, str] = {}
        self.drawer: list[str] = []
        self.rate = 0.0
        self.random = random.Random(5)

    def target(self) -> Target:
        return self

    def shown(self, model_id: str) -> str:
        return self.pages.get(model_id, "")

    def everything(self) -> str:
        return " ".join([*self.pages.values(), *self.drawer])

    def break_it(self, rates: dict[str, float]) -> None:
        self.rate = sum(rates.values())

    def put(self, slot: str, link: ShownLink, previous: Mapping[str, Any]) -> dict[str, Any]:
        self._maybe_break()
        if self.random.random() > self.rate and self.pages.get(slot) != link.token.reveal():
            self.drawer.append(self.pages.get(slot, ""))
            self.pages[slot] = link.token.reveal()
        self._maybe_break()
        return {"left_behind": True}

    def read_back(self, slot: str, link: ShownLink, details: Mapping[str, Any]) -> None:
        if self.pages.get(slot) != link.token.reveal():
            raise SlotError("it does not show the link", passing=True)

    def take_away(self, slot: str, details: Mapping[str, Any]) -> dict[str, Any]:
        self.drawer.append(self.pages.pop(slot, ""))
        return {"left_behind": True}

    def _maybe_break(self) -> None:
        if self.random.random() < self.rate:
            raise SlotError("broken by the test", passing=True)


def go(make_services: MakeServices, world: World) -> None:
    clock = FakeClock()
    world.freeze_clock(clock.now())
    nights = Nights(Desk(), make_services(clock), clock, world, TWO)
    nights.go(NIGHTS)
    nights.clear()


def test_the_base_keeps_its_promises_at_a_difficult_place(make_services: MakeServices, world: World) -> None:
    go(make_services, world)


@contextmanager
def _no_read_back() -> Iterator[None]:
    with mock.patch.object(Desk, "read_back", return_value=None):
        yield


@contextmanager
def _recorded_before_it_is_put() -> Iterator[None]:
    whole = Publisher._put

    def early(self: Publisher, slot: str, item: Mapping[str, Any], previous: Any) -> dict[str, Any]:
        database, target = self._services.database, self._target.name
        shown = publications.Shown(slot, str(item["link_id"]), {}, timedelta(0))
        with database.write(self._run_context) as tx:
            publications.publish(tx, target, [shown])
            claims.take(tx, [keys.slot_claim(target, slot)])
        return whole(self, slot, item, previous)

    with mock.patch.object(Publisher, "_put", early):
        yield


@contextmanager
def _old_links_are_given_grace_where_they_are_left_behind() -> Iterator[None]:
    with mock.patch.object(Publisher, "_grace", lambda self, _: self._services.grace):
        yield


@contextmanager
def _a_failure_is_taken_for_success() -> Iterator[None]:
    with mock.patch.object(TargetCalls, "call", lambda self, call: _whatever(call)):
        yield


def _whatever(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except SlotError:
        return {"left_behind": True}


@pytest.mark.parametrize(
    "mutant",
    [
        _no_read_back,
        _recorded_before_it_is_put,
        _old_links_are_given_grace_where_they_are_left_behind,
        _a_failure_is_taken_for_success,
    ],
)
def test_a_broken_base_is_caught(make_services: MakeServices, world: World, mutant: Any) -> None:
    with mutant(), pytest.raises(AssertionError):
        go(make_services, world)
