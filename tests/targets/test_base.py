"""What a target's methods may return, and what the publisher makes of it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest

from pme_airflow.errors import SlotError
from pme_airflow.ledger import publications
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.lifecycle.publish import Publisher
from pme_airflow.lifecycle.services import Services
from pme_airflow.targets import ShownLink, SlotResult, Target
from tests.conftest import MODELS
from tests.support.rooms import Shelf, mint, publish, rows

ONE = next(iter(MODELS))


@pytest.mark.parametrize(
    ("returned", "result"),
    [
        (None, SlotResult({}, False)),
        ({}, SlotResult({}, False)),
        ({"page": 4}, SlotResult({"page": 4}, False)),
        ({"page": 4, "left_behind": 2}, SlotResult({"page": 4}, True)),
        ({"left_behind": 0}, SlotResult({}, False)),
        (SlotResult({"page": 4}, old_link_remains=True), SlotResult({"page": 4}, True)),
    ],
)
def test_result_is_taken_from_a_dict_a_result_or_nothing(returned: object, result: SlotResult) -> None:
    assert SlotResult.of(returned) == result


@pytest.mark.parametrize("returned", ["done", 1, ["page"], True])
def test_another_result_is_refused_with_what_to_return(returned: object) -> None:
    with pytest.raises(SlotError, match="return a SlotResult or a dict"):
        SlotResult.of(returned)


def test_result_does_not_show_its_details() -> None:
    assert "page" not in repr(SlotResult({"page": 4}))


class Returning(Shelf):
    """A target whose methods return what the test says, and which records the details it is given."""

    def __init__(self, put: Any, taken_away: Any = None) -> None:
        super().__init__()
        self.returned, self.returned_by_take_away = put, taken_away
        self.previous: list[Mapping[str, Any]] = []

    def put(self, slot: str, link: ShownLink, previous: Mapping[str, Any]) -> Any:
        super().put(slot, link, previous)
        self.previous.append(previous)
        return self.returned

    def take_away(self, slot: str, details: Mapping[str, Any]) -> Any:
        super().take_away(slot, details)
        return self.returned_by_take_away


def retirement(services: Services, link_id: str) -> timedelta | None:
    """How long after its last event a link is to be retired."""
    (row,) = [row for row in rows(services) if row.link_id == link_id]
    with services.database.read() as tx:
        now = tx.now()
    return row.retire_at - now if row.retire_at is not None else None


@pytest.mark.parametrize("returned", [{"left_behind": True}, SlotResult({}, old_link_remains=True)])
def test_replaced_link_that_remains_readable_gets_no_grace(services: Services, returned: Any) -> None:
    target = Returning(returned)
    first, second = (mint(services, night, [ONE]).items for night in ("monday", "tuesday"))
    publish(services, "monday", target, first)
    publish(services, "tuesday", target, second)
    left = retirement(services, first[0]["link_id"])
    assert left is not None
    assert left <= timedelta(0)


@pytest.mark.parametrize("returned", [{}, None, SlotResult(), {"left_behind": False}])
def test_replaced_link_gets_the_grace_period(services: Services, returned: Any) -> None:
    target = Returning(returned)
    first, second = (mint(services, night, [ONE]).items for night in ("monday", "tuesday"))
    publish(services, "monday", target, first)
    publish(services, "tuesday", target, second)
    left = retirement(services, first[0]["link_id"])
    assert left is not None
    assert left > services.grace / 2


@pytest.mark.parametrize(
    ("returned", "immediate"),
    [({"left_behind": 1}, True), (SlotResult(old_link_remains=True), True), (None, False), ({}, False)],
)
def test_cleared_link_that_remains_readable_gets_no_grace(services: Services, returned: Any, immediate: bool) -> None:
    target = Returning({}, returned)
    (item,) = mint(services, "monday", [ONE]).items
    publish(services, "monday", target, [item])
    Publisher(services, RunContext("dag/tuesday/publish/-1"), target).retire_others("intranet", [])
    left = retirement(services, item["link_id"])
    assert left is not None
    assert (left <= timedelta(0)) is immediate


def test_details_of_the_last_put_reach_the_next_without_the_report_of_an_old_link(services: Services) -> None:
    target = Returning({"page": 4, "left_behind": 1})
    for night in ("monday", "tuesday"):
        publish(services, night, target, mint(services, night, [ONE]).items)
    assert target.previous == [{}, {"page": 4}]


@pytest.mark.parametrize("returned", ["done", ["page"]])
def test_wrong_result_is_one_failed_slot_and_the_old_link_stays(services: Services, returned: Any) -> None:
    target = Returning({})
    publish(services, "monday", target, mint(services, "monday", [ONE]).items)
    target.returned = returned
    (failed,) = publish(services, "tuesday", target, mint(services, "tuesday", [ONE]).items).failed
    assert "return a SlotResult or a dict" in failed["reason"]
    with services.database.read() as tx:
        (shown,) = publications.shown_at(tx, target.name)
    assert shown.run.startswith("dag/monday/")


def test_a_target_needs_only_to_put_and_to_read_back() -> None:
    class Least(Target):
        name = "least"

        def put(self, slot: str, link: ShownLink, previous: Mapping[str, Any]) -> dict[str, Any]:
            return {}

        def read_back(self, slot: str, link: ShownLink, details: Mapping[str, Any]) -> None:
            return

    least = Least()
    assert least.slots({"model_id": ONE}) == [ONE]
    assert (least.at_once, least.shows_names) == (1, False)
    assert SlotResult.of(least.take_away("slot", {})) == SlotResult()
    least.finish([])


def test_a_target_that_names_documents_has_to_write_and_read_them() -> None:
    with pytest.raises(NotImplementedError):
        Shelf().write_document("page", [])
    with pytest.raises(NotImplementedError):
        Shelf().read_document("page", [])


def test_shipped_targets_are_imported_by_name_and_others_are_not_there() -> None:
    from pme_airflow import targets
    from pme_airflow.targets.wordpress import WordPressTarget

    assert targets.WordPressTarget is WordPressTarget
    with pytest.raises(AttributeError, match="has no attribute 'Intranet'"):
        _ = targets.Intranet
