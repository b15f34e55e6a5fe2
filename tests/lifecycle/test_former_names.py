"""Publications under a former name of a target are moved to its name, and those of another target are not."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import pytest

from pme_airflow.ledger import publications
from pme_airflow.ledger.publications import Publication
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.lifecycle.former_names import move_former_publications
from pme_airflow.lifecycle.services import Services
from tests.lifecycle.conftest import SHARED_MODELS
from tests.support.rooms import Shelf, mint, publish, rename

ONE, TWO, THREE = MODELS = SHARED_MODELS[:3]
RUN = RunContext.of_task("dag", "monday", "publish")


class Renamed(Shelf):
    """A target that earlier versions recorded under other names; a model in ``others`` is another target's."""

    def __init__(self, *former_names: str, others: Sequence[str] = ()) -> None:
        super().__init__("shelf")
        self.former_names = former_names
        self._others = others

    def adopts(self, publication: Publication) -> bool:
        return publication.model_id not in self._others


def shown_at(services: Services, name: str) -> list[str]:
    with services.database.read() as tx:
        return [publication.slot for publication in publications.shown_at(tx, name)]


def test_each_former_name_is_moved_and_what_is_another_targets_stays(
    shared_services: Services, caplog: pytest.LogCaptureFixture
) -> None:
    services = shared_services
    items = mint(services, "monday", MODELS).items
    for name, item in (("old", items[0]), ("older", items[1]), ("older", items[2])):
        publish(services, "monday", Shelf("moving"), [item])
        rename(services, "moving", name)
    target = Renamed("old", "shelf", "none", "older", others=[THREE])
    with caplog.at_level(logging.INFO):
        assert move_former_publications(services, RUN, target) == 2
    assert (shown_at(services, "shelf"), shown_at(services, "old"), shown_at(services, "older")) == (
        [ONE, TWO], [], [THREE]
    )  # fmt: skip
    assert [record.message for record in caplog.records if "former name" in record.message] == [
        f"shelf: 1 slots were recorded under the former name {name} and are kept." for name in ("old", "older")
    ]
    assert move_former_publications(services, RUN, target) == 0


def test_a_slot_that_the_name_has_already_is_not_counted(shared_services: Services) -> None:
    services = shared_services
    items = mint(services, "monday", [ONE, TWO]).items
    publish(services, "monday", Shelf("moving"), items)
    rename(services, "moving", "old")
    publish(services, "monday", Shelf(), items[:1])
    assert move_former_publications(services, RUN, Renamed("old")) == 1
    assert (shown_at(services, "shelf"), shown_at(services, "old")) == ([ONE, TWO], [ONE])
