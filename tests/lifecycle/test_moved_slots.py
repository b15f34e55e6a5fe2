"""A model that gets another slot at its target: the former slot is cleared, and its link retired."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from pme_airflow.errors import SlotError
from pme_airflow.ledger import publications
from pme_airflow.ledger.publications import Publication
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.lifecycle.clearing import clear_slots
from pme_airflow.lifecycle.moved_slots import has_slot
from pme_airflow.lifecycle.publish import Publisher
from pme_airflow.lifecycle.publish_result import PublishResult
from pme_airflow.lifecycle.retirement import PlacementSlots
from pme_airflow.lifecycle.services import Services
from tests.conftest import MODELS
from tests.support.rooms import Shelf, demand, mint, publish, rows

ONE, TWO = list(MODELS)[:2]
ALL = list(MODELS)[:6]


class Pages(Shelf):
    """A shelf whose slots are pages."""

    def __init__(self, pages: Mapping[str, int]) -> None:
        super().__init__("site")
        self.pages = dict(pages)
        self.cleared: list[str] = []

    def slots(self, item: Mapping[str, Any]) -> Sequence[str]:
        if item["model_id"] not in self.pages:
            raise SlotError("pages has no entry")
        return [f"pages/{self.pages[item['model_id']]}"]

    def take_away(self, slot: str, details: Mapping[str, Any]) -> None:
        self.cleared.append(slot)
        super().take_away(slot, details)


class Entries(Pages):
    """A site on which a page has a name with a method in it, as an entry of an API has."""

    method = "PATCH"

    def slots(self, item: Mapping[str, Any]) -> Sequence[str]:
        return [f"{self.method} {self.pages[item['model_id']]}"]

    def place(self, publication: Publication) -> str:
        return publication.slot.partition(" ")[2]


def move(
    services: Services,
    site: Shelf,
    items: Sequence[Mapping[str, Any]],
    is_wanted: Callable[[Publication], bool] = lambda _: False,
    dag: str = "dag",
    **how: Any,
) -> PublishResult:
    """Publish, and clear the former slots, as one task of a run would."""
    publisher = Publisher(services, RunContext.of_task(dag, "tuesday", "publish"), site, **how)
    publisher.publish(items)
    return publisher.retire_moved(is_wanted)


def shown(services: Services) -> list[Publication]:
    with services.database.read() as tx:
        return publications.shown_at(tx, "site")


def test_a_slot_that_moved_is_cleared_and_its_link_retired(services: Services) -> None:
    site = Pages({ONE: 42, TWO: 7})
    (old, _) = publish(services, "monday", site, mint(services, "monday", [ONE, TWO]).items).published
    site.pages[ONE] = 43
    result = move(services, site, mint(services, "tuesday", [ONE, TWO]).items)
    assert [entry["slot"] for entry in result.removed] == ["pages/42"]
    assert set(site.shown) == {"pages/43", "pages/7"}
    assert {row.link_id for row in rows(services) if row.retire_at} >= {old["link_id"]}
    assert [entry.slot for entry in shown(services)] == ["pages/43", "pages/7"]


def test_a_slot_whose_link_did_not_change_moves_and_the_link_lives(services: Services) -> None:
    site = Pages({ONE: 42})
    items = mint(services, "monday", [ONE]).items
    publish(services, "monday", site, items)
    site.pages[ONE] = 43
    assert move(services, site, items).removed.total == 1
    assert set(site.shown) == {"pages/43"}
    assert [row.retire_at for row in rows(services)] == [None]


def test_the_former_slot_stays_until_the_new_one_is_written(services: Services) -> None:
    site = Pages({ONE: 42})
    publish(services, "monday", site, mint(services, "monday", [ONE]).items)
    site.pages[ONE], site.broken = 43, {"pages/43"}
    result = move(services, site, mint(services, "tuesday", [ONE]).items)
    assert (result.failed.total, result.removed.total) == (1, 0)
    assert set(site.shown) == {"pages/42"}


def test_a_model_whose_slots_are_not_known_keeps_what_it_shows(services: Services) -> None:
    site = Pages({ONE: 42})
    publish(services, "monday", site, mint(services, "monday", [ONE]).items)
    site.pages = {}
    result = move(services, site, mint(services, "tuesday", [ONE]).items)
    assert (result.failed.total, result.removed.total) == (1, 0)


@pytest.mark.parametrize("other", ["audience", "dag"])
def test_slots_of_others_are_left_alone(services: Services, other: str) -> None:
    site = Pages({ONE: 42})
    theirs = mint(services, "monday", [ONE], demand(audience="brokers" if other == "audience" else "intranet")).items
    move(services, site, theirs, dag="their_dag" if other == "dag" else "dag")
    site.pages[ONE] = 43
    assert move(services, site, mint(services, "tuesday", [ONE]).items).removed.total == 0
    assert set(site.shown) == {"pages/42", "pages/43"}


def test_what_a_named_publisher_showed_is_cleared(services: Services) -> None:
    site = Pages({ONE: 42})
    move(services, site, mint(services, "monday", [ONE]).items, dag="keeper")
    site.pages[ONE] = 43
    move(services, site, mint(services, "tuesday", [ONE]).items, publishers=["keeper"])
    assert set(site.shown) == {"pages/43"}


def test_a_slot_that_another_target_of_the_dag_wants_is_kept(services: Services) -> None:
    pages, posts = Pages({ONE: 42}), Pages({ONE: 7})
    items = mint(services, "monday", [ONE]).items
    publish(services, "monday", pages, items)
    result = move(services, posts, items, lambda publication: has_slot(pages, publication))
    assert result.removed.total == 0
    assert len(shown(services)) == 2


def test_more_than_half_of_the_slots_is_not_cleared_unless_it_is_allowed(services: Services) -> None:
    site = Pages({model: number for number, model in enumerate(ALL)})
    items = mint(services, "monday", ALL).items
    for start in (0, 10):
        site.pages = {model: number for number, model in enumerate(ALL, start)}
        publish(services, "monday", site, items)
    site.pages = {model: number for number, model in enumerate(ALL, 20)}
    result = move(services, site, items)
    assert "12 of 18 slots of audience intranet" in result.failed[0]["reason"]
    assert len(site.shown) == 18
    assert move(services, site, items, allow_clearing=True).removed.total == 12


# ------------------------------------------------------------- one place under two names


def test_a_place_under_another_name_is_not_cleared(services: Services) -> None:
    site = Entries({ONE: 42})
    (old,) = publish(services, "monday", site, mint(services, "monday", [ONE]).items).published
    site.method = "PUT"
    move(services, site, mint(services, "tuesday", [ONE]).items)
    assert site.cleared == []
    assert [entry.slot for entry in shown(services)] == ["PUT 42"]
    assert {row.link_id for row in rows(services) if row.retire_at} == {old["link_id"]}


def test_another_model_at_a_place_under_a_former_name_is_not_erased(services: Services) -> None:
    site = Entries({ONE: 42, TWO: 42})
    publish(services, "monday", site, mint(services, "monday", [ONE]).items)
    site.method = "PUT"
    publisher = Publisher(services, RunContext.of_task("dag", "tuesday", "publish"), site)
    publisher.publish(mint(services, "tuesday", [TWO]).items)
    publisher.retire_others("intranet", [TWO])
    assert site.cleared == []
    assert [entry.slot for entry in shown(services)] == ["PUT 42"]


def test_a_place_whose_names_all_go_is_cleared_once(services: Services) -> None:
    site = Entries({ONE: 42})
    items = mint(services, "monday", [ONE]).items
    for method in ("PATCH", "PUT"):
        site.method = method
        publish(services, "monday", site, items)
    site.method = "POST"
    result = PublishResult("site")
    clear_slots(services, RunContext("dag/x/clear/-1"), site, shown(services), "not wanted", result)
    assert result.removed.total == 2
    assert site.cleared == ["PUT 42"]
    assert shown(services) == []


def test_the_name_that_a_place_has_now_is_cleared(services: Services) -> None:
    site = Entries({ONE: 42})
    items = mint(services, "monday", [ONE]).items
    for method in ("PATCH", "PUT"):
        site.method = method
        publish(services, "monday", site, items)
    current = [entry for entry in shown(services) if entry.slot == "PUT 42"]
    clear_slots(services, RunContext("dag/x/clear/-1"), site, current, "not wanted", PublishResult("site"))
    assert site.cleared == ["PUT 42"]


# ------------------------------------------------------------- what a placement names


def test_a_placement_does_not_name_a_former_slot(services: Services) -> None:
    site = Pages({ONE: 42})
    publish(services, "monday", site, mint(services, "monday", [ONE]).items)
    (publication,) = shown(services)
    placement = PlacementSlots("intranet", frozenset({"site"}), at={"site": (Pages({ONE: 43}), Pages({ONE: 44}))})
    assert not placement.names(publication)
    placement = PlacementSlots("intranet", frozenset({"site"}), at={"site": (Pages({ONE: 43}), Pages({ONE: 42}))})
    assert placement.names(publication)


def test_a_target_that_cannot_name_its_slots_now_may_have_any(services: Services) -> None:
    class Away(Pages):
        def slots(self, item: Mapping[str, Any]) -> Sequence[str]:
            raise SlotError("the workspace does not answer", passing=True)

    class Faulty(Pages):
        def slots(self, item: Mapping[str, Any]) -> Sequence[str]:
            raise KeyError("page")

    publish(services, "monday", Pages({ONE: 42}), mint(services, "monday", [ONE]).items)
    (publication,) = shown(services)
    assert has_slot(Away({}), publication)
    assert has_slot(Faulty({}), publication)
    assert not has_slot(Pages({}), publication)
