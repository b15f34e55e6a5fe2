"""Checking a Slack channel without posting: the bot's token, its scopes, the channel, and its membership."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pme_airflow.checks import CheckResult
from pme_airflow.errors import SlotError
from pme_airflow.targets.slack_client import SlackApi, SlackRefusal

__all__ = ["check_channel"]

_POST = "chat:write"
_POST_ANYWHERE = "chat:write.public"
#: A scope of a public channel, and the one of a private channel that permits the same.
_READ_MESSAGES = ("channels:history", "groups:history")
_READ_CHANNELS = ("channels:read", "groups:read")
_SCOPES_HEADER = "x-oauth-scopes"
_ADD_SCOPE = "Add it under OAuth & Permissions of the Slack app, and install the app again."


@dataclass(frozen=True)
class _Bot:
    """What Slack says about the token; ``scopes`` is ``None`` where it does not list them."""

    name: str
    workspace: str
    scopes: frozenset[str] | None

    def has(self, *scopes: str) -> bool:
        return self.scopes is None or bool(self.scopes & set(scopes))


def check_channel(api: SlackApi, channel: str, channel_id: str) -> Iterator[CheckResult]:
    """Check the token, the scopes and the channel.

    :param channel: the channel as the placement names it.
    :param channel_id: its id; empty where it could not be found by its name.
    """
    try:
        identity = api.call("auth_test")
    except SlotError as error:
        yield CheckResult.of_error("account", error)
        return
    bot = _bot_of(identity)
    yield CheckResult.good("account", f"Slack accepts the token of {bot.name} in workspace {bot.workspace}.")
    yield from _check_scopes(bot)
    yield _check_membership(api, bot, channel, channel_id)


def _bot_of(identity: Any) -> _Bot:
    headers = {str(name).lower(): value for name, value in (getattr(identity, "headers", None) or {}).items()}
    listed = headers.get(_SCOPES_HEADER)
    scopes = None if listed is None else frozenset(scope.strip() for scope in str(listed).split(","))
    name = identity.get("user") or identity.get("user_id") or "the bot"
    return _Bot(str(name)[:80], str(identity.get("team") or identity.get("team_id") or "unknown")[:80], scopes)


def _check_scopes(bot: _Bot) -> Iterator[CheckResult]:
    if bot.scopes is None:
        yield CheckResult.good("scopes", "Slack does not list the token's scopes; the calls below show what it may.")
        return
    if not bot.has(_POST):
        yield CheckResult.bad("scopes", f"The bot lacks the scope {_POST}, so it cannot post.", _ADD_SCOPE)
        return
    missing = [names[0] for names in (_READ_MESSAGES, _READ_CHANNELS) if not bot.has(*names)]
    if missing:
        yield CheckResult.warning(
            "scopes",
            f"The bot lacks the scope {' and '.join(missing)}, so messages are not read back, and a post whose "
            "confirmation is lost may be posted twice.",
            _ADD_SCOPE.replace("it under", "them under") if len(missing) > 1 else _ADD_SCOPE,
        )
        return
    yield CheckResult.good("scopes", "The bot may post, and read its messages back.")


def _check_membership(api: SlackApi, bot: _Bot, channel: str, channel_id: str) -> CheckResult:
    if not channel_id:
        if not bot.has(*_READ_CHANNELS):
            return CheckResult.warning(
                "channel",
                f"{channel} cannot be looked up without the scope {_READ_CHANNELS[0]}.",
                f"Give the bot that scope ({_READ_CHANNELS[1]} for a private channel), or write the channel's id into "
                "channel.",
            )
        private = "" if bot.has(_READ_CHANNELS[1]) else f", and give it the scope {_READ_CHANNELS[1]}"
        return CheckResult.bad(
            "channel",
            f"There is no channel {channel} that the bot can see.",
            f"Check the channel's name; where it is private, invite the bot to the channel{private}.",
        )
    try:
        found = api.call("conversations_info", channel=channel_id)
    except SlackRefusal as error:
        if error.code in ("missing_scope", "unknown_method"):
            return CheckResult.warning(
                "channel",
                f"Whether the bot is in {channel} cannot be asked ({error.code}).",
                f"Give the bot the scope {_READ_CHANNELS[0]} ({_READ_CHANNELS[1]} for a private channel).",
            )
        return CheckResult.of_error("channel", error)
    except SlotError as error:
        return CheckResult.of_error("channel", error)
    return _judged(found.get("channel"), bot, channel)


def _judged(found: Any, bot: _Bot, channel: str) -> CheckResult:
    known: Mapping[str, Any] = found if isinstance(found, Mapping) else {}
    if known.get("is_archived"):
        return CheckResult.bad("channel", f"{channel} is archived.", "Choose another channel, or unarchive it.")
    direct = known.get("is_im") or known.get("is_mpim")
    if known.get("is_member") or direct:
        return CheckResult.good("channel", f"The bot is in {channel}.")
    if not known.get("is_private") and bot.scopes is not None and bot.has(_POST_ANYWHERE):
        return CheckResult.good("channel", f"The bot may post to {channel} without being in it ({_POST_ANYWHERE}).")
    return CheckResult.bad("channel", f"The bot is not in {channel}.", "Invite the bot to the channel: /invite @bot.")
