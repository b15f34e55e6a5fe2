"""Calls a target that writes documents slot by slot, so that each of its slots is examined like any other."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

from pme_airflow.checks import CheckResult
from pme_airflow.errors import SlotError
from pme_airflow.targets.base import DocumentSlot, ShownLink, SlotResult, Target

__all__ = ["SlotBySlot"]


class SlotBySlot(Target):
    """Puts, reads and clears one slot at a time; one that shares a document is written with the others as they are.

    :param inner: the target.
    """

    def __init__(self, inner: Target) -> None:
        self.inner = inner
        self.name = getattr(inner, "name", "")
        self.at_once = inner.at_once
        self._shown: dict[str, DocumentSlot] = {}
        self._writing = threading.Lock()

    def slots(self, item: Mapping[str, Any]) -> Sequence[str]:
        return self.inner.slots(item)

    def check(self, items: Sequence[Mapping[str, Any]] = ()) -> Sequence[CheckResult] | None:
        return self.inner.check(items)

    def put(self, slot: str, link: ShownLink, previous: Mapping[str, Any]) -> SlotResult | dict[str, Any]:
        document = self.inner.document(slot)
        if document is None:
            return self.inner.put(slot, link, previous)
        with self._writing:  # as in a run, a document is written by one at a time
            result = self._write(document, DocumentSlot(slot, link.model_id, link, previous))
            self._shown[slot] = DocumentSlot(slot, link.model_id, link, result.details, changed=False)
        return result

    def read_back(self, slot: str, link: ShownLink, details: Mapping[str, Any]) -> None:
        document = self.inner.document(slot)
        if document is None:
            return self.inner.read_back(slot, link, details)
        failed = self.inner.read_document(document, [DocumentSlot(slot, link.model_id, link, details)])
        if slot in failed:
            raise failed[slot]
        return None

    def take_away(self, slot: str, details: Mapping[str, Any]) -> SlotResult | Mapping[str, Any] | None:
        document = self.inner.document(slot)
        if document is None:
            return self.inner.take_away(slot, details)
        known = self._shown.pop(slot)
        return self._write(document, DocumentSlot(slot, known.model_id, None, details))

    def _write(self, document: str, slot: DocumentSlot) -> SlotResult:
        others = [
            shown for name, shown in self._shown.items() if name != slot.slot and self.inner.document(name) == document
        ]
        found = self.inner.write_document(document, [slot, *others])
        if slot.slot not in found:
            raise AssertionError("write_document() returns no result for a slot that was to be changed")
        result = found[slot.slot]
        if isinstance(result, SlotError):
            raise result
        return SlotResult.of(result)
