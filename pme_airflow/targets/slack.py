"""Links in a Slack channel: a message for each model and audience, or a list for each audience; edited in place."""

from __future__ import annotations

import hashlib
import logging
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from pme_airflow.checks import CheckResult
from pme_airflow.errors import PMEInputError, SlotError
from pme_airflow.ledger.publications import Publication
from pme_airflow.targets.base import DocumentSlot, ShownLink, SlotCheck, SlotResult, Target
from pme_airflow.targets.shown_tokens import tokens_of
from pme_airflow.targets.slack_channel import Message, SlackChannel, messages_in
from pme_airflow.targets.slack_client import Refusal, SlackApi, SlackRefusal
from pme_airflow.targets.slack_list import LIST, SlackList
from pme_airflow.targets.slack_list_message import MAX_ENTRIES
from pme_airflow.targets.slack_message import block_id_of, block_ids, message_of, slot_id
from pme_airflow.targets.slack_setup import check_channel

__all__ = ["SlackTarget"]

#: The value of ``layout`` for a message for each slot.
MESSAGE = "message"
_TEAM = re.compile(r"[A-Z][A-Z0-9]{1,20}")
_SLACKS_OWN = (".slack.com", ".slack-gov.com")
#: For each slot, how many messages that could not be deleted are tried again.
_MAX_STALE = 5
_IDENTITY_TRIES = 6

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Identity:
    """The workspace that a client belongs to, or the reason why it is not known."""

    workspace: str
    problem: SlotError | None = None


class SlackTarget(Target):
    """Posts a message, and edits it from then on. Its links are never unfurled.

    The ids of a message's blocks name its slots. If the confirmation of a post is lost, the message is found by them in
    the channel and not posted twice. That, and reading messages back, needs the scope ``channels:history``.

    :param client: a ``slack_sdk.WebClient`` that does not repeat requests after a broken connection: it would post
        twice.
    :param channel: the channel's name or id.
    :param layout: ``message`` for a message for each model and audience, ``list`` for a list of an audience's spaces in
        as few messages as Slack's limits allow.
    :raises PMEInputError: for another layout.
    """

    shows_names = True

    def __init__(self, client: Any, channel: str, *, layout: str = MESSAGE) -> None:
        if layout not in (MESSAGE, LIST):
            raise PMEInputError(f"give {MESSAGE} or {LIST}", "layout")
        self._api = SlackApi(client)
        self._channel = channel
        self._layout = layout
        self._messages = SlackChannel(self._api, channel)
        self._list = SlackList(self._messages)
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
        """Check the token, the scopes, the channel and the bot's membership, and say how many messages a list has."""
        results = list(check_channel(self._api, self._channel, self._found_channel()))
        if self._layout == LIST and items:
            audiences = Counter(str(item["audience"]) for item in items)
            messages = sum(-(-count // MAX_ENTRIES) for count in audiences.values())
            finding = f"{len(items)} spaces are listed in {messages} message{'s' if messages > 1 else ''}."
            results.append(CheckResult.good("list", finding))
        return results

    def _found_channel(self) -> str:
        """Return the channel's id; empty where it cannot be found, for whatever reason."""
        with suppress(SlotError):
            return self._messages.find_id()
        return ""

    # ------------------------------------------------------------------ writing

    def slots(self, item: Mapping[str, Any]) -> Sequence[str]:
        if self._identity.problem is not None:
            raise SlotError(str(self._identity.problem), passing=True)
        return [f"{item['audience']}/{item['model_id']}"]

    def put(self, slot: str, link: ShownLink, previous: Mapping[str, Any]) -> SlotResult:
        message = message_of(slot, link)
        recorded, *stale = [*([] if _in_list(previous) else messages_in(previous)), None]
        shown = recorded if recorded and self._messages.edit(recorded, message) is None else None
        if shown is None:
            unrecorded = self._posted_before(slot, recorded)
            edited = unrecorded is not None and self._messages.edit(unrecorded, message) is None
            shown = unrecorded if edited and unrecorded else self._messages.post(message)
        old = [found for found in (recorded, *stale) if found is not None and found != shown]
        result = self._without(old, recorded, shown)
        if _in_list(previous):  # `finish` deletes the list's message once no slot is shown in it any more
            return SlotResult({**result.details, "left": _as_details(messages_in(previous))}, result.old_link_remains)
        return result

    def _posted_before(self, slot: str, recorded: Message | None) -> Message | None:
        """Find a slot's message that an earlier try or run posted without recording it."""
        return next((found for found in self._messages.owned_by(slot_id(slot)) if found != recorded), None)

    def _without(self, old: Sequence[Message], recorded: Message | None, shown: Message) -> SlotResult:
        """Delete or clear a slot's old messages after a new one shows the link."""
        remaining: list[Message] = []
        stale: list[Message] = []
        for message in old:
            try:
                if not self._messages.clear(message):
                    remaining.append(message)
            except SlotError as error:
                log.warning("%s: message %s could not be deleted: %s", self.name, message.ts, error)
                stale.append(message)
        if remaining:
            count = len(remaining)
            log.warning("%s: %d messages cannot be deleted; the old link is revoked at once.", self.name, count)
        details: dict[str, Any] = {"channel": shown.channel, "ts": shown.ts}
        if stale:
            details["stale"] = _as_details(stale[:_MAX_STALE])
        return SlotResult(details, old_link_remains=recorded in (*remaining, *stale))

    def take_away(self, slot: str, details: Mapping[str, Any]) -> SlotResult:
        cleared = [self._messages.clear(message) for message in messages_in(details)]
        return SlotResult(old_link_remains=not all(cleared))

    def finish(self, shown: Sequence[Publication]) -> None:
        """Delete the messages of a list whose slots have all moved to messages of their own."""
        used = {message for publication in shown for message in messages_in(publication.details)}
        left = {
            m for publication in shown for entry in publication.details.get("left") or () for m in messages_in(entry)
        }
        for message in sorted(left - used, key=lambda message: message.ts):
            self._messages.clear(message)

    # ------------------------------------------------------------------ lists

    def document(self, slot: str) -> str | None:
        """In a list the slots of one audience share a document."""
        return f"{slot.rpartition('/')[0]}/" if self._layout == LIST else None

    def write_document(self, document: str, slots: Sequence[DocumentSlot]) -> Mapping[str, SlotResult | SlotError]:
        return self._list.write(document, slots)

    def read_document(self, document: str, slots: Sequence[DocumentSlot]) -> Mapping[str, SlotError]:
        return self._list.read(slots)

    def is_current(self, shown: Publication) -> bool:
        """A slot that is shown in the other layout is moved."""
        return _in_list(shown.details) == (self._layout == LIST)

    # ------------------------------------------------------------------ reading

    def read_back(self, slot: str, link: ShownLink, details: Mapping[str, Any]) -> None:
        text = self._messages.text_of(messages_in(details)[0])
        if text is None:
            return
        if not text:
            raise SlotError("the message is not in the channel when it is read back", passing=True)
        if link.token.reveal() not in text or tokens_of(text, link.model_id) - {link.token.reveal()}:
            raise SlotError("the message does not show the new link alone when it is read back", passing=True)

    def check_shown(self, shown: Sequence[Publication]) -> SlotCheck | None:
        """Look for the messages in one listing of the channel, from the newest of them back to the oldest."""
        by_channel: dict[str, dict[str, list[Publication]]] = defaultdict(lambda: defaultdict(list))
        for publication in shown:
            for message in messages_in(publication.details)[:1]:
                by_channel[message.channel][message.ts].append(publication)
        lost: list[str] = []
        for channel, by_ts in by_channel.items():
            found = self._messages.listed(channel, min(by_ts), max(by_ts))
            if found is None:
                return None
            listed, back_to = found
            lost += [
                publication.slot
                for ts, publications in by_ts.items()
                for publication in publications
                if ts >= back_to and not _shows(listed.get(ts), publication)
            ]
        return SlotCheck(lost)


def _in_list(details: Mapping[str, Any]) -> bool:
    return details.get("layout") == LIST


def _as_details(messages: Sequence[Message]) -> list[dict[str, str]]:
    return [{"channel": message.channel, "ts": message.ts} for message in messages]


def _shows(message: Mapping[str, Any] | None, publication: Publication) -> bool:
    return message is not None and block_id_of(publication.slot, publication.link_id) in block_ids(message)
