"""Slots are cleared one by one: what fails keeps its link, what is left behind dies at once."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

import pytest

from pme_airflow.errors import SlotError
from pme_airflow.ledger import claims, keys, publications
from pme_airflow.ledger.publications import Publication
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.lifecycle import clearing
from pme_airflow.lifecycle.clearing import clear_slots
from pme_airflow.lifecycle.publish_result import PublishResult
from pme_airflow.lifecycle.services import Services
from pme_airflow.targets.base import SlotResult
from tests.conftest import MODELS
from tests.support.rooms import Shelf, mint, publish, rows

ALL = list(MODELS)[:3]


class Board(Shelf):
    """A shelf with an index, on which clearing can go wrong."""

    def __init__(self) -> None:
        super().__init__("board")
        self.remains = False
        self.problems: dict[str, list[Exception]] = {}
        self.indexes: list[list[str]] = []
        self.index_problem: Exception | None = None

    def take_away(self, slot: str, details: Mapping[str, Any]) -> Any:
        if self.problems.get(slot):
            raise self.problems[slot].pop()
        super().take_away(slot, details)
        return SlotResult(old_link_remains=True) if self.remains else None

    def finish(self, shown: Sequence[Publication]) -> None:
        self.indexes.append([publication.slot for publication in shown])
        if self.index_problem is not None:
            raise self.index_problem


@pytest.fixture
def board(services: Services) -> Board:
    made = Board()
    publish(services, "monday", made, mint(services, "monday", ALL).items)
    made.indexes.clear()
    return made


def shown(services: Services) -> list[Publication]:
    with services.database.read() as tx:
        return publications.shown_at(tx, "board")


def cleared(
    services: Services, board: Board, going: Sequence[Publication], grace: timedelta | None = None
) -> PublishResult:
    result = PublishResult("board")
    clear_slots(services, RunContext("dag/x/clear/-1"), board, going, "not wanted", result, grace)
    return result


def retired_after(services: Services, model_id: str) -> timedelta | None:
    """How long after the clearing a link is to be revoked."""
    with services.database.read() as tx:
        now = tx.now()
    (row,) = [row for row in rows(services) if row.model_id == model_id]
    return None if row.retire_at is None else row.retire_at - now


def test_a_slot_is_cleared_and_its_link_retired_after_the_grace(services: Services, board: Board) -> None:
    result = cleared(services, board, shown(services)[:1])
    assert set(board.shown) == set(ALL[1:])
    assert [entry["slot"] for entry in result.removed] == [ALL[0]]
    assert [publication.slot for publication in shown(services)] == ALL[1:]
    left = retired_after(services, ALL[0])
    assert left is not None
    assert timedelta(minutes=14) < left <= timedelta(minutes=15)
    assert retired_after(services, ALL[1]) is None
    assert board.indexes == [ALL[1:]]


@pytest.mark.parametrize(("remains", "grace"), [(True, None), (False, timedelta(0)), (True, timedelta(hours=1))])
def test_what_is_left_behind_or_retired_on_purpose_has_no_grace(
    services: Services, board: Board, remains: bool, grace: timedelta | None
) -> None:
    board.remains = remains
    cleared(services, board, shown(services)[:1], grace)
    left = retired_after(services, ALL[0])
    assert left is not None
    assert left <= timedelta(0)


def test_a_slot_that_cannot_be_cleared_keeps_its_link_and_stops_no_other(services: Services, board: Board) -> None:
    board.problems = {ALL[0]: [SlotError("locked")], ALL[1]: [ValueError("Bearer+secret")]}
    result = cleared(services, board, shown(services))
    assert [(entry["slot"], entry["reason"]) for entry in result.failed] == [
        (ALL[0], "locked"), (ALL[1], "the target failed (ValueError)"),
    ]  # fmt: skip
    assert [entry["slot"] for entry in result.removed] == [ALL[2]]
    assert [publication.slot for publication in shown(services)] == ALL[:2]
    assert retired_after(services, ALL[0]) is None
    with services.database.write(RunContext("next")) as tx:
        assert claims.take(tx, [keys.slot_claim("board", slot) for slot in ALL])


def test_a_failure_that_passes_is_tried_again(services: Services, board: Board) -> None:
    board.problems = {ALL[0]: [SlotError("busy", passing=True), SlotError("busy", passing=True)]}
    assert cleared(services, board, shown(services)[:1]).removed.total == 1


def test_a_slot_that_shows_another_link_by_now_is_left_alone(services: Services, board: Board) -> None:
    before = shown(services)[:1]
    publish(services, "tuesday", board, mint(services, "tuesday", ALL[:1]).items)
    board.indexes.clear()
    result = cleared(services, board, before)
    assert result.removed.total == result.failed.total == 0
    assert set(board.shown) == set(ALL)
    assert board.indexes == []


def test_a_slot_published_again_with_the_same_link_is_left_alone(services: Services, board: Board) -> None:
    (before,) = shown(services)[:1]
    publish(services, "monday", board, mint(services, "tuesday", ALL[:1]).items)
    publish(services, "monday", board, mint(services, "monday", ALL[:1]).items)
    assert cleared(services, board, [before]).removed.total == 0


def test_a_slot_another_run_keeps_locked_is_left_to_it_and_named(
    services: Services, board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clearing, "BUSY_TRIES", 2)
    with services.database.write(RunContext("other")) as tx:
        claims.take(tx, [keys.slot_claim("board", ALL[0])])
    result = cleared(services, board, shown(services)[:1])
    assert result.removed.total == 0
    assert [(slot["slot"], slot["permanent"]) for slot in result.failed] == [(ALL[0], False)]
    assert set(board.shown) == set(ALL)


def test_an_index_that_fails_is_a_failure_of_its_own(services: Services, board: Board) -> None:
    board.index_problem = SlotError("no room")
    result = cleared(services, board, shown(services)[:1])
    assert result.removed.total == 1
    assert [(entry["slot"], entry["model_id"]) for entry in result.failed] == [("index", "all")]


def test_slots_are_cleared_several_at_a_time(services: Services, board: Board) -> None:
    board.at_once = 3
    together = threading.Barrier(3)
    take_away = board.take_away

    def all_together(slot: str, details: Mapping[str, Any]) -> Any:
        together.wait(30)
        return take_away(slot, details)

    board.take_away = all_together  # type: ignore[method-assign]
    assert cleared(services, board, shown(services)).removed.total == 3
    assert (board.shown, shown(services)) == ({}, [])


def test_a_claim_is_released_where_clearing_ends_early(services: Services, board: Board) -> None:
    def going() -> Iterator[Publication]:
        yield from shown(services)[:1]
        raise RuntimeError("the ledger went away, say")

    with pytest.raises(RuntimeError):
        clear_slots(services, RunContext("dag/x/clear/-1"), board, going(), "not wanted", PublishResult("board"))
    with services.database.write(RunContext("next")) as tx:
        assert len(claims.take(tx, [keys.slot_claim("board", slot) for slot in ALL])) == 3


def test_whoever_interrupts_a_clearing_ends_it(services: Services, board: Board) -> None:
    def interrupted(slot: str, details: Mapping[str, Any]) -> None:
        raise KeyboardInterrupt

    board.take_away = interrupted  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        clear_slots(services, RunContext("x"), board, shown(services), "a test", PublishResult("board"))
    assert len(shown(services)) == len(ALL)
