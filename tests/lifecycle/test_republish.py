"""Slots are put once more with the link that they show: nothing is minted, retired or left dark."""

from __future__ import annotations

from pme_airflow.dev.emulator import World
from pme_airflow.errors import SlotError
from pme_airflow.ledger import flags
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.lifecycle.republish import republish, slots_to_republish
from pme_airflow.lifecycle.services import Services
from tests.conftest import MODELS
from tests.lifecycle.conftest import SHARED_MODELS
from tests.support.rooms import Shelf, mint, publish, sweep

ONE, TWO = list(MODELS)[:2]
RUN = RunContext("cli/test/move/1")


def test_the_same_links_are_put_again_and_none_is_retired(services: Services, world: World) -> None:
    shelf = Shelf()
    publish(services, "monday", shelf, mint(services, "monday", [ONE, TWO]).items)
    before = dict(shelf.shown)
    slots = slots_to_republish(services, shelf, "intranet", lambda shown: shown.model_id == ONE)
    assert [slot.slot for slot in slots] == [ONE]
    result = republish(services, RUN, shelf, slots)
    assert [entry["slot"] for entry in result.published] == [ONE]
    assert shelf.puts == [ONE, TWO, ONE]
    assert shelf.shown == before
    sweep(services)
    assert len(world.alive()) == 2


def test_a_slot_that_fails_is_put_by_the_next_run(services: Services) -> None:
    shelf = Shelf()
    items = mint(services, "monday", [ONE]).items
    publish(services, "monday", shelf, items)
    shelf.broken = {ONE}
    slots = slots_to_republish(services, shelf, "intranet", lambda shown: True)
    assert republish(services, RUN, shelf, slots).failed[0]["reason"] == "it is broken"
    shelf.broken = set()
    assert [entry["slot"] for entry in publish(services, "keeper", shelf, items).published] == [ONE]


def test_slots_that_the_target_has_no_more_are_left_alone(services: Services) -> None:
    shelf = Shelf()
    publish(services, "monday", shelf, mint(services, "monday", [ONE]).items)
    shelf.slots = lambda item: []  # type: ignore[method-assign]
    assert slots_to_republish(services, shelf, "intranet", lambda shown: True) == []
    assert slots_to_republish(services, Shelf("other"), "intranet", lambda shown: True) == []


def test_a_slot_whose_link_leaked_is_left_to_the_next_run(shared_services: Services) -> None:
    services, shelf = shared_services, Shelf()
    one, two = mint(services, "monday", SHARED_MODELS[:2]).items
    publish(services, "monday", shelf, [one, two])
    slots = slots_to_republish(services, shelf, "intranet", lambda shown: True)
    with services.database.write(RUN) as tx:
        flags.flag(tx, "leaked", link_ids=[one["link_id"]])
    result = republish(services, RUN, shelf, slots)
    assert [entry["link_id"] for entry in result.published] == [two["link_id"]]
    assert shelf.puts == [*SHARED_MODELS[:2], SHARED_MODELS[1]]
    assert result.failed.total == 0


def test_a_model_that_the_target_refuses_has_no_slot(shared_services: Services) -> None:
    services, shelf = shared_services, Shelf()
    publish(services, "monday", shelf, mint(services, "monday", SHARED_MODELS[:1]).items)

    def refused(item: object) -> list[str]:
        raise SlotError("no page for this model")

    shelf.slots = refused  # type: ignore[method-assign]
    assert slots_to_republish(services, shelf, "intranet", lambda shown: True) == []
