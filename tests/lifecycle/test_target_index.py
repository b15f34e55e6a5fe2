"""A target is finished by one task at a time, and its failures hold no link."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from pme_airflow.errors import SlotError
from pme_airflow.ledger import slot_claims
from pme_airflow.ledger.publications import Publication
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.lifecycle import target_index
from pme_airflow.lifecycle.services import Services
from pme_airflow.lifecycle.target_index import finish_target
from tests.conftest import MODELS, MakeServices
from tests.support.clocks import FakeClock
from tests.support.rooms import Shelf, mint, publish

ONE = next(iter(MODELS))
RUN = RunContext("dag/x/publish/-1")


class Indexed(Shelf):
    def __init__(self) -> None:
        super().__init__("indexed")
        self.indexes: list[list[str]] = []
        self.problems: list[Exception] = []

    def finish(self, shown: Sequence[Publication]) -> None:
        if self.problems:
            raise self.problems.pop()
        self.indexes.append([publication.slot for publication in shown])


def held(services: Services, name: str = "indexed") -> bool:
    """Whether somebody holds the lock."""
    with services.database.write(RunContext("other")) as tx:
        free = slot_claims.acquire_index_lock(tx, name)
        slot_claims.release_index_lock(tx, name)
    return not free


def test_a_target_is_finished_with_all_it_shows(services: Services) -> None:
    target = Indexed()
    publish(services, "monday", target, mint(services, "monday", [ONE]).items)
    target.indexes.clear()
    assert finish_target(services, RUN, target) is None
    assert target.indexes == [[ONE]]
    assert not held(services)


def test_a_failure_that_passes_is_tried_three_times(make_services: MakeServices) -> None:
    clock = FakeClock()
    services, target = make_services(clock), Indexed()
    target.problems = [SlotError("busy", passing=True)] * 2
    assert finish_target(services, RUN, target) is None
    assert clock.slept > 0
    target.problems = [SlotError("busy", passing=True)] * 3
    problem = finish_target(services, RUN, target)
    assert str(problem) == "busy"
    assert not held(services)


def test_a_lasting_failure_is_not_tried_again(services: Services) -> None:
    target = Indexed()
    target.problems = [SlotError("no room")] * 2
    assert str(finish_target(services, RUN, target)) == "no room"
    assert len(target.problems) == 1


def test_while_another_run_writes_the_index_it_is_waited_for(
    make_services: MakeServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(target_index, "BUSY_TRIES", 3)
    clock = FakeClock()
    services, target = make_services(clock), Indexed()
    with services.database.write(RunContext("other")) as tx:
        slot_claims.acquire_index_lock(tx, "indexed")
    problem = finish_target(services, RUN, target)
    assert problem is not None
    assert "another run" in str(problem)
    assert not problem.permanent
    assert clock.slept == pytest.approx(3 * 0.5)
    assert target.indexes == []
