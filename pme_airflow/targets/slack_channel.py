"""Messages in one Slack channel: posted, edited, deleted, read, and found again after a confirmation was lost."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pme_airflow.errors import SlotError
from pme_airflow.targets.slack_client import Refusal, SlackApi, SlackRefusal
from pme_airflow.targets.slack_message import CLEARED, block_ids, owner_id

__all__ = ["Message", "SlackChannel", "messages_in"]

_CHANNEL_ID = re.compile(r"[CDG][A-Z0-9]{2,}\Z")
_PAGE = 200
_MAX_PAGES = 10
_CHANNEL_PAGE, _MAX_CHANNEL_PAGES = 1000, 100
_CHANNEL_TYPES = ("public_channel", "private_channel")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Message:
    """A message's place in Slack."""

    channel: str
    ts: str


def messages_in(details: Mapping[str, Any]) -> list[Message]:
    """Return a slot's message as its details record it, followed by old ones that are still to be deleted."""
    entries = [details, *(details.get("stale") or ())]
    return [Message(str(e["channel"]), str(e["ts"])) for e in entries if e.get("channel") and e.get("ts")]


class SlackChannel:
    """One channel.

    :param api: the workspace.
    :param channel: the channel's name or id.
    """

    def __init__(self, api: SlackApi, channel: str) -> None:
        self._api = api
        self._channel = channel
        self._channel_id = channel if _CHANNEL_ID.match(channel) else ""
        #: The ``ts`` of the messages by what they belong to, newest first; ``None`` until the channel has been read.
        self._owned: dict[str, list[str]] | None = None

    @property
    def was_read(self) -> bool:
        """Whether the channel was read for messages that were never recorded."""
        return self._owned is not None

    # ------------------------------------------------------------------ writing

    def edit(self, known: Message, content: Mapping[str, Any]) -> Refusal | None:
        """Replace a message in place; return why, if it does not exist any more or cannot be changed."""
        try:
            self._api.call("chat_update", channel=known.channel, ts=known.ts, **content)
        except SlackRefusal as error:
            if error.meaning in (Refusal.TEMPORARY, Refusal.OTHER):
                raise
            return error.meaning
        return None

    def post(self, content: Mapping[str, Any]) -> Message:
        """Post a message whose links are not unfurled."""
        try:
            posted = self._api.call(
                "chat_postMessage", channel=self._channel, unfurl_links=False, unfurl_media=False, **content
            )
        except SlotError as error:
            if not error.permanent:
                self._owned = None  # it may have been posted: read the channel again before the next try
            raise
        confirmed = messages_in(posted)
        if not confirmed:
            self._owned = None
            raise SlotError(
                "Slack did not confirm the message. Check that base_url of the connection is Slack's API", passing=True
            )
        self._channel_id = confirmed[0].channel
        return confirmed[0]

    def clear(self, message: Message) -> bool:
        """Delete a message, or else remove its links; return false if this bot can do neither.

        :raises SlotError: if another try, or a correction of the connection, may help.
        """
        for method, arguments in (("chat_delete", {}), ("chat_update", CLEARED)):
            try:
                self._api.call(method, channel=message.channel, ts=message.ts, **arguments)
                return True
            except SlackRefusal as error:
                if error.meaning in (Refusal.TEMPORARY, Refusal.OTHER):
                    raise
                if error.meaning is Refusal.GONE:
                    return True
        return False

    # ------------------------------------------------------------------ reading

    def text_of(self, message: Message) -> str | None:
        """Return a message as JSON; empty if it is not in the channel, ``None`` if the channel cannot be read."""
        found = self._call_to_read(
            "conversations_history",
            channel=message.channel,
            oldest=message.ts,
            latest=message.ts,
            inclusive=True,
            limit=1,
        )
        if found is None:
            return None
        return next((json.dumps(m) for m in _list_in(found, "messages") if m.get("ts") == message.ts), "")

    def listed(self, channel: str, oldest: str, latest: str) -> tuple[dict[str, Mapping[str, Any]], str] | None:
        """Return a channel's messages by their ``ts``, and how far back they go; ``None`` if it cannot be read."""
        listed: dict[str, Mapping[str, Any]] = {}
        for page, more in self._pages(channel, oldest=oldest, latest=latest, inclusive=True):
            if page is None:
                return None
            listed.update({str(message.get("ts")): message for message in page})
            if not more:
                return listed, oldest
        return listed, min(listed, default=latest + "z")

    def owned_by(self, owner: str) -> list[Message]:
        """Return the messages that belong to a slot or list, newest first, also those that were never recorded.

        :param owner: as :func:`~.slack_message.owner_id` returns it.
        """
        if self._owned is None:
            owned: dict[str, list[str]] = {}
            channel = self.find_id()
            for page, _ in self._pages(channel) if channel else ():
                for message in page or ():
                    for block_id in block_ids(message)[:1]:
                        owned.setdefault(owner_id(block_id), []).append(str(message.get("ts")))
            self._owned = owned  # only now: a channel that was read in part would hide a message
        return [Message(self._channel_id, ts) for ts in self._owned.get(owner, ())]

    def _pages(self, channel: str, **span: Any) -> Iterator[tuple[Sequence[Mapping[str, Any]] | None, bool]]:
        """Yield up to 10 pages of a channel's messages, newest first, each with whether there are more."""
        cursor = ""
        for _ in range(_MAX_PAGES):
            found = self._call_to_read("conversations_history", channel=channel, limit=_PAGE, cursor=cursor, **span)
            cursor = _next_cursor(found)
            yield (None if found is None else _list_in(found, "messages")), bool(cursor)
            if not cursor:
                return

    def find_id(self) -> str:
        """Return the channel's id; empty where there is no such channel, or the bot may not list channels."""
        # One type a request: Slack refuses the list of both if the bot has the scope for one alone.
        for channel_type in _CHANNEL_TYPES:
            if not self._channel_id:
                self._find_among(channel_type)
        return self._channel_id

    def _find_among(self, channel_type: str) -> None:
        """Look for the channel among those of a type that the bot may list."""
        cursor = ""
        for _ in range(_MAX_CHANNEL_PAGES):
            found = self._call_to_read(
                "conversations_list", types=channel_type, exclude_archived=True, limit=_CHANNEL_PAGE, cursor=cursor
            )
            if found is None:
                return
            named = [c for c in _list_in(found, "channels") if c.get("name") == self._channel.lstrip("#")]
            self._channel_id = str(named[0].get("id") or "") if named else ""
            cursor = _next_cursor(found)
            if self._channel_id or not cursor:
                return

    def _call_to_read(self, method: str, **arguments: Any) -> Any:
        """Call a method that reads; return ``None`` if the bot may not."""
        try:
            return self._api.call(method, **arguments)
        except SlackRefusal as error:
            if not error.permanent:
                raise
            log.info("%s: it cannot be read (%s): messages are not read back.", self._channel, error.code)
        return None


def _list_in(response: Any, key: str) -> list[Mapping[str, Any]]:
    entries = response.get(key) if response is not None else None
    return [entry for entry in entries if isinstance(entry, Mapping)] if isinstance(entries, list) else []


def _next_cursor(response: Any) -> str:
    metadata = response.get("response_metadata") if response is not None else None
    return str(metadata.get("next_cursor") or "") if isinstance(metadata, Mapping) else ""
