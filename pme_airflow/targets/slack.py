"""Messages in a Slack channel: one for each model and audience, edited in place."""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from pme_airflow.checks import CheckResult
from pme_airflow.errors import SlotError
from pme_airflow.ledger.publications import Publication
from pme_airflow.targets.base import ShownLink, SlotCheck, SlotResult, Target
from pme_airflow.targets.shown_tokens import tokens_of
from pme_airflow.targets.slack_client import Refusal, SlackApi, SlackRefusal
from pme_airflow.targets.slack_message import CLEARED, SLOT_ID_LENGTH, block_id_of, block_ids, message_of, slot_id
from pme_airflow.targets.slack_setup import check_channel

__all__ = ["SlackTarget"]

_TEAM = re.compile(r"[A-Z][A-Z0-9]{1,20}")
_CHANNEL_ID = re.compile(r"[CDG][A-Z0-9]{2,}\Z")
_SLACKS_OWN = (".slack.com", ".slack-gov.com")
_PAGE = 200
_MAX_PAGES = 10
_CHANNEL_PAGE, _MAX_CHANNEL_PAGES = 1000, 100
#: For each slot, how many messages that could not be deleted are tried again.
_MAX_STALE = 5
_IDENTITY_TRIES = 6

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Message:
    """A message's place in Slack."""

    channel: str
    ts: str


@dataclass(frozen=True)
class _Identity:
    """The workspace that a client belongs to, or the reason why it is not known."""

    workspace: str
    problem: SlotError | None = None


class SlackTarget(Target):
    """Posts one message for each model and audience, and edits it from then on. Its links are never unfurled.

    A message's ``block_id`` names its slot. If the confirmation of a post is lost, the message is found by it in the
    channel and not posted twice. That, and reading messages back, needs the scope ``channels:history``.

    :param client: a ``slack_sdk.WebClient`` that does not repeat requests after a broken connection: it would post
        twice.
    :param channel: the channel's name or id.
    """

    shows_names = True

    def __init__(self, client: Any, channel: str) -> None:
        self._api = SlackApi(client)
        self._channel = channel
        self._channel_id = channel if _CHANNEL_ID.match(channel) else ""
        #: The ``ts`` of the messages of each slot, newest first; ``None`` until the channel has been read.
        self._own_messages: dict[str, list[str]] | None = None
        self._known_channels: dict[str, bool] = {}

    # ----------------------------------------------------------------- identity

    @property
    def name(self) -> str:  # type: ignore[override]
        """The workspace and the channel: channels of two workspaces may have the same name."""
        return f"slack:{self._identity.workspace}/{self._channel.lstrip('#')}"

    @property
    def former_names(self) -> Sequence[str]:  # type: ignore[override]
        return () if self._identity.problem else (f"slack:{self._channel}",)

    @cached_property
    def _identity(self) -> _Identity:
        """Ask Slack for the token's workspace; if it returns none, use the token's digest and the address."""
        host = urlsplit(self._api.base_url).netloc.lower()
        place = "" if f".{host}".endswith(_SLACKS_OWN) else f"{host}/"
        retrying = Retrying(
            retry=retry_if_exception(lambda error: isinstance(error, SlotError) and not error.permanent),
            stop=stop_after_attempt(_IDENTITY_TRIES),
            wait=wait_random_exponential(multiplier=0.2, max=2),
            reraise=True,
        )
        problem: SlotError | None = None
        team = ""
        try:
            found = retrying(self._api.call, "auth_test").get("team_id")
            team = found if isinstance(found, str) and _TEAM.fullmatch(found) else ""
        except SlotError as error:
            problem = None if error.permanent else error
        if not team:
            team = f"token-{hashlib.sha256(self._api.token.encode()).hexdigest()[:12]}"
        return _Identity(place + team, problem)

    def adopts(self, publication: Publication) -> bool:
        """Whether the message is in this workspace: an earlier version gave channels of two workspaces one name."""
        channel = str(publication.details.get("channel") or "")
        if channel not in self._known_channels:
            self._known_channels[channel] = self._is_in_workspace(channel, publication.details.get("ts"))
        return self._known_channels[channel] and super().adopts(publication)

    def _is_in_workspace(self, channel: str, ts: Any) -> bool:
        try:
            self._api.call("chat_getPermalink", channel=channel, message_ts=str(ts))
        except SlackRefusal as error:
            if not error.permanent:
                raise
            return error.meaning is not Refusal.NO_ACCESS
        return True

    # ---------------------------------------------------------------- checking

    def check(self, items: Sequence[Mapping[str, Any]] = ()) -> list[CheckResult]:
        """Check the token, the scopes, the channel and the bot's membership."""
        return list(check_channel(self._api, self._channel, self._found_channel()))

    def _found_channel(self) -> str:
        """Return the channel's id; empty where it cannot be found, for whatever reason."""
        with suppress(SlotError):
            return self._id_of_channel()
        return ""

    # ------------------------------------------------------------------ writing

    def slots(self, item: Mapping[str, Any]) -> Sequence[str]:
        if self._identity.problem is not None:
            raise SlotError(str(self._identity.problem), passing=True)
        return [f"{item['audience']}/{item['model_id']}"]

    def put(self, slot: str, link: ShownLink, previous: Mapping[str, Any]) -> SlotResult:
        message = message_of(slot, link)
        recorded, *stale = [*_messages_in(previous), None]
        shown = recorded and self._edit(recorded, message)
        if shown is None:
            unrecorded = self._posted_before(slot, recorded)
            shown = (unrecorded and self._edit(unrecorded, message)) or self._post(message)
        old = [found for found in (recorded, *stale) if found is not None and found != shown]
        return self._without(old, recorded, shown)

    def _edit(self, known: _Message, message: Mapping[str, Any]) -> _Message | None:
        """Replace a message in place; return nothing if it does not exist any more, or cannot be changed."""
        try:
            self._api.call("chat_update", channel=known.channel, ts=known.ts, **message)
        except SlackRefusal as error:
            if error.meaning in (Refusal.TEMPORARY, Refusal.OTHER):
                raise
            return None
        return known

    def _post(self, message: Mapping[str, Any]) -> _Message:
        try:
            posted = self._api.call(
                "chat_postMessage", channel=self._channel, unfurl_links=False, unfurl_media=False, **message
            )
        except SlotError as error:
            if not error.permanent:
                self._own_messages = None  # it may have been posted: read the channel again before the next try
            raise
        confirmed = _messages_in(posted)
        if not confirmed:
            self._own_messages = None
            raise SlotError(
                "Slack did not confirm the message. Check that base_url of the connection is Slack's API", passing=True
            )
        self._channel_id = confirmed[0].channel
        return confirmed[0]

    def _without(self, old: Sequence[_Message], recorded: _Message | None, shown: _Message) -> SlotResult:
        """Delete or clear a slot's old messages after a new one shows the link."""
        remaining: list[_Message] = []
        stale: list[_Message] = []
        for message in old:
            try:
                if not self._clear(message):
                    remaining.append(message)
            except SlotError as error:
                log.warning("%s: message %s could not be deleted: %s", self.name, message.ts, error)
                stale.append(message)
        if remaining:
            count = len(remaining)
            log.warning("%s: %d messages cannot be deleted; the old link is revoked at once.", self.name, count)
        details: dict[str, Any] = {"channel": shown.channel, "ts": shown.ts}
        if stale:
            details["stale"] = [{"channel": m.channel, "ts": m.ts} for m in stale[:_MAX_STALE]]
        return SlotResult(details, old_link_remains=recorded in (*remaining, *stale))

    def take_away(self, slot: str, details: Mapping[str, Any]) -> SlotResult:
        cleared = [self._clear(message) for message in _messages_in(details)]
        return SlotResult(old_link_remains=not all(cleared))

    def _clear(self, message: _Message) -> bool:
        """Delete a message, or else remove its link; return false if this bot can do neither.

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

    def read_back(self, slot: str, link: ShownLink, details: Mapping[str, Any]) -> None:
        shown = _messages_in(details)[0]
        found = self._history(shown.channel, oldest=shown.ts, latest=shown.ts, inclusive=True, limit=1)
        if found is None:
            return
        texts = [json.dumps(message) for message in found if message.get("ts") == shown.ts]
        if not texts:
            raise SlotError("the message is not in the channel when it is read back", passing=True)
        if link.token.reveal() not in texts[0] or tokens_of(texts[0], link.model_id) - {link.token.reveal()}:
            raise SlotError("the message does not show the new link alone when it is read back", passing=True)

    def check_shown(self, shown: Sequence[Publication]) -> SlotCheck | None:
        """Look for the messages in one listing of the channel, from the newest of them back to the oldest."""
        by_channel: dict[str, dict[str, Publication]] = {}
        for publication in shown:
            for message in _messages_in(publication.details)[:1]:
                by_channel.setdefault(message.channel, {})[message.ts] = publication
        lost: list[str] = []
        for channel, publications in by_channel.items():
            found = self._listed(channel, min(publications), max(publications))
            if found is None:
                return None
            listed, back_to = found
            lost += [
                publication.slot
                for ts, publication in publications.items()
                if ts >= back_to and not _shows(listed.get(ts), publication)
            ]
        return SlotCheck(lost)

    def _listed(self, channel: str, oldest: str, latest: str) -> tuple[dict[str, Mapping[str, Any]], str] | None:
        """Return a channel's messages by their ``ts``, and how far back they go; ``None`` if it cannot be read."""
        listed: dict[str, Mapping[str, Any]] = {}
        pages = self._pages(channel, oldest=oldest, latest=latest, inclusive=True)
        for page, more in pages:
            if page is None:
                return None
            listed.update({str(message.get("ts")): message for message in page})
            if not more:
                return listed, oldest
        return listed, min(listed, default=latest + "z")

    def _posted_before(self, slot: str, recorded: _Message | None) -> _Message | None:
        """Find a slot's message that an earlier try or run posted without recording it."""
        if self._own_messages is None:
            self._own_messages = {}
            channel = self._id_of_channel()
            for page, _ in self._pages(channel) if channel else ():
                for message in page or ():
                    for block_id in block_ids(message):
                        self._own_messages.setdefault(block_id[:SLOT_ID_LENGTH], []).append(str(message.get("ts")))
        for ts in self._own_messages.get(slot_id(slot), ()):
            if recorded is None or ts != recorded.ts:
                return _Message(self._channel_id, ts)
        return None

    def _pages(self, channel: str, **span: Any) -> Iterator[tuple[Sequence[Mapping[str, Any]] | None, bool]]:
        """Yield up to 10 pages of a channel's messages, newest first, each with whether there are more."""
        cursor = ""
        for _ in range(_MAX_PAGES):
            found = self._call_to_read("conversations_history", channel=channel, limit=_PAGE, cursor=cursor, **span)
            cursor = _next_cursor(found)
            yield (None if found is None else _list_in(found, "messages")), bool(cursor)
            if not cursor:
                return

    def _history(self, channel: str, **span: Any) -> Sequence[Mapping[str, Any]] | None:
        found = self._call_to_read("conversations_history", channel=channel, **span)
        return None if found is None else _list_in(found, "messages")

    def _id_of_channel(self) -> str:
        cursor = ""
        for _ in range(_MAX_CHANNEL_PAGES):
            if self._channel_id:
                break
            found = self._call_to_read(
                "conversations_list", types="public_channel,private_channel", exclude_archived=True,
                limit=_CHANNEL_PAGE, cursor=cursor,
            )  # fmt: skip
            named = [c for c in _list_in(found, "channels") if c.get("name") == self._channel.lstrip("#")]
            self._channel_id = str(named[0].get("id") or "") if named else ""
            cursor = _next_cursor(found)
            if not cursor:
                break
        return self._channel_id

    def _call_to_read(self, method: str, **arguments: Any) -> Any:
        """Call a method that reads; return ``None`` if the bot may not."""
        try:
            return self._api.call(method, **arguments)
        except SlackRefusal as error:
            if not error.permanent:
                raise
            log.info("%s: the channel cannot be read (%s): messages are not read back.", self.name, error.code)
        return None


def _messages_in(details: Mapping[str, Any]) -> list[_Message]:
    """Return a slot's message as its details record it, followed by old ones that are still to be deleted."""
    entries = [details, *(details.get("stale") or ())]
    return [_Message(str(e["channel"]), str(e["ts"])) for e in entries if e.get("channel") and e.get("ts")]


def _shows(message: Mapping[str, Any] | None, publication: Publication) -> bool:
    return message is not None and block_id_of(publication.slot, publication.link_id) in block_ids(message)


def _list_in(response: Any, key: str) -> list[Mapping[str, Any]]:
    entries = response.get(key) if response is not None else None
    return [entry for entry in entries if isinstance(entry, Mapping)] if isinstance(entries, list) else []


def _next_cursor(response: Any) -> str:
    metadata = response.get("response_metadata") if response is not None else None
    return str(metadata.get("next_cursor") or "") if isinstance(metadata, Mapping) else ""
