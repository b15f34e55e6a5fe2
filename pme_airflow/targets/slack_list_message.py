"""The messages of a list of spaces in a Slack channel: what they say, within Slack's limits."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from pme_airflow.errors import SlotError
from pme_airflow.targets.base import DocumentSlot
from pme_airflow.targets.slack_channel import Message, messages_in
from pme_airflow.targets.slack_message import dark_block, list_content, space_block, text_without_link

__all__ = ["MAX_ENTRIES", "ListPage", "pages_of"]

#: Spaces in a message: Slack takes 50 blocks, one of which is the heading.
MAX_ENTRIES = 49


@dataclass(frozen=True)
class ListPage:
    """One message of a list.

    :param slots: the slots that it shows, in their order.
    :param content: the arguments of ``chat.postMessage`` and ``chat.update``.
    :param digest: differs where the content does; made without links.
    """

    slots: Sequence[DocumentSlot]
    content: dict[str, Any]
    digest: str

    @property
    def changed(self) -> bool:
        """Whether a slot of it is to show another link."""
        return any(slot.changed for slot in self.slots)

    def is_shown_in(self, message: Message) -> bool:
        """Return whether a message shows exactly this already, as its slots have recorded."""
        return not self.changed and all(
            slot.details.get("digest") == self.digest and messages_in(slot.details)[:1] == [message]
            for slot in self.slots
        )


def pages_of(
    document: str, slots: Sequence[DocumentSlot], entries: int, failed: dict[str, SlotError]
) -> list[ListPage]:
    """Return the messages that show an audience's slots, sorted by name.

    :param entries: how many spaces a message may have.
    :param failed: receives the slots whose link cannot be shown.
    """
    shown = sorted(_blocks(slots, failed), key=lambda entry: (_name(entry[0]).casefold(), entry[0].model_id))
    pages = []
    for number, start in enumerate(range(0, len(shown), entries)):
        chunk = shown[start : start + entries]
        pages.append(_page(document, number, [slot for slot, _ in chunk], [block for _, block in chunk]))
    return pages


def _blocks(
    slots: Sequence[DocumentSlot], failed: dict[str, SlotError]
) -> Iterator[tuple[DocumentSlot, dict[str, Any]]]:
    for slot in slots:
        if slot.link is None and slot.changed:
            continue
        try:
            block = dark_block(slot.slot, _name(slot)) if slot.link is None else space_block(slot.slot, slot.link)
        except SlotError as error:
            failed[slot.slot], block = _without_link(slot, error)
        yield slot, block


def _without_link(slot: DocumentSlot, error: SlotError) -> tuple[SlotError, dict[str, Any]]:
    """Return the error and the block of a slot whose link cannot be shown: it goes on showing its former one."""
    if slot.former is not None:
        with suppress(SlotError):
            return slot.keeps_former(error), space_block(slot.slot, slot.former)
    return error, dark_block(slot.slot, _name(slot))


def _page(document: str, number: int, slots: Sequence[DocumentSlot], blocks: list[dict[str, Any]]) -> ListPage:
    texts = [(block["block_id"], text_without_link(block)) for block in blocks]
    digest = hashlib.sha256(json.dumps(texts).encode()).hexdigest()[:24]
    return ListPage(slots, list_content(document, number, blocks), digest)


def _name(slot: DocumentSlot) -> str:
    if slot.link is not None:
        return slot.link.name
    return str(slot.details.get("name") or slot.model_id)
