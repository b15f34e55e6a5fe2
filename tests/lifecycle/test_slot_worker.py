"""Slots put several at a time: each is recorded once it is read back, whatever becomes of the others."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import pytest

from pme_airflow.dev.emulator import World
from pme_airflow.ledger import claims, keys, publications
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.lifecycle.publish import Publisher
from pme_airflow.lifecycle.services import Services
from pme_airflow.sealing import OpenedLink
from pme_airflow.targets.base import ShownLink
from tests.conftest import MODELS, MakeServices
from tests.support.clocks import Waiting
from tests.support.rooms import Shelf, demand, mint, publish

HERE = list(MODELS)[:24]


class Wide(Shelf):
    """A shelf that is written by several threads, and counts how many wrote at once."""

    at_once = 4

    def __init__(self) -> None:
        super().__init__()
        self.most = self._now = 0
        self._turn = threading.Lock()
        self._together = threading.Barrier(self.at_once)

    def put(self, slot: str, link: ShownLink, previous: Mapping[str, Any]) -> dict[str, Any]:
        with self._turn:
            self._now += 1
            self.most = max(self.most, self._now)
        self._together.wait(timeout=30)
        details = super().put(slot, link, previous)
        with self._turn:
            self._now -= 1
        return details


def recorded(services: Services) -> dict[str, str]:
    with services.database.read() as tx:
        return {shown.slot: shown.link_id for shown in publications.shown_at(tx, "shelf")}


def test_so_many_are_written_at_once_and_each_is_recorded(services: Services) -> None:
    shelf = Wide()
    items = mint(services, "monday", HERE).items
    outcome = publish(services, "monday", shelf, items)
    assert outcome.published.total == len(HERE)
    assert recorded(services) == {item["model_id"]: item["link_id"] for item in items}
    assert shelf.most == shelf.at_once


def test_broken_slots_stop_no_others(services: Services) -> None:
    shelf = Wide()
    shelf.broken.update(HERE[::3])
    outcome = publish(services, "monday", shelf, mint(services, "monday", HERE).items)
    assert {failed["slot"] for failed in outcome.failed} == set(HERE[::3])
    assert set(recorded(services)) == set(HERE) - set(HERE[::3])


def test_what_was_put_is_recorded_although_the_run_fails(services: Services) -> None:
    shelf = Shelf()
    shelf.at_once = 4
    items = mint(services, "monday", HERE).items

    def opened(item: Mapping[str, Any]) -> OpenedLink:
        if item["model_id"] == HERE[5]:
            raise RuntimeError("out of memory, say")
        return services.open_item(dict(item))

    with pytest.raises(RuntimeError):
        Publisher(services, RunContext("dag/monday/publish/-1"), shelf, opened).publish(items)
    assert set(shelf.shown) == set(recorded(services)) > set()


def test_items_of_one_slot_are_put_in_turn(services: Services, world: World) -> None:
    class Window(Shelf):
        at_once = 4

        def slots(self, item: Mapping[str, Any]) -> list[str]:
            return ["window"]

    window = Window()
    items = mint(services, "monday", HERE[:5]).items
    outcome = publish(services, "monday", window, sorted(items, key=lambda item: str(item["model_id"])))
    assert outcome.published.total + outcome.unchanged.total == 5
    assert len(recorded(services)) == 1
    assert window.shown["window"] in {issued.token for issued in world.alive()}


@pytest.mark.parametrize(("seconds", "waited", "shown"), [(10, 10, True), (50, 50, True), (51, 50, False)])
def test_slot_that_another_run_is_writing_is_waited_for_50_seconds(
    make_services: MakeServices, world: World, seconds: float, waited: float, shown: bool
) -> None:
    clock = Waiting()
    world.freeze_clock(clock.now())
    services = make_services(clock)
    items = mint(services, "monday", HERE[:2]).items
    other, claim = RunContext("other"), [keys.slot_claim("shelf", HERE[0])]
    with services.database.write(other) as tx:
        claims.take(tx, claim)

    before = clock.slept

    def hold_or_release() -> None:
        with services.database.write(other) as tx:
            if clock.slept - before < seconds:
                claims.extend(tx)
            else:
                claims.release(tx, claim)

    clock.meanwhile = hold_or_release
    outcome = publish(services, "monday", Shelf(), items)
    assert clock.slept - before == pytest.approx(waited, abs=0.01)
    assert HERE[1] in recorded(services)
    assert (HERE[0] in recorded(services)) is shown
    if not shown:
        (failed,) = outcome.failed
        assert "another run kept this slot locked" in failed["reason"]
        assert not failed["permanent"]


def test_a_slot_that_another_dag_shows_another_audience_is_left_alone_and_free(services: Services) -> None:
    shelf = Shelf()
    publish(services, "monday", shelf, mint(services, "monday", HERE[:1]).items)
    before, now = dict(shelf.shown), recorded(services)
    items = mint(services, "monday", HERE[:2], demand(audience="brokers")).items
    result = Publisher(services, RunContext.of_task("other_dag", "x", "publish"), shelf).publish(items)
    (failed,) = result.failed
    assert (failed["slot"], "published by DAG dag" in failed["reason"]) == (HERE[0], True)
    assert [entry["slot"] for entry in result.published] == [HERE[1]]
    assert (shelf.shown[HERE[0]], recorded(services)[HERE[0]]) == (before[HERE[0]], now[HERE[0]])
    wanted = [keys.slot_claim("shelf", slot) for slot in HERE[:2]]
    with services.database.write(RunContext("next")) as tx:
        assert claims.take(tx, wanted) == set(wanted)
        claims.release_all(tx)


def test_a_later_link_of_another_audience_is_a_failure_and_not_unchanged(services: Services) -> None:
    """Two audiences in one place by two connections: each would be told that nothing changed."""
    shelf = Shelf()
    older = mint(services, "monday", HERE[:1], demand(audience="brokers")).items
    publish(services, "monday", shelf, mint(services, "monday", HERE[:1]).items)
    run_context = RunContext.of_task("dag", "monday", "publish")
    publisher = Publisher(services, run_context, shelf, audiences=frozenset({"intranet", "brokers"}))
    result = publisher.publish(older)
    (failed,) = result.failed
    assert "to audience intranet, published by DAG dag; give each audience a place of its own" in failed["reason"]
    assert result.unchanged.total == 0
    renamed = Publisher(services, run_context, shelf, audiences=frozenset({"brokers"})).publish(older)
    assert (renamed.failed.total, renamed.unchanged.total) == (0, 1)
