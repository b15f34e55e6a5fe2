"""Messages in a Slack channel: one a model, edited in place."""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from http.client import HTTPException
from typing import Any

from slack_sdk.errors import SlackApiError

from pme_airflow.errors import SlotError
from pme_airflow.targets.base import ShownLink, Target
from pme_airflow.targets.shown_tokens import tokens_of

__all__ = ["SlackTarget"]

_GONE = frozenset({"message_not_found", "cant_update_message", "edit_window_closed", "channel_not_found"})
_CURES = {
    "not_in_channel": "invite the bot to the channel",
    "channel_not_found": "check the channel's name or id, and invite the bot where it is private",
    "invalid_auth": "check the token of the Slack connection",
    "not_authed": "enter the token of the Slack connection",
    "token_revoked": "enter a new token in the Slack connection",
    "account_inactive": "enter a new token in the Slack connection",
    "missing_scope": "give the bot the scope chat:write",
    "is_archived": "the channel is archived: choose another",
    "restricted_action": "an administrator keeps bots from posting there",
    "ratelimited": "Slack asks for patience",
}
_PASSING = frozenset({"", "ratelimited", "service_unavailable", "internal_error", "fatal_error", "request_timeout"})
_CHANNEL_ID = re.compile(r"[CDG][A-Z0-9]{2,}\Z")
_PAGE = 200
_MAX_PAGES = 10

log = logging.getLogger(__name__)


class _SlackError(SlotError):
    """Slack's answer was an error; ``code`` names it."""

    def __init__(self, method: str, code: str, status: int) -> None:
        said = _CURES.get(code, "see Slack's page of error codes" if code else "check base_url of the connection")
        refused = not code and 400 <= status < 500 and status != 429
        super().__init__(
            f"Slack refused {method} ({code or f'HTTP {status}'}): {said}", passing=code in _PASSING and not refused
        )
        self.code = code


class SlackTarget(Target):
    """One message a model and audience in a channel, posted once and edited from then on; never unfurled.

    A message carries the mark of its slot, so that one whose confirmation was lost is found again in the channel and
    not posted twice. For that, and to read back, the bot needs ``channels:history``; without it neither is done.

    :param client: a ``slack_sdk.WebClient``; one that sends again after a broken connection would post twice.
    :param channel: the channel's name or id.
    """

    shows_names = True

    def __init__(self, client: Any, channel: str) -> None:
        self._client = client
        self._channel = channel
        self._channel_id = channel if _CHANNEL_ID.match(channel) else ""
        self._mine: dict[str, str] | None = None
        self.name = f"slack:{channel}"

    def slots(self, item: Mapping[str, Any]) -> Sequence[str]:
        return [f"{item['audience']}/{item['model_id']}"]

    def put(self, slot: str, link: ShownLink, previous: Mapping[str, Any]) -> dict[str, Any]:
        message = _message(slot, link)
        held = dict(previous) if previous.get("ts") else self._posted_before(slot)
        if held:
            try:
                edited = self._call("chat_update", channel=held["channel"], ts=held["ts"], **message)
                return self._known(edited)
            except _SlackError as error:
                if error.code not in _GONE:
                    raise
            if previous.get("ts"):
                self._delete(held)
        try:
            posted = self._call(
                "chat_postMessage", channel=self._channel, unfurl_links=False, unfurl_media=False, **message
            )
        except SlotError as error:
            if not error.permanent:
                self._mine = None  # it may have been posted all the same: look before the next try
            raise
        return self._known(posted)

    def read_back(self, slot: str, link: ShownLink, details: Mapping[str, Any]) -> None:
        if not details.get("ts") or not details.get("channel"):
            raise SlotError("Slack confirmed no message: is base_url of the connection Slack's API?", passing=True)
        for message in self._shown(details):
            said = json.dumps(message)
            if link.token.reveal() not in said or tokens_of(said, link.model_id) - {link.token.reveal()}:
                raise SlotError("the message does not show the new link alone when read back", passing=True)

    def take_away(self, slot: str, details: Mapping[str, Any]) -> None:
        self._delete(details)

    # ------------------------------------------------------------------ reading

    def _shown(self, details: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        """The message as the channel has it; nothing where the bot may not read."""
        span = {"latest": details["ts"], "oldest": details["ts"], "inclusive": True, "limit": 1}
        try:
            found = self._call("conversations_history", channel=details["channel"], **span).get("messages") or []
        except _SlackError as error:
            if not error.permanent:
                raise
            return []
        shown = [message for message in found if message.get("ts") == details["ts"]]
        if not shown:
            raise SlotError("the message is not in the channel when read back", passing=True)
        return shown

    def _posted_before(self, slot: str) -> dict[str, Any]:
        """A slot's message that an earlier try or run posted, and did not live to record."""
        if self._mine is None:
            mine: dict[str, str] = {}
            for message in self._recent():
                for block in message.get("blocks") or ():
                    mine.setdefault(str(block.get("block_id", ""))[: len(_mark(slot))], str(message["ts"]))
            self._mine = mine
        ts = self._mine.get(_mark(slot))
        return {"channel": self._channel_id, "ts": ts} if ts else {}

    def _recent(self) -> Iterator[Mapping[str, Any]]:
        """The channel's latest messages, newest first; none where the bot may not read."""
        cursor = ""
        try:
            channel = self._id_of_channel()
            for _ in range(_MAX_PAGES if channel else 0):
                found = self._call("conversations_history", channel=channel, limit=_PAGE, cursor=cursor)
                yield from found.get("messages") or []
                cursor = (found.get("response_metadata") or {}).get("next_cursor") or ""
                if not cursor:
                    return
        except _SlackError as error:
            if not error.permanent:
                raise
            log.info("%s: the channel is not read (%s), so messages are not read back.", self.name, error.code)

    def _id_of_channel(self) -> str:
        cursor = ""
        while not self._channel_id:
            found = self._call(
                "conversations_list", types="public_channel,private_channel", exclude_archived=True, limit=1000,
                cursor=cursor,
            )  # fmt: skip
            named = [c for c in found.get("channels") or [] if c.get("name") == self._channel.lstrip("#")]
            self._channel_id = str(named[0]["id"]) if named else ""
            cursor = (found.get("response_metadata") or {}).get("next_cursor") or ""
            if not cursor:
                break
        return self._channel_id

    # ------------------------------------------------------------------ calling

    def _known(self, answer: Any) -> dict[str, Any]:
        self._channel_id = str(answer.get("channel") or self._channel_id)
        return {"channel": answer.get("channel"), "ts": answer.get("ts")}

    def _delete(self, details: Mapping[str, Any]) -> None:
        try:
            self._call("chat_delete", channel=details["channel"], ts=details["ts"])
        except _SlackError as error:
            if error.code not in _GONE:
                raise

    def _call(self, method: str, **arguments: Any) -> Any:
        problem: SlotError | None = None
        try:
            return getattr(self._client, method)(**arguments)
        except SlackApiError as error:
            problem = _SlackError(method, *_code_and_status(error))
        except (OSError, HTTPException) as error:
            problem = SlotError(f"Slack was not reached, or broke off ({type(error).__name__})", passing=True)
        raise problem


def _code_and_status(error: SlackApiError) -> tuple[str, int]:
    """Slack's word for an error and the HTTP status, as far as the answer was one of Slack's."""
    answer: Any = error.response
    if isinstance(answer, Mapping):  # the client's form of an answer that is no JSON
        return "", int(answer.get("status") or 0)
    code = answer.get("error", "") if hasattr(answer, "get") else ""
    return code if isinstance(code, str) and re.fullmatch(r"\w{0,60}", code) else "", int(answer.status_code or 0)


def _mark(slot: str) -> str:
    return f"pme-{hashlib.sha256(slot.encode()).hexdigest()[:24]}"


def _message(slot: str, link: ShownLink) -> dict[str, Any]:
    ends = int(link.valid_until.timestamp())
    until = f"<!date^{ends}^{{date_short_pretty}}, {{time}}|{link.valid_until.strftime('%Y-%m-%d %H:%M UTC')}>"
    name = _escaped(link.name)
    words = f"*\u2068{name}\u2069*\nSpace `{link.model_id}` for {_escaped(link.audience)}, until {until}"
    button = {
        "type": "button",
        "text": {"type": "plain_text", "text": "Open the space"},
        "url": link.url.reveal(),
        "action_id": "pme_open",
    }
    block = {
        "type": "section",
        "block_id": f"{_mark(slot)}-{link.link_id[-12:]}",
        "text": {"type": "mrkdwn", "text": words},
        "accessory": button,
    }
    return {"text": f"Private space {name}", "blocks": [block]}


def _escaped(text: str) -> str:
    """A text in which Slack sees no mention, link or formatting."""
    plain = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([*_~`])", "\u200b\\1", plain)
