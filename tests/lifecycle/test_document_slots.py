"""A document is written with all of its slots: what is opened, what fails alone, and what is kept."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

import pytest

from pme_airflow.embed_params import EmbedParams
from pme_airflow.errors import PMESealError, SlotError
from pme_airflow.ledger.publications import Publication
from pme_airflow.lifecycle.document_slots import DocumentPlan, KeptSlot, NewSlot, write_document
from pme_airflow.lifecycle.link_opener import LinkOpener
from pme_airflow.lifecycle.target_calls import TargetCalls
from pme_airflow.sealing import OpenedLink
from pme_airflow.secrets import AccessToken, SecretStr
from pme_airflow.targets.base import DocumentSlot, SlotResult
from tests.support.board import Board
from tests.support.clocks import FakeClock

PAGE = "intranet/"


def item(model_id: str, night: int) -> dict[str, Any]:
    return {
        "link_id": f"lnk_{model_id}_{night}", "model_id": model_id, "audience": "intranet",
        "valid_until": "2026-11-27T02:00:00Z",
    }  # fmt: skip


def token(model_id: str, night: int) -> str:
    return f"token-of-{model_id}-{night}"


def shown(model_id: str, details: Mapping[str, Any] | None = None) -> Publication:
    when = datetime(2026, 11, 26, tzinfo=timezone.utc)
    found = dict(details or {})
    return Publication("key", "board", PAGE + model_id, "lnk", 1, model_id, "intranet", when, "run", found)


def kept(model_id: str, night: int | None = 1, details: Mapping[str, Any] | None = None) -> KeptSlot:
    return KeptSlot(None if night is None else item(model_id, night), shown(model_id, details))


def calls() -> TargetCalls:
    return TargetCalls("board", FakeClock())


@pytest.fixture
def sealed() -> set[str]:
    """The links that cannot be opened."""
    return set()


@pytest.fixture
def opener(sealed: set[str]) -> LinkOpener:
    def opened(entry: Mapping[str, Any]) -> OpenedLink:
        if entry["link_id"] in sealed:
            raise PMESealError("sealed with a key that is not there")
        _, model_id, night = str(entry["link_id"]).split("_")
        url = f"https://my.matterport.com/show?m={model_id}&auth=Bearer+{token(model_id, int(night))}"
        return OpenedLink(SecretStr(url), AccessToken(token(model_id, int(night))))

    return LinkOpener(opened)


def plan(new: dict[str, NewSlot], others: dict[str, KeptSlot], gone: tuple[str, ...] = ()) -> DocumentPlan:
    return DocumentPlan(
        PAGE,
        {PAGE + model_id: slot for model_id, slot in new.items()},
        {PAGE + model_id: slot for model_id, slot in others.items()},
        {PAGE + model_id: shown(model_id) for model_id in gone},
    )


def test_all_slots_are_written_and_the_changed_ones_returned(opener: LinkOpener) -> None:
    board = Board()
    result = write_document(
        board, calls(), plan({"A": NewSlot(item("A", 2), kept("A"))}, {"B": kept("B"), "C": kept("C", None)}, ("D",)),
        opener,
    )  # fmt: skip
    assert board.pages[PAGE] == {PAGE + "A": token("A", 2), PAGE + "B": token("B", 1), PAGE + "C": ""}
    assert (set(result.written), dict(result.failed)) == ({PAGE + "A", PAGE + "D"}, {})
    assert result.written[PAGE + "A"].details == {"edits": 1, "name": "A"}


def test_a_new_link_that_cannot_be_opened_fails_alone_and_the_old_one_stays(
    opener: LinkOpener, sealed: set[str]
) -> None:
    sealed.add("lnk_A_2")
    board = Board()
    new = {"A": NewSlot(item("A", 2), kept("A")), "B": NewSlot(item("B", 2), None)}
    result = write_document(board, calls(), plan(new, {}), opener)
    assert board.pages[PAGE] == {PAGE + "A": token("A", 1), PAGE + "B": token("B", 2)}
    assert (set(result.written), set(result.failed)) == ({PAGE + "B"}, {PAGE + "A"})


def test_a_link_that_stays_and_cannot_be_opened_is_dark_and_named(opener: LinkOpener, sealed: set[str]) -> None:
    sealed.add("lnk_B_1")
    board = Board()
    result = write_document(board, calls(), plan({"A": NewSlot(item("A", 2), None)}, {"B": kept("B")}), opener)
    assert board.pages[PAGE][PAGE + "B"] == ""
    assert (set(result.written), set(result.failed)) == ({PAGE + "A"}, {PAGE + "B"})


def test_a_slot_without_a_result_is_not_taken_for_shown(opener: LinkOpener) -> None:
    class Silent(Board):
        def write_document(self, document: str, slots: Any) -> dict[str, SlotResult | SlotError]:
            return {PAGE + "A": super().write_document(document, slots)[PAGE + "A"]}

    new = {"A": NewSlot(item("A", 2), None), "B": NewSlot(item("B", 2), None)}
    result = write_document(Silent(), calls(), plan(new, {}, ("C",)), opener)
    assert set(result.written) == {PAGE + "A"}
    assert {slot: str(error) for slot, error in result.failed.items()} == dict.fromkeys(
        [PAGE + "B", PAGE + "C"], "the target returned no result for this slot"
    )


@pytest.mark.parametrize(("failures", "passing", "written"), [(2, True, True), (3, True, False), (1, False, False)])
def test_a_write_is_tried_three_times_while_it_fails_for_a_moment(
    opener: LinkOpener, failures: int, passing: bool, written: bool
) -> None:
    board = Board()
    left = [SlotError("busy", passing=passing) for _ in range(failures)]

    def fail(slots: object) -> None:
        if left:
            raise left.pop()

    board.before = fail
    result = write_document(board, calls(), plan({"A": NewSlot(item("A", 2), None)}, {}), opener)
    assert bool(result.written) is written
    assert bool(result.failed) is not written


def test_parameters_are_recorded_for_the_time_when_the_link_stays(opener: LinkOpener) -> None:
    seen: list[DocumentSlot] = []
    board = Board()
    board.before = seen.extend
    details = {"name": "Hall", "params": "play=1"}
    write_document(board, calls(), plan({"A": NewSlot(item("A", 2), None)}, {"B": kept("B", details=details)}), opener)
    (stays,) = [slot for slot in seen if not slot.changed]
    assert stays.link is not None
    assert (stays.link.name, stays.link.params) == ("Hall", "play=1")
    assert stays.link.url.reveal().endswith("&play=1")


def test_the_former_link_of_a_slot_is_handed_to_the_target_where_it_can_be_opened(
    opener: LinkOpener, sealed: set[str]
) -> None:
    seen: list[DocumentSlot] = []
    board = Board()
    board.before = seen.extend
    sealed.add("lnk_B_1")
    new = {
        "A": NewSlot(item("A", 2), kept("A", details={"name": "Hall"})),
        "B": NewSlot(item("B", 2), kept("B")),
        "C": NewSlot(item("C", 2), kept("C", None)),
        "D": NewSlot(item("D", 2), None),
    }
    result = write_document(board, calls(), plan(new, {}), opener)
    assert not result.failed
    former = {slot.model_id: slot.former for slot in seen}
    assert former["A"] is not None
    assert (former["A"].token.reveal(), former["A"].name) == (token("A", 1), "Hall")
    assert (former["B"], former["C"], former["D"]) == (None, None, None)
    assert seen[0].details == {"name": "Hall"}


def test_what_was_written_is_read_back_with_what_writing_it_returned(opener: LinkOpener) -> None:
    class Read(Board):
        def read_document(self, document: str, slots: Any) -> dict[str, SlotError]:
            found.extend((slot.slot, dict(slot.details)) for slot in slots)
            return super().read_document(document, slots)

    found: list[tuple[str, dict[str, Any]]] = []
    board = Read()
    board.broken = {PAGE + "C": [SlotError("no room")]}
    new = {"A": NewSlot(item("A", 2), None), "C": NewSlot(item("C", 2), None)}
    others = {"B": kept("B", details={"edits": 7}), "E": kept("E", None)}
    write_document(board, calls(), plan(new, others, ("D",)), opener)
    assert found == [(PAGE + "A", {"edits": 1}), (PAGE + "B", {"edits": 7})]


def test_the_parameters_of_a_new_link_are_recorded_with_it(opener: LinkOpener) -> None:
    with_params = LinkOpener(opener._open_item, EmbedParams.parse("qs=1", "params"))
    result = write_document(Board(), calls(), plan({"A": NewSlot(item("A", 2), None)}, {}, ("B",)), with_params)
    assert result.written[PAGE + "A"].details == {"edits": 1, "name": "A", "params": "qs=1"}
    assert result.written[PAGE + "B"].details == {"edits": 1}
