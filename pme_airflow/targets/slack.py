"""Messages in a Slack channel: one a model, edited in place."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from slack_sdk.errors import SlackApiError

from pme_airflow.rotation.publish import PMESlotError, ShownLink, Target

__all__ = ["SlackTarget"]

_GONE = frozenset({"message_not_found", "cant_update_message", "edit_window_closed", "channel_not_found"})
_CURES = {
    "not_in_channel": "invite the bot to the channel",
    "channel_not_found": "check the channel's name or id, and invite the bot where it is private",
    "invalid_auth": "check the token of the Slack connection",
    "not_authed": "enter the token of the Slack connection",
    "missing_scope": "give the bot the scope chat:write",
    "is_archived": "the channel is archived: choose another",
    "ratelimited": "Slack asks for patience",
}
_PASSING = frozenset({"ratelimited", "service_unavailable", "internal_error", "fatal_error", "request_timeout"})


class SlackTarget(Target):
    """One message a model and audience in a channel, posted once and edited from then on; never unfurled.

    :param client: a ``slack_sdk.WebClient``.
    :param channel: the channel's name or id.
    """

    def __init__(self, client: Any, channel: str) -> None:
        self._client = client
        self._channel = channel
        self.name = f"slack:{channel}"

    def slots(self, item: Mapping[str, Any]) -> Sequence[str]:
        return [f"{item['audience']}/{item['model_id']}"]

    def put(self, slot: str, link: ShownLink, previous: Mapping[str, Any]) -> dict[str, Any]:
        message = _message(link)
        if previous.get("ts"):
            try:
                edited = self._call("chat_update", channel=previous["channel"], ts=previous["ts"], **message)
                return {"channel": edited["channel"], "ts": edited["ts"]}
            except PMESlotError as error:
                if not any(code in str(error) for code in _GONE):
                    raise
            self._delete(previous)
        posted = self._call(
            "chat_postMessage", channel=self._channel, unfurl_links=False, unfurl_media=False, **message
        )
        return {"channel": posted["channel"], "ts": posted["ts"]}

    def read_back(self, slot: str, link: ShownLink, details: Mapping[str, Any]) -> None:
        if not details.get("ts") or not details.get("channel"):
            raise PMESlotError("Slack confirmed no message: is base_url of the connection Slack's API?", passing=True)
        if any(link.token.reveal() not in json.dumps(message) for message in self._shown(details)):
            raise PMESlotError("the message does not show the new link when read back", passing=True)

    def _shown(self, details: Mapping[str, Any]) -> list[Any]:
        """The message as the channel has it; nothing where the bot may not read (it lacks ``channels:history``)."""
        span = {"latest": details["ts"], "oldest": details["ts"], "inclusive": True, "limit": 1}
        try:
            history = self._call("conversations_history", channel=details["channel"], **span)
        except PMESlotError:
            return []
        found = history.get("messages") or []
        return [message for message in found if isinstance(message, Mapping) and message.get("ts") == details["ts"]]

    def take_away(self, slot: str, details: Mapping[str, Any]) -> None:
        self._delete(details)

    def _delete(self, details: Mapping[str, Any]) -> None:
        try:
            self._call("chat_delete", channel=details["channel"], ts=details["ts"])
        except PMESlotError as error:
            if not any(code in str(error) for code in _GONE):
                raise

    def _call(self, method: str, **arguments: Any) -> Any:
        problem: PMESlotError | None = None
        try:
            return getattr(self._client, method)(**arguments)
        except SlackApiError as error:
            code = str(error.response.get("error", "")) if hasattr(error.response, "get") else ""
            said = _CURES.get(code, "see Slack's page of error codes")
            problem = PMESlotError(f"Slack refused {method} ({code or 'no code'}): {said}", passing=code in _PASSING)
        except OSError as error:
            problem = PMESlotError(f"Slack was not reached ({type(error).__name__})", passing=True)
        raise problem


def _message(link: ShownLink) -> dict[str, Any]:
    ends = int(link.valid_until.timestamp())
    until = f"<!date^{ends}^{{date_short_pretty}}, {{time}}|{link.valid_until.strftime('%Y-%m-%d %H:%M UTC')}>"
    words = f"Space `{link.model_id}` for {link.audience}, until {until}"
    button = {
        "type": "button",
        "text": {"type": "plain_text", "text": "Open the space"},
        "url": link.url.reveal(),
        "action_id": "pme_open",
    }
    block = {"type": "section", "text": {"type": "mrkdwn", "text": words}, "accessory": button}
    return {"text": f"Private space {link.model_id}", "blocks": [block]}
