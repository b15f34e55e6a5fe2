"""The list of an audience's spaces in a Slack channel: as few messages as Slack's limits allow, edited in place."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pme_airflow.errors import SlotError
from pme_airflow.targets.base import DocumentSlot, SlotResult
from pme_airflow.targets.shown_tokens import tokens_of
from pme_airflow.targets.slack_channel import Message, SlackChannel, messages_in
from pme_airflow.targets.slack_client import Refusal, SlackRefusal
from pme_airflow.targets.slack_list_message import MAX_ENTRIES, ListPage, pages_of
from pme_airflow.targets.slack_message import list_id

__all__ = ["LIST", "SlackList"]

#: The value of ``layout`` in the details of a slot in a list.
LIST = "list"
_TOO_LONG = frozenset({"msg_too_long", "msg_blocks_too_long"})

log = logging.getLogger(__name__)


@dataclass
class _Progress:
    """What became of messages.

    :ivar shown: where each page is shown, by its number.
    :ivar failed: why a page is not shown.
    :ivar settled: old messages that show what they should, or nothing any more.
    :ivar remaining: old messages that this bot can neither change nor delete.
    :ivar problem: why the last message could not be changed.
    """

    shown: dict[int, Message] = field(default_factory=dict)
    failed: dict[int, SlotError] = field(default_factory=dict)
    settled: set[Message] = field(default_factory=set)
    remaining: set[Message] = field(default_factory=set)
    problem: SlotError | None = None


class SlackList:
    """Shows all slots of an audience in the same messages.

    :param channel: the channel.
    """

    def __init__(self, channel: SlackChannel) -> None:
        self._channel = channel
        #: How many spaces a message has at most; fewer once Slack has found a message too long.
        self._entries = MAX_ENTRIES

    def write(self, document: str, slots: Sequence[DocumentSlot]) -> dict[str, SlotResult | SlotError]:
        """Show a list. Only messages that change are edited, and old ones are deleted once the new ones are there."""
        failed: dict[str, SlotError] = {}
        while True:
            pages = pages_of(document, slots, self._entries, failed)
            try:
                progress = self._show_all(document, pages, slots)
            except _TooLongError as error:
                self._entries = error.entries // 2  # of several
                continue
            return {**_results(pages, slots, progress), **failed}

    def read(self, slots: Sequence[DocumentSlot]) -> dict[str, SlotError]:
        """Read a list back, and return the slots that do not show their link alone."""
        texts: dict[Message, str | None] = {}
        failed: dict[str, SlotError] = {}
        for slot in slots:
            for message in messages_in(slot.details)[:1]:
                if message not in texts:
                    texts[message] = self._channel.text_of(message)
                problem = _problem_in(texts[message], slot)
                if problem is not None and (slot.changed or texts[message] == ""):
                    failed[slot.slot] = problem
        return failed

    # ------------------------------------------------------------------ writing

    def _show_all(self, document: str, pages: Sequence[ListPage], slots: Sequence[DocumentSlot]) -> _Progress:
        progress = _Progress()
        recorded = _recorded(slots)
        for number in _order(pages, slots, len(recorded)):
            existing = recorded[number] if number < len(recorded) else None
            try:
                progress.shown[number] = self._show(document, pages[number], existing, recorded, progress)
            except SlotError as error:
                _raise_if_too_long(error, pages[number])
                progress.failed[number] = error
                if not error.permanent:
                    break
        if not progress.failed:
            self._clear_old(document, slots, recorded[len(pages) :], progress)
        return progress

    def _show(
        self,
        document: str,
        page: ListPage,
        existing: Message | None,
        recorded: Sequence[Message],
        progress: _Progress,
    ) -> Message:
        """Show a page in its message, or in another one if that cannot be edited any more."""
        if existing is not None:
            refusal = None if page.is_shown_in(existing) else self._channel.edit(existing, page.content)
            if refusal in (None, Refusal.GONE):
                progress.settled.add(existing)
            else:
                progress.remaining.add(existing)
            if refusal is None or (refusal is not Refusal.GONE and not page.changed):
                return existing
        for unrecorded in self._channel.owned_by(list_id(document)):
            known = {*recorded, *progress.shown.values()}
            if unrecorded not in known and self._channel.edit(unrecorded, page.content) is None:
                return unrecorded
        return self._channel.post(page.content)

    def _clear_old(
        self, document: str, slots: Sequence[DocumentSlot], extra: Sequence[Message], progress: _Progress
    ) -> None:
        """Delete messages that no page is shown in any more, also those of slots that had one of their own."""
        own = [m for slot in slots if slot.details.get("layout") != LIST for m in messages_in(slot.details)]
        shown = set(progress.shown.values())
        unrecorded = self._channel.owned_by(list_id(document)) if self._channel.was_read else []
        for message in dict.fromkeys([*extra, *own, *unrecorded]):
            if message in shown or message in progress.settled | progress.remaining:
                continue
            try:
                (progress.settled if self._channel.clear(message) else progress.remaining).add(message)
            except SlotError as error:
                log.warning("Message %s could not be deleted: %s", message.ts, error)
                progress.problem = error


class _TooLongError(Exception):
    """Slack finds a message too long."""

    def __init__(self, entries: int) -> None:
        self.entries = entries


def _raise_if_too_long(error: SlotError, page: ListPage) -> None:
    if isinstance(error, SlackRefusal) and error.code in _TOO_LONG and len(page.slots) > 1:
        raise _TooLongError(len(page.slots))


def _order(pages: Sequence[ListPage], slots: Sequence[DocumentSlot], recorded: int) -> list[int]:
    """Return the numbers of the pages in the order in which they are shown, so that no space is missing meanwhile.

    In a list that grows, spaces move to later messages: they are shown there before an earlier message drops them.
    """
    numbers = list(range(len(pages)))
    before = sum(slot.details.get("layout") == LIST for slot in slots)
    if sum(len(page.slots) for page in pages) <= before:
        return numbers
    return numbers[recorded:] + numbers[:recorded][::-1]


def _recorded(slots: Sequence[DocumentSlot]) -> list[Message]:
    """Return the messages of the list, in the order in which they were posted."""
    found = {m for slot in slots if slot.details.get("layout") == LIST for m in messages_in(slot.details)[:1]}
    return sorted(found, key=lambda message: message.ts)


def _results(
    pages: Sequence[ListPage], slots: Sequence[DocumentSlot], progress: _Progress
) -> dict[str, SlotResult | SlotError]:
    """Return the result of each slot. It is done when it is shown in its page, and its old message does not show it."""
    page_of = {slot.slot: number for number, page in enumerate(pages) for slot in page.slots}
    unknown = next(iter(progress.failed.values()), None) or progress.problem
    results: dict[str, SlotResult | SlotError] = {}
    for slot in slots:
        number = page_of.get(slot.slot)
        new = progress.shown.get(number) if number is not None else None
        old = messages_in(slot.details)
        unsettled = [m for m in old if m != new and m not in progress.settled | progress.remaining]
        problem = progress.failed.get(number) if number is not None else None
        if problem is None and (unsettled or (number is not None and new is None)):
            problem = unknown or SlotError("the list was not written whole", passing=True)
        if problem is not None:
            if slot.changed:
                results[slot.slot] = problem
            continue
        remains = any(m in progress.remaining for m in old)
        details = _details(new, pages[number]) if new is not None and number is not None else {}
        if slot.changed or any(slot.details.get(key) != value for key, value in details.items()):
            results[slot.slot] = SlotResult(details, old_link_remains=remains)
    return results


def _details(message: Message, page: ListPage) -> dict[str, Any]:
    return {"channel": message.channel, "ts": message.ts, "layout": LIST, "digest": page.digest}


def _problem_in(text: str | None, slot: DocumentSlot) -> SlotError | None:
    if text is None or slot.link is None:
        return None
    if not text:
        return SlotError("the message is not in the channel when it is read back", passing=True)
    token = slot.link.token.reveal()
    if token not in text or tokens_of(text, slot.link.model_id) - {token}:
        return SlotError("the message does not show the new link alone when it is read back", passing=True)
    return None
