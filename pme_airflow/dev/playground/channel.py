"""A stand-in for a Slack workspace's Web API, as strict as Slack about requests, and a page of its channel."""

from __future__ import annotations

import html
import json
import re
from datetime import datetime, timezone
from typing import Any
from urllib.parse import parse_qs, urlsplit

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

__all__ = ["Channel", "create_channel_app"]

#: Slack's documented limits: blocks a message, characters of a section, of a button, of its address, of a block's id.
_BLOCKS, _SECTION, _BUTTON, _ADDRESS, _BLOCK_ID = 50, 3000, 75, 3000, 255
_TOKEN = re.compile(r"Bearer (xox[bp]-[A-Za-z0-9-]+)\Z")


class _Refused(Exception):
    """Slack's response ``{"ok": false, "error": …}``."""


class Channel:
    """One channel and its messages by their ``ts``.

    :param name: the channel's name without ``#``.
    :param team: the workspace's id.
    :param channel_id: the channel's id.
    :ivar refuse: the error code of the response to every call; empty for none.
    :ivar refusals: the error code of the response to every call of a method, by method.
    :ivar locked: the ``ts`` of messages that another app posted.
    :ivar may_read: whether the bot has those of ``scopes`` that reading needs.
    :ivar member: whether the bot is in the channel.
    :ivar archived: whether the channel is archived.
    :ivar private: whether the channel is private.
    :ivar scopes: the bot's scopes, as every response lists them. A method that needs another one is refused.
    :ivar throttle: how many of the next requests are answered with 429.
    """

    def __init__(self, name: str = "tours", team: str = "T0TOURS01", channel_id: str = "C0TOURS01") -> None:
        self.name, self.id, self.team = name, channel_id, team
        self.messages: dict[str, dict[str, Any]] = {}
        self.refuse = ""
        self.refusals: dict[str, str] = {}
        self.locked: set[str] = set()
        self.may_read = True
        self.member, self.archived, self.private = True, False, False
        self.scopes = "chat:write,channels:history,channels:read"
        self.throttle = 0
        self.calls: list[str] = []
        self.unfurled: list[str] = []
        self._last = 1_700_000_000_000_000

    def answer(self, method: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """Return Slack's response to a call.

        :raises _Refused: with Slack's error code.
        """
        self.calls.append(method)
        self._refuse(self.refuse or self.refusals.get(method, ""))
        methods = {
            "chat.postMessage": self._post,
            "chat.update": self._update,
            "chat.delete": self._delete,
            "chat.getPermalink": self._permalink,
            "auth.test": self._identity,
            "conversations.history": self._history,
            "conversations.list": self._list,
            "conversations.info": self._info,
        }
        if method not in methods:
            raise _Refused("unknown_method")
        return {"ok": True, **methods[method](arguments)}

    def _refuse(self, code: str) -> None:
        if code:
            raise _Refused(code)

    def _post(self, arguments: dict[str, Any]) -> dict[str, Any]:
        if arguments.get("channel") not in (self.id, self.name, f"#{self.name}"):
            raise _Refused("channel_not_found")
        self._refuse("is_archived" if self.archived else "" if self.member else "not_in_channel")
        self._last += 1
        ts = f"{self._last // 1_000_000}.{self._last % 1_000_000:06d}"
        self.messages[ts] = self._message(ts, arguments)
        if not all(_is_false(arguments.get(key)) for key in ("unfurl_links", "unfurl_media")):
            self.unfurled.append(ts)
        return {"channel": self.id, "ts": ts, "message": self.messages[ts]}

    def _update(self, arguments: dict[str, Any]) -> dict[str, Any]:
        ts = self._ts_of(arguments)
        self._refuse("cant_update_message" if ts in self.locked else "")
        self.messages[ts] = {**self._message(ts, arguments), "edited": {"ts": ts}}
        return {"channel": self.id, "ts": ts, "text": arguments.get("text", "")}

    def _delete(self, arguments: dict[str, Any]) -> dict[str, Any]:
        ts = self._ts_of(arguments)
        self._refuse("cant_delete_message" if ts in self.locked else "")
        del self.messages[ts]
        return {"channel": self.id, "ts": ts}

    def _permalink(self, arguments: dict[str, Any]) -> dict[str, Any]:
        ts = self._ts_of({**arguments, "ts": arguments.get("message_ts")})
        return {"channel": self.id, "permalink": f"https://{self.team}.slack.com/archives/{self.id}/p{ts}"}

    def _identity(self, arguments: dict[str, Any]) -> dict[str, Any]:
        return {"team_id": self.team, "team": self.team, "bot_id": "B01", "user_id": "U01"}

    def _history(self, arguments: dict[str, Any]) -> dict[str, Any]:
        self._check_channel(arguments)
        self._need("history", self._kind)
        inclusive = str(arguments.get("inclusive", "")).lower() in ("1", "true")
        latest, oldest = str(arguments.get("latest") or "9"), str(arguments.get("oldest") or "0")
        fit = [m for ts, m in self.messages.items() if oldest < ts < latest or (inclusive and ts in (latest, oldest))]
        newest = sorted(fit, key=lambda message: str(message["ts"]), reverse=True)
        limit, start = int(arguments.get("limit") or 100), int(arguments.get("cursor") or 0)
        more = len(newest) > start + limit
        cursor = {"response_metadata": {"next_cursor": str(start + limit) if more else ""}}
        return {"messages": newest[start : start + limit], "has_more": more, **cursor}

    def _list(self, arguments: dict[str, Any]) -> dict[str, Any]:
        kinds = str(arguments.get("types") or "public_channel").split(",")
        for kind in kinds:  # Slack refuses the whole call if the scope of one type is missing
            self._need("read", kind)
        listed = [{"id": self.id, "name": self.name}] if self._kind in kinds else []
        return {"channels": listed, "response_metadata": {"next_cursor": ""}}

    def _info(self, arguments: dict[str, Any]) -> dict[str, Any]:
        self._need("read", self._kind)
        self._check_channel(arguments)
        known = {"id": self.id, "name": self.name, "is_member": self.member, "is_archived": self.archived}
        return {"channel": {**known, "is_private": self.private}}

    @property
    def _kind(self) -> str:
        return "private_channel" if self.private else "public_channel"

    def _need(self, act: str, kind: str) -> None:
        scope = f"{'groups' if kind == 'private_channel' else 'channels'}:{act}"
        self._refuse("" if self.may_read and scope in self.scopes.split(",") else "missing_scope")

    def _check_channel(self, arguments: dict[str, Any]) -> None:
        if arguments.get("channel") != self.id:  # every method but chat.postMessage requires the id
            raise _Refused("channel_not_found")

    def _ts_of(self, arguments: dict[str, Any]) -> str:
        self._check_channel(arguments)
        ts = str(arguments.get("ts"))
        if ts not in self.messages:
            raise _Refused("message_not_found")
        return ts

    def _message(self, ts: str, arguments: dict[str, Any]) -> dict[str, Any]:
        blocks = arguments.get("blocks") or []
        blocks = json.loads(blocks) if isinstance(blocks, str) else blocks
        if not arguments.get("text") and not blocks:
            raise _Refused("no_text")
        if len(blocks) > _BLOCKS or len({b.get("block_id") for b in blocks}) < len(blocks):
            raise _Refused("invalid_blocks")
        for block in blocks:
            self._check(block)
        return {"type": "message", "ts": ts, "bot_id": "B01", "text": arguments.get("text", ""), "blocks": blocks,
                "sent": {key: value for key, value in arguments.items() if key not in ("text", "blocks")}}  # fmt: skip

    def _check(self, block: dict[str, Any]) -> None:
        text, button = block.get("text") or {}, block.get("accessory") or {}
        address = str(button.get("url", ""))
        good = (
            block.get("type") in ("section", "header", "context")
            and len(str(block.get("block_id", ""))) <= _BLOCK_ID
            and len(str(text.get("text", ""))) <= _SECTION
            and len(str((button.get("text") or {}).get("text", ""))) <= _BUTTON
            and len(address) <= _ADDRESS
            and (not address or urlsplit(address).scheme in ("http", "https"))
        )
        if not good:
            raise _Refused("invalid_blocks")


def _is_false(value: Any) -> bool:
    return value in (False, 0, "0", "false", "False")


class _Workspace:
    def __init__(self, channel: Channel) -> None:
        self.channel = channel

    async def call(self, request: Request) -> Response:
        channel = self.channel
        if channel.throttle:
            channel.throttle -= 1
            return JSONResponse({"ok": False, "error": "ratelimited"}, 429, {"Retry-After": "1"})
        if not _TOKEN.match(request.headers.get("Authorization", "")):
            return JSONResponse({"ok": False, "error": "not_authed"})
        body = (await request.body()).decode()
        arguments: dict[str, Any] = {key: values[0] for key, values in parse_qs(body).items()}
        if "json" in request.headers.get("Content-Type", ""):
            arguments = json.loads(body or "{}")
        try:
            answer = channel.answer(request.path_params["method"], {**request.query_params, **arguments})
            return JSONResponse(answer, headers={"X-OAuth-Scopes": channel.scopes})
        except _Refused as refused:
            return JSONResponse({"ok": False, "error": str(refused)})

    async def page(self, request: Request) -> Response:
        """Return the channel as its members see it."""
        shown = "".join(_shown(message) for message in self.channel.messages.values())
        return HTMLResponse(_PAGE.format(name=html.escape(self.channel.name), messages=shown))


def _shown(message: dict[str, Any]) -> str:
    parts = []
    for block in message["blocks"]:
        text = html.escape(html.unescape(str((block.get("text") or {}).get("text", ""))))
        text = re.sub(r"&lt;(https?:[^|]*)\|([^|]*?)&gt;", r'<a rel="noreferrer" href="\1">\2</a>', text)
        text = re.sub(r"&lt;!date\^(\d+)\^[^|]*\|[^&]*&gt;", lambda match: _date(int(match[1])), text)
        text = re.sub(r"\*([^*\n]+)\*", r"<b>\1</b>", text)
        text = re.sub(r"`([^`]+)`", r"<code>\1</code>", text).replace("\n", "<br>")
        parts.append(f"<p>{text}</p>{_shown_button(block.get('accessory') or {})}")
    edited = " <small>(edited)</small>" if "edited" in message else ""
    return f"<li><strong>pme-airflow</strong> <small>APP</small>{edited}{''.join(parts)}</li>"


def _shown_button(button: dict[str, Any]) -> str:
    if not button:
        return ""
    return f'<a rel="noreferrer" href="{html.escape(button["url"])}">{html.escape(button["text"]["text"])}</a>'


def _date(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%b %d, %H:%M UTC")


_PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>#{name}</title>
<meta name="referrer" content="no-referrer"><style>
body {{ font: 15px/1.5 system-ui, sans-serif; margin: 1rem auto; max-width: 44rem; padding: 0 1rem; color: #1d1c1d }}
ul {{ list-style: none; padding: 0 }}
li {{ border-top: 1px solid #ddd; padding: .75rem 0 }} p {{ margin: .25rem 0 .5rem }}
a {{ border: 1px solid #bbb; border-radius: 4px; padding: .25rem .75rem; text-decoration: none; color: inherit }}
small {{ color: #616061 }}</style></head><body><h1># {name}</h1><ul>{messages}</ul></body></html>"""


def create_channel_app(channel: Channel) -> Starlette:
    """Return the workspace as an ASGI app: Slack's methods under ``/api/``, and the channel's page at ``/``."""
    workspace = _Workspace(channel)
    return Starlette(
        routes=[Route("/api/{method}", workspace.call, methods=["POST", "GET"]), Route("/", workspace.page)]
    )
