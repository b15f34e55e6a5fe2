"""Slots that show another audience a link of another DAG are found before they are overwritten."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pme_airflow.ledger import publications
from pme_airflow.ledger.publications import Publication
from pme_airflow.ledger.slot_claims import SlotAction, SlotPlan
from pme_airflow.lifecycle.foreign_slots import foreign_slots
from pme_airflow.lifecycle.services import Services
from tests.conftest import MODELS
from tests.support.rooms import Shelf, mint, publish

ONE = next(iter(MODELS))


@pytest.fixture
def shown(services: Services) -> Publication:
    publish(services, "monday", Shelf(), mint(services, "monday", [ONE]).items)
    with services.database.read() as tx:
        return publications.publications_in(tx, "shelf", [ONE])[ONE]


def planned(shown: Publication, action: SlotAction = SlotAction.PUT) -> dict[str, SlotPlan]:
    return {ONE: SlotPlan(action, None, shown), "free": SlotPlan(action)}


@pytest.mark.parametrize(
    ("audience", "publishers", "foreign"),
    [
        ("brokers", frozenset({"another"}), True),
        ("intranet", frozenset({"another"}), False),
        ("brokers", frozenset({"another", "dag"}), False),
        ("brokers", None, False),
    ],
)
def test_a_slot_is_foreign_to_another_audience_of_another_dag(
    services: Services, shown: Publication, audience: str, publishers: frozenset[str] | None, foreign: bool
) -> None:
    found = foreign_slots(services, planned(shown), {ONE: audience, "free": audience}, publishers)
    assert (ONE in found) is foreign
    if foreign:
        assert f"model {ONE} to audience intranet, published by DAG dag" in found[ONE]


def test_a_dead_link_or_one_of_an_unknown_dag_is_no_obstacle(services: Services, shown: Publication) -> None:
    others = frozenset({"another"})
    for entry in (replace(shown, link_id="lnk_gone"), replace(shown, publisher=None)):
        assert foreign_slots(services, planned(entry), {ONE: "brokers"}, others) == {}


@pytest.mark.parametrize(
    ("action", "named", "foreign"),
    [
        (SlotAction.NEWER, frozenset({"intranet", "brokers"}), True),
        (SlotAction.NEWER, frozenset({"brokers"}), False),
        (SlotAction.NEWER, None, True),
        (SlotAction.PUT, None, False),
        (SlotAction.DEAD, None, False),
    ],
)
def test_a_later_link_of_another_audience_of_the_same_dag_is_an_obstacle_while_that_is_published_for(
    services: Services, shown: Publication, action: SlotAction, named: frozenset[str] | None, foreign: bool
) -> None:
    plans = planned(replace(shown, publisher=None), action)
    for plan in (plans, planned(shown, action)):
        found = foreign_slots(services, plan, {ONE: "brokers", "free": "brokers"}, frozenset({"dag"}), named)
        assert (ONE in found) is foreign
    assert foreign_slots(services, plans, {ONE: "intranet"}, frozenset({"dag"}), named) == {}
    if foreign:
        assert "published by a command" in foreign_slots(services, plans, {ONE: "brokers"}, frozenset(), named)[ONE]
