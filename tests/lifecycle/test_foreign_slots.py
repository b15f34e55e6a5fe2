"""Slots that show another audience a link of another DAG are found before they are overwritten."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pme_airflow.ledger import publications
from pme_airflow.ledger.publications import Publication
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
    found = foreign_slots(services, {ONE: shown, "free": None}, {ONE: audience, "free": audience}, publishers)
    assert (ONE in found) is foreign
    if foreign:
        assert f"model {ONE} to audience intranet, published by DAG dag" in found[ONE]


def test_a_dead_link_or_one_of_an_unknown_dag_is_no_obstacle(services: Services, shown: Publication) -> None:
    others = frozenset({"another"})
    for entry in (replace(shown, link_id="lnk_gone"), replace(shown, publisher=None)):
        assert foreign_slots(services, {ONE: entry}, {ONE: "brokers"}, others) == {}
