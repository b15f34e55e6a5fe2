"""A slot that lost its link at the target is put again, although the ledger holds it for shown."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from pme_airflow.dev.emulator import World
from pme_airflow.errors import SlotError
from pme_airflow.ledger import publications
from pme_airflow.ledger.publications import Publication
from pme_airflow.lifecycle.services import Services
from pme_airflow.lifecycle.slot_checks import CHECK_INTERVAL
from pme_airflow.targets.base import SlotCheck
from tests.conftest import MODELS, MakeServices
from tests.support.clocks import FakeClock
from tests.support.rooms import Shelf, mint, publish

ONE, TWO = list(MODELS)[:2]


class Window(Shelf):
    """A shelf that can be looked at."""

    def __init__(self) -> None:
        super().__init__("window")
        self.checks: list[list[str]] = []
        self.problem: Exception | None = None

    def check_shown(self, shown: Sequence[Publication]) -> SlotCheck | None:
        self.checks.append([publication.slot for publication in shown])
        if self.problem is not None:
            raise self.problem
        return SlotCheck({p.slot for p in shown if p.slot not in self.shown}, {ONE: {"edits": 7}})


@pytest.fixture
def clock(world: World) -> FakeClock:
    made = FakeClock()
    world.freeze_clock(made.now())
    return made


@pytest.fixture
def services(make_services: MakeServices, clock: FakeClock) -> Services:
    return make_services(clock)


@pytest.fixture
def window() -> Window:
    return Window()


@pytest.fixture
def items(services: Services, window: Window) -> list[dict[str, Any]]:
    """The items of two models that the window shows."""
    made = mint(services, "monday", [ONE, TWO]).items
    assert publish(services, "monday", window, made).published.total == 2
    return made


def details(services: Services, slot: str) -> dict[str, Any]:
    with services.database.read() as tx:
        return publications.publications_in(tx, "window", [slot])[slot].details


def test_a_slot_that_lost_its_link_is_put_again(
    services: Services, window: Window, items: list[dict[str, Any]]
) -> None:
    token = window.shown.pop(TWO)
    outcome = publish(services, "keeper", window, items)
    assert [about["slot"] for about in outcome.published] == [TWO]
    assert [about["slot"] for about in outcome.unchanged] == [ONE]
    assert window.shown[TWO] == token
    assert publish(services, "later", window, items).published.total == 0


def test_a_slot_that_cannot_be_put_again_is_tried_at_each_run(
    services: Services, window: Window, items: list[dict[str, Any]]
) -> None:
    del window.shown[TWO]
    window.broken.add(TWO)
    for run in ("first", "second"):
        assert [about["slot"] for about in publish(services, run, window, items).failed] == [TWO]
    window.broken.clear()
    assert publish(services, "third", window, items).published.total == 1


def test_a_slot_is_checked_at_most_once_in_ten_minutes(
    services: Services, window: Window, items: list[dict[str, Any]], clock: FakeClock
) -> None:
    for seconds in (0, 1, CHECK_INTERVAL.total_seconds() - 2):
        clock.advance(seconds)
        publish(services, f"after {seconds}", window, items)
    assert window.checks == [[ONE, TWO]]
    clock.advance(1)
    publish(services, "due", window, items)
    assert window.checks == [[ONE, TWO], [ONE, TWO]]
    assert timedelta(minutes=10) == CHECK_INTERVAL


def test_a_check_in_the_future_by_a_workers_wrong_clock_does_not_count(
    services: Services, window: Window, items: list[dict[str, Any]], clock: FakeClock
) -> None:
    clock.advance(3600)
    publish(services, "ahead", window, items)
    clock.advance(-3000)
    publish(services, "behind", window, items)
    assert len(window.checks) == 2


def test_details_that_a_check_gives_are_kept(services: Services, window: Window, items: list[dict[str, Any]]) -> None:
    publish(services, "keeper", window, items)
    assert details(services, ONE)["edits"] == 7
    assert details(services, TWO)["edits"] == 1


def test_details_of_a_slot_that_was_published_anew_meanwhile_are_kept(
    services: Services, window: Window, items: list[dict[str, Any]]
) -> None:
    with services.database.read() as tx:
        before = publications.publications_in(tx, "window", [ONE])[ONE]
    publish(services, "tuesday", window, mint(services, "tuesday", [ONE]).items)
    with services.database.write() as tx:
        publications.record_details(tx, [(before, {"edits": 99})])
    assert details(services, ONE)["edits"] == 2


@pytest.mark.parametrize("problem", [SlotError("it is away", passing=True), ValueError("with a link in its words")])
def test_a_target_that_cannot_be_checked_changes_nothing(
    services: Services,
    window: Window,
    items: list[dict[str, Any]],
    problem: Exception,
    caplog: pytest.LogCaptureFixture,
) -> None:
    del window.shown[TWO]
    window.problem = problem
    with caplog.at_level(logging.WARNING):
        outcome = publish(services, "keeper", window, items)
    assert outcome.unchanged.total == 2
    assert "checking whether slots still show their links failed" in caplog.text
    assert ("it is away" in caplog.text) is isinstance(problem, SlotError)
    assert "with a link" not in caplog.text
    window.problem = None
    assert publish(services, "next", window, items).published.total == 1


def test_a_target_without_a_check_is_not_asked(services: Services) -> None:
    shelf = Shelf()
    made = mint(services, "monday", [ONE]).items
    publish(services, "monday", shelf, made)
    del shelf.shown[ONE]
    assert publish(services, "keeper", shelf, made).unchanged.total == 1
    assert shelf.check_shown([]) is None


def test_slots_that_were_not_asked_about_are_not_put(
    services: Services, window: Window, items: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Window, "check_shown", lambda self, shown: SlotCheck([TWO, "another"]))
    outcome = publish(services, "keeper", window, items)
    assert [about["slot"] for about in outcome.published] == [TWO]
