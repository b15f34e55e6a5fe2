"""Writes one document with all of its slots, and reads it back; in a thread, without the ledger."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pme_airflow.errors import PMEError, SlotError
from pme_airflow.ledger.publications import Publication
from pme_airflow.lifecycle.link_opener import LinkOpener
from pme_airflow.lifecycle.target_calls import TargetCalls, slot_error
from pme_airflow.targets.base import DocumentSlot, ShownLink, SlotResult, Target

__all__ = ["DocumentPlan", "DocumentResult", "KeptSlot", "NewSlot", "write_document"]

Item = Mapping[str, Any]


@dataclass(frozen=True)
class KeptSlot:
    """A slot that goes on showing its link; ``item`` is ``None`` where that link is dead."""

    item: Item | None
    shown: Publication


@dataclass(frozen=True)
class NewSlot:
    """A slot that is to show an item's link, in place of what it shows so far."""

    item: Item
    previous: KeptSlot | None


@dataclass(frozen=True)
class DocumentPlan:
    """What is to be done about a document.

    :param new: the slots that are to show another link.
    :param kept: the slots that stay as they are.
    :param gone: the slots that are to show nothing any more.
    """

    document: str
    new: Mapping[str, NewSlot]
    kept: Mapping[str, KeptSlot]
    gone: Mapping[str, Publication]


@dataclass(frozen=True)
class DocumentResult:
    """What became of a document's slots.

    :param written: the slots that are as they should be, each with what writing it returned.
    :param failed: the others.
    """

    written: Mapping[str, SlotResult] = field(default_factory=dict)
    failed: Mapping[str, PMEError] = field(default_factory=dict)


def write_document(target: Target, calls: TargetCalls, plan: DocumentPlan, opener: LinkOpener) -> DocumentResult:
    """Write a document, and read it back. A slot that cannot be opened, written or read fails alone."""
    failed: dict[str, PMEError] = {}
    slots = list(_opened(plan, opener, failed))
    try:
        returned = calls.call(lambda: target.write_document(plan.document, slots), _any_may_pass)
        written = {slot: SlotResult.of(found) for slot, found in returned.items() if not isinstance(found, PMEError)}
        failed |= {slot: found for slot, found in returned.items() if isinstance(found, PMEError)}
        read = [_written(slot, written) for slot in slots if slot.link is not None and slot.slot not in failed]
        unread = calls.call(lambda: target.read_document(plan.document, read), _any_may_pass)
        failed.update(unread)
    except Exception as error:  # noqa: BLE001 - a target of any author may raise anything
        problem = slot_error(error)
        return DocumentResult(failed={**dict.fromkeys([*plan.new, *plan.gone], problem), **failed})
    for slot in {*plan.new, *plan.gone} - set(written) - set(failed):
        failed[slot] = SlotError("the target returned no result for this slot")
    by_slot = {slot.slot: slot for slot in slots}
    return DocumentResult(
        {slot: _complete(by_slot[slot], found) for slot, found in written.items() if slot not in failed}, failed
    )


def _opened(plan: DocumentPlan, opener: LinkOpener, failed: dict[str, PMEError]) -> Iterator[DocumentSlot]:
    """Yield all slots of a document with their links opened; a slot whose link cannot be opened is dark."""
    kept = dict(plan.kept)
    for slot, new in plan.new.items():
        details = dict(new.previous.shown.details) if new.previous is not None else {}
        try:
            wanted, former = opener.open(new.item), _former(new.previous, opener)
            yield DocumentSlot(slot, str(new.item["model_id"]), wanted, details, former=former)
        except PMEError as error:
            failed[slot] = error
            kept |= {slot: new.previous} if new.previous is not None else {}
    for slot, known in kept.items():
        details, link = dict(known.shown.details), None
        try:
            link = opener.open_again(known.item, details) if known.item is not None else None
        except PMEError as error:
            failed[slot] = error
        yield DocumentSlot(slot, known.shown.model_id, link, details, changed=False)
    for slot, gone in plan.gone.items():
        yield DocumentSlot(slot, gone.model_id, None, dict(gone.details))


def _former(previous: KeptSlot | None, opener: LinkOpener) -> ShownLink | None:
    """Return the live link that a slot shows so far; ``None`` if there is none, or it cannot be opened."""
    if previous is None or previous.item is None:
        return None
    try:
        return opener.open_again(previous.item, previous.shown.details)
    except PMEError:
        return None


def _written(slot: DocumentSlot, written: Mapping[str, SlotResult]) -> DocumentSlot:
    return replace(slot, details=written[slot.slot].details) if slot.slot in written else slot


def _complete(slot: DocumentSlot, result: SlotResult) -> SlotResult:
    """Add to a slot's details what is needed to write the document again while this link is kept."""
    if slot.link is None:
        return result
    extra = {"name": slot.link.name} | ({"params": slot.link.params} if slot.link.params else {})
    return replace(result, details={**result.details, **extra})


def _any_may_pass(returned: Mapping[str, SlotResult | SlotError]) -> bool:
    return any(isinstance(found, PMEError) and not found.permanent for found in returned.values())
