"""A target that writes documents is called slot by slot, with the other slots as they are."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from pme_airflow.dev.target_kit.documents import SlotBySlot
from pme_airflow.errors import SlotError
from pme_airflow.targets.base import DocumentSlot, SlotResult
from tests.support.board import Board
from tests.support.links import TOKEN_A, TOKEN_B, TOKEN_C, shown_link

ONE, TWO = "intranet/M1", "intranet/M2"


def test_the_other_slots_of_a_document_stay() -> None:
    board = Board()
    kit = SlotBySlot(board)
    kit.put(ONE, shown_link(TOKEN_A, "link-a", "M1"), {})
    kit.put(TWO, shown_link(TOKEN_B, "link-b", "M2"), {})
    result = SlotResult.of(kit.put(ONE, shown_link(TOKEN_C, "link-c", "M1"), {"edits": 1}))
    assert board.pages["intranet/"] == {ONE: TOKEN_C, TWO: TOKEN_B}
    assert result.details == {"edits": 2}
    kit.take_away(ONE, result.details)
    assert board.pages["intranet/"] == {TWO: TOKEN_B}


def test_what_fails_is_raised() -> None:
    board = Board()
    kit = SlotBySlot(board)
    link = shown_link(TOKEN_A, "link-a", "M1")
    board.broken = {ONE: [SlotError("no room")]}
    with pytest.raises(SlotError, match="no room"):
        kit.put(ONE, link, {})
    kit.put(ONE, link, {})
    board.unread = {ONE}
    with pytest.raises(SlotError, match="not shown"):
        kit.read_back(ONE, link, {})


def test_a_slot_without_a_result_is_a_fault_of_the_target() -> None:
    class Silent(Board):
        def write_document(self, document: str, slots: Sequence[DocumentSlot]) -> dict[str, SlotResult | SlotError]:
            return {}

    with pytest.raises(AssertionError, match="returns no result"):
        SlotBySlot(Silent()).put(ONE, shown_link(TOKEN_A, "link-a", "M1"), {})
