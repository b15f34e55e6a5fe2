"""A target that fails for a moment is called again, and one that does not answer is not called for a while."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import requests

from pme_airflow.errors import PMEError, PMEInputError, PMEUnavailableError, SlotError, TargetUnavailableError
from pme_airflow.ledger import publications
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.lifecycle.clearing import clear_slots
from pme_airflow.lifecycle.publish_result import PublishResult
from pme_airflow.lifecycle.target_calls import TargetCalls, retried, slot_error
from pme_airflow.targets.base import ShownLink
from tests.conftest import MODELS, MakeServices
from tests.support.board import Board
from tests.support.clocks import FakeClock
from tests.support.rooms import Shelf, mint, publish, rows

ALL = list(MODELS)
TIMEOUT = 30.0


class Hanging:
    """A target that takes a time-out for each call that it does not answer."""

    def __init__(self, seconds: float = TIMEOUT) -> None:
        self.clock = FakeClock()
        self.calls = TargetCalls("cms", self.clock)
        self.seconds = seconds
        self.called = 0
        self.error: Exception | None = TargetUnavailableError("no response within 30 s", passing=True)

    def call(self) -> str:
        """Call it once; return what came of it."""
        try:
            return self.calls.call(self._answer)
        except SlotError as error:
            return str(error)

    def _answer(self) -> str:
        self.called += 1
        if self.error is None:
            return "answered"
        self.clock.advance(self.seconds)
        raise self.error


def test_a_target_that_hangs_is_not_called_any_more_after_four_calls() -> None:
    target = Hanging()
    assert {target.call() for _ in range(4)} == {"no response within 30 s"}
    assert target.called == 4 * 3
    assert {target.call() for _ in range(300)} == {
        "it was not tried, since the target did not answer 4 times in a row. Run the task again once it answers"
    }
    assert target.called == 4 * 3


def test_a_host_that_refuses_connections_while_it_starts_again_is_waited_for() -> None:
    target = Hanging(seconds=0.01)
    while target.clock.monotonic() < 1000 and "not tried" not in target.call():
        target.clock.advance(1)
    assert 50 < target.called < 200
    target = Hanging(seconds=0.01)
    for _ in range(10):
        target.call()
    target.error = None
    assert target.call() == "answered"


def test_a_target_that_was_unavailable_is_tried_again_after_a_minute() -> None:
    target = Hanging()
    for _ in range(5):
        target.call()
    target.clock.advance(61)
    assert target.call() == "no response within 30 s"
    assert "not answer 5 times" in target.call()
    target.clock.advance(61)
    target.error = None
    assert [target.call() for _ in range(3)] == ["answered"] * 3


@pytest.mark.parametrize("error", [None, SlotError("no page", passing=True), ValueError("a defect")])
def test_any_answer_and_any_other_failure_ends_the_row(error: Exception | None) -> None:
    target, silent = Hanging(), Hanging().error
    for _ in range(4):
        for turn in (silent, silent, silent, error):
            target.error = turn
            try:
                assert "not tried" not in target.call()
            except ValueError:
                continue


def test_a_call_that_never_failed_says_nothing_about_a_target(caplog: pytest.LogCaptureFixture) -> None:
    target = Hanging()
    target.error = None
    assert [target.call() for _ in range(9)] == ["answered"] * 9
    assert caplog.text == ""
    target.error = TargetUnavailableError("away", passing=True)
    for _ in range(9):
        target.call()
    assert caplog.text.count("its other slots are not tried until it answers again") == 1


class Silent(Shelf):
    """A target whose host has stopped answering, or answers again."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__()
        self.clock = clock
        self.silent = False
        self.asked = 0

    def put(self, slot: str, link: ShownLink, details: Mapping[str, Any]) -> Any:
        self._wait()
        return super().put(slot, link, details)

    def take_away(self, slot: str, details: Mapping[str, Any]) -> Any:
        self._wait()
        return super().take_away(slot, details)

    def _wait(self) -> None:
        self.asked += 1
        if self.silent:
            self.clock.advance(TIMEOUT)
            raise TargetUnavailableError("no response within 30 s", passing=True)


def test_publishing_to_a_target_that_hangs_ends_soon_and_the_old_links_stay(make_services: MakeServices) -> None:
    clock = FakeClock()
    services, shelf = make_services(clock), Silent(clock)
    publish(services, "monday", shelf, mint(services, "monday", ALL).items)
    before = dict(shelf.shown)
    shelf.silent, shelf.asked = True, 0
    items, began = mint(services, "tuesday", ALL).items, clock.monotonic()
    result = publish(services, "tuesday", shelf, items)
    assert (result.failed.total, result.published.total) == (len(ALL), 0)
    assert shelf.asked <= 3 * (4 + shelf.at_once)
    assert clock.monotonic() - began < 600
    assert shelf.shown == before
    assert len(rows(services, "live")) == 2 * len(ALL)
    shelf.silent = False
    assert publish(services, "tuesday again", shelf, items).published.total == len(ALL)


def test_clearing_a_target_that_hangs_ends_soon_and_names_every_slot(make_services: MakeServices) -> None:
    clock = FakeClock()
    services, shelf = make_services(clock), Silent(clock)
    publish(services, "monday", shelf, mint(services, "monday", ALL).items)
    shelf.silent, shelf.asked = True, 0
    result = PublishResult(shelf.name)
    with services.database.read() as tx:
        going = publications.shown_at(tx, shelf.name)
    clear_slots(services, RunContext("dag/x/clear/-1"), shelf, going, "not listed any more", result)
    assert (result.failed.total, result.removed.total) == (len(ALL), 0)
    assert shelf.asked <= 3 * (4 + shelf.at_once)


def test_documents_of_a_target_that_hangs_are_left_alone_too(make_services: MakeServices) -> None:
    clock = FakeClock()

    class Pages(Board):
        asked = 0

        def slots(self, item: Mapping[str, Any]) -> list[str]:
            return [f"{item['model_id']}/1"]

        def write_document(self, document: str, slots: Any) -> Any:
            self.asked += 1
            clock.advance(TIMEOUT)
            raise TargetUnavailableError("no response within 30 s", passing=True)

    services, pages = make_services(clock), Pages()
    result = publish(services, "monday", pages, mint(services, "monday", ALL).items)
    assert result.failed.total == len(ALL)
    assert pages.asked <= 3 * (4 + pages.at_once)


@pytest.mark.parametrize(
    ("error", "unavailable"),
    [
        (ConnectionRefusedError(111, "Connection refused"), True),
        (TimeoutError("Bearer+x"), True),
        (requests.ConnectionError("Bearer+x"), True),
        (requests.ReadTimeout("Bearer+x"), True),
        (requests.TooManyRedirects("Bearer+x"), False),
        (OSError(28, "No space left on device"), False),
        (ValueError("Bearer+x"), False),
    ],
)
def test_the_errors_of_connections_mean_that_a_target_is_unavailable(error: Exception, unavailable: bool) -> None:
    described: PMEError = slot_error(error)
    assert isinstance(described, TargetUnavailableError) is unavailable
    assert not described.permanent
    assert "Bearer+x" not in str(described)


@pytest.mark.parametrize(
    ("error", "message", "permanent"),
    [
        (PMEInputError("is wrong", "pages"), "pages: is wrong", True),
        (PMEUnavailableError("busy"), "busy", False),
        (PermissionError(13, "Permission denied", "/srv/Bearer+x"), "check the access rights", True),
        (FileNotFoundError(2, "No such file or directory", "/srv/Bearer+x"), "No such file or directory", False),
        (OSError("Bearer+x"), "(OSError)", False),
        (ValueError("Bearer+x"), "the target failed (ValueError)", False),
    ],
)
def test_a_failure_is_described_without_the_text_of_others(error: Exception, message: str, permanent: bool) -> None:
    described = slot_error(error)
    assert message in str(described)
    assert described.permanent is permanent
    assert "Bearer+x" not in str(described)


def test_only_slot_errors_that_pass_are_tried_again() -> None:
    clock = FakeClock()
    calls: list[int] = []

    def broken() -> None:
        calls.append(1)
        raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011
        retried(clock, broken)
    assert (len(calls), clock.slept) == (1, 0.0)
    assert retried(clock, lambda: 7) == 7


def test_the_pauses_between_tries_are_short_and_random(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = FakeClock()
    monkeypatch.setattr("random.uniform", lambda low, high: high)

    def busy() -> None:
        raise SlotError("busy", passing=True)

    with pytest.raises(SlotError, match="busy"):
        retried(clock, busy)
    assert clock.slept == pytest.approx(0.3 + 0.6)
