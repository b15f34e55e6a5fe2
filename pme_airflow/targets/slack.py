"""Messages in a Slack channel: one for each model and audience, edited in place."""

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
from pme_airflow.targets.base import ShownLink, SlotResult, Target
from pme_airflow.targets.shown_tokens import tokens_of

__all__ = ["SlackTarget"]

#: Errors after which a message cannot be edited, so that a new one is posted.
_NOT_EDITABLE = frozenset({"message_not_found", "cant_update_message", "edit_window_closed", "channel_not_found"})
_ADVICE = {
    "not_in_channel": "invite the bot to the channel",
    "channel_not_found": "check the channel's name or id, and invite the bot if the channel is private",
    "invalid_auth": "check the token of the Slack connection",
    "not_authed": "enter the token of the Slack connection",
    "token_revoked": "enter a new token in the Slack connection",
    "account_inactive": "enter a new token in the Slack connection",
    "missing_scope": "give the bot the scope chat:write",
    "is_archived": "the channel is archived: choose another",
    "restricted_action": "an administrator keeps bots from posting there",
    "ratelimited": "Slack limits the rate of requests",
}
_TEMPORARY = frozenset({"", "ratelimited", "service_unavailable", "internal_error", "fatal_error", "request_timeout"})
_CHANNEL_ID = re.compile(r"[CDG][A-Z0-9]{2,}\Z")
_PAGE = 200
_MAX_PAGES = 10

log = logging.getLogger(__name__)


class _SlackError(SlotError):
    """An error response of Slack; ``code`` is Slack's name for it."""

    def __init__(self, method: str, code: str, status: int) -> None:
        advice = _ADVICE.get(code, "see Slack's list of error codes" if code else "check base_url of the connection")
        refused = not code and 400 <= status < 500 and status != 429
        super().__init__(
            f"Slack refused {method} ({code or f'HTTP {status}'}): {advice}", passing=code in _TEMPORARY and not refused
        )
        self.code = code


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
        self._client = client
        self._channel = channel
        self._channel_id = channel if _CHANNEL_ID.match(channel) else ""
        #: The ``ts`` of each message of this target by its slot's id; ``None`` until the channel has been read.
        self._own_messages: dict[str, str] | None = None
        self.name = f"slack:{channel}"

    def slots(self, item: Mapping[str, Any]) -> Sequence[str]:
        return [f"{item['audience']}/{item['model_id']}"]

    def put(self, slot: str, link: ShownLink, previous: Mapping[str, Any]) -> SlotResult:
        message = _message(slot, link)
        known = dict(previous) if previous.get("ts") else self._posted_before(slot)
        if known:
            try:
                return self._result(self._call("chat_update", channel=known["channel"], ts=known["ts"], **message))
            except _SlackError as error:
                if error.code not in _NOT_EDITABLE:
                    raise
            if previous.get("ts"):
                self._delete(known)
        return self._post(message)

    def _post(self, message: Mapping[str, Any]) -> SlotResult:
        try:
            posted = self._call(
                "chat_postMessage", channel=self._channel, unfurl_links=False, unfurl_media=False, **message
            )
        except SlotError as error:
            if not error.permanent:
                self._own_messages = None  # it may have been posted: read the channel again before the next try
            raise
        return self._result(posted)

    def read_back(self, slot: str, link: ShownLink, details: Mapping[str, Any]) -> None:
        if not details.get("ts") or not details.get("channel"):
            raise SlotError("Slack confirmed no message: is base_url of the connection Slack's API?", passing=True)
        for message in self._read(details):
            text = json.dumps(message)
            if link.token.reveal() not in text or tokens_of(text, link.model_id) - {link.token.reveal()}:
                raise SlotError("the message does not show the new link alone when it is read back", passing=True)

    def take_away(self, slot: str, details: Mapping[str, Any]) -> None:
        self._delete(details)

    # ------------------------------------------------------------------ reading

    def _read(self, details: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        """Return the message as it is in the channel; nothing if the bot may not read the channel."""
        span = {"latest": details["ts"], "oldest": details["ts"], "inclusive": True, "limit": 1}
        try:
            found = self._call("conversations_history", channel=details["channel"], **span).get("messages") or []
        except _SlackError as error:
            if not error.permanent:
                raise
            return []
        shown = [message for message in found if message.get("ts") == details["ts"]]
        if not shown:
            raise SlotError("the message is not in the channel when it is read back", passing=True)
        return shown

    def _posted_before(self, slot: str) -> dict[str, Any]:
        """Find a slot's message that an earlier try or run posted without recording it."""
        if self._own_messages is None:
            found: dict[str, str] = {}
            for message in self._recent():
                for block in message.get("blocks") or ():
                    found.setdefault(str(block.get("block_id", ""))[: len(_slot_id(slot))], str(message["ts"]))
            self._own_messages = found
        ts = self._own_messages.get(_slot_id(slot))
        return {"channel": self._channel_id, "ts": ts} if ts else {}

    def _recent(self) -> Iterator[Mapping[str, Any]]:
        """Return the channel's latest messages, newest first; none if the bot may not read the channel."""
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
            log.info("%s: the channel cannot be read (%s): messages are not read back.", self.name, error.code)

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

    def _result(self, response: Any) -> SlotResult:
        self._channel_id = str(response.get("channel") or self._channel_id)
        return SlotResult({"channel": response.get("channel"), "ts": response.get("ts")})

    def _delete(self, details: Mapping[str, Any]) -> None:
        try:
            self._call("chat_delete", channel=details["channel"], ts=details["ts"])
        except _SlackError as error:
            if error.code not in _NOT_EDITABLE:
                raise

    def _call(self, method: str, **arguments: Any) -> Any:
        problem: SlotError | None = None
        try:
            return getattr(self._client, method)(**arguments)
        except SlackApiError as error:
            problem = _SlackError(method, *_code_and_status(error))
        except (OSError, HTTPException) as error:
            problem = SlotError(f"the connection to Slack failed ({type(error).__name__})", passing=True)
        raise problem


def _code_and_status(error: SlackApiError) -> tuple[str, int]:
    """Return Slack's error code and the HTTP status, or no code where the response was not one of Slack's."""
    response: Any = error.response
    if isinstance(response, Mapping):  # how the client represents a response that is no JSON
        return "", int(response.get("status") or 0)
    code = response.get("error", "") if hasattr(response, "get") else ""
    return code if isinstance(code, str) and re.fullmatch(r"\w{0,60}", code) else "", int(response.status_code or 0)


def _slot_id(slot: str) -> str:
    return f"pme-{hashlib.sha256(slot.encode()).hexdigest()[:24]}"


def _message(slot: str, link: ShownLink) -> dict[str, Any]:
    ends = int(link.valid_until.timestamp())
    until = f"<!date^{ends}^{{date_short_pretty}}, {{time}}|{link.valid_until.strftime('%Y-%m-%d %H:%M UTC')}>"
    name = _escaped(link.name)
    text = f"*\u2068{name}\u2069*\nSpace `{link.model_id}` for {_escaped(link.audience)}, until {until}"
    button = {
        "type": "button",
        "text": {"type": "plain_text", "text": "Open the space"},
        "url": link.url.reveal(),
        "action_id": "pme_open",
    }
    block = {
        "type": "section",
        "block_id": f"{_slot_id(slot)}-{link.link_id[-12:]}",
        "text": {"type": "mrkdwn", "text": text},
        "accessory": button,
    }
    return {"text": f"Private space {name}", "blocks": [block]}


def _escaped(text: str) -> str:
    """Escape a text so that Slack reads no mention, link or formatting in it."""
    plain = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([*_~`])", "\u200b\\1", plain)
