"""A target in memory whose slots share a document for each audience."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pme_airflow.errors import SlotError
from pme_airflow.targets.base import DocumentSlot, ShownLink, SlotResult, Target


class Board(Target):
    """One page for each audience.

    :ivar pages: the tokens that each page shows, by slot; empty for a slot without a live link.
    :ivar written: the slots of every write that were to be changed.
    :ivar broken: slots that cannot be written, each with its errors, one for each write.
    :ivar unread: slots that are not shown when they are read back.
    :ivar before: called before each write.
    """

    def __init__(self, name: str = "board") -> None:
        self.name = name
        self.pages: dict[str, dict[str, str]] = {}
        self.written: list[list[str]] = []
        self.broken: dict[str, list[SlotError]] = {}
        self.unread: set[str] = set()
        self.remains = False
        self.before: Callable[[Sequence[DocumentSlot]], None] = lambda slots: None

    def slots(self, item: Mapping[str, Any]) -> list[str]:
        return [f"{item['audience']}/{item['model_id']}"]

    def document(self, slot: str) -> str:
        return f"{slot.rpartition('/')[0]}/"

    def put(self, slot: str, link: ShownLink, previous: Mapping[str, Any]) -> SlotResult:
        raise AssertionError("its slots share a document")

    def read_back(self, slot: str, link: ShownLink, details: Mapping[str, Any]) -> None:
        raise AssertionError("its slots share a document")

    def write_document(self, document: str, slots: Sequence[DocumentSlot]) -> dict[str, SlotResult | SlotError]:
        self.before(slots)
        self.written.append([slot.slot for slot in slots if slot.changed])
        results: dict[str, SlotResult | SlotError] = {}
        page: dict[str, str] = {}
        shown = self.pages.get(document, {})
        for slot in slots:
            if self.broken.get(slot.slot):
                results[slot.slot] = self.broken[slot.slot].pop()
                page |= {slot.slot: shown[slot.slot]} if slot.slot in shown else {}
                continue
            if not slot.gone:
                page[slot.slot] = slot.link.token.reveal() if slot.link is not None else ""
            if slot.changed:
                edits = int(slot.details.get("edits", 0)) + 1
                results[slot.slot] = SlotResult({"edits": edits}, old_link_remains=self.remains)
        self.pages[document] = page
        return results

    def read_document(self, document: str, slots: Sequence[DocumentSlot]) -> dict[str, SlotError]:
        page = self.pages[document]
        assert all(page[slot.slot] == slot.link.token.reveal() for slot in slots if slot.link and slot.changed)
        return {slot.slot: SlotError("not shown") for slot in slots if slot.slot in self.unread}
