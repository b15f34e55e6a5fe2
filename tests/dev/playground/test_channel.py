"""The stand-in for Slack is as strict as Slack: it refuses what Slack would refuse, with Slack's codes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from starlette.testclient import TestClient

from pme_airflow.dev.playground.channel import Channel, create_channel_app

TOKEN = {"Authorization": "Bearer xoxb-playground"}
BLOCK = {"type": "section", "block_id": "b", "text": {"type": "mrkdwn", "text": "*Hall*\nfor <!date^0^x|y> `M`"},
         "accessory": {"type": "button", "text": {"text": "Open <it>"}, "url": "https://x.test/?a=1&b=2"}}  # fmt: skip


@pytest.fixture
def channel() -> Channel:
    return Channel()


@pytest.fixture
def slack(channel: Channel) -> TestClient:
    return TestClient(create_channel_app(channel))


def call(slack: TestClient, method: str, **arguments: Any) -> dict[str, Any]:
    answer = slack.post(f"/api/{method}", json=arguments, headers=TOKEN)
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    return found


def post(slack: TestClient, **arguments: Any) -> dict[str, Any]:
    return call(slack, "chat.postMessage", **{"channel": "#tours", "text": "x", "blocks": [BLOCK], **arguments})


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer x"}, {"Authorization": "xoxb-playground"}])
def test_a_request_without_a_bots_token_is_refused(slack: TestClient, headers: dict[str, str]) -> None:
    assert slack.post("/api/auth.test", headers=headers).json() == {"ok": False, "error": "not_authed"}


def test_arguments_are_read_from_a_form_a_json_body_and_the_address(slack: TestClient, channel: Channel) -> None:
    form = {"channel": "tours", "text": "x", "blocks": json.dumps([BLOCK])}
    assert slack.post("/api/chat.postMessage", data=form, headers=TOKEN).json()["ok"]
    assert slack.get(f"/api/conversations.history?channel={channel.id}", headers=TOKEN).json()["ok"]
    assert post(slack)["ok"]
    assert len(channel.messages) == 2


def test_a_message_is_posted_edited_and_deleted(slack: TestClient, channel: Channel) -> None:
    posted = post(slack)
    assert (posted["channel"], channel.unfurled) == (channel.id, [posted["ts"]])
    named = {"channel": channel.id, "ts": posted["ts"]}
    assert call(slack, "chat.update", **named, text="y")["ok"]
    assert channel.messages[posted["ts"]]["text"] == "y"
    assert call(slack, "chat.delete", **named)["ok"]
    assert channel.messages == {}
    for method in ("chat.delete", "chat.update"):
        assert call(slack, method, **named, text="z")["error"] == "message_not_found"


def test_links_are_unfurled_unless_both_switches_are_off(slack: TestClient, channel: Channel) -> None:
    for switches in ({"unfurl_links": False}, {"unfurl_media": False}, {"unfurl_links": True, "unfurl_media": False}):
        post(slack, **switches)
    assert len(channel.unfurled) == 3
    post(slack, unfurl_links=False, unfurl_media="false")
    assert len(channel.unfurled) == 3


@pytest.mark.parametrize("method", ["chat.update", "chat.delete", "conversations.history", "chat.getPermalink"])
def test_all_but_posting_needs_the_channels_id(slack: TestClient, method: str) -> None:
    ts = post(slack)["ts"]
    assert call(slack, method, channel="#tours", ts=ts, message_ts=ts)["error"] == "channel_not_found"
    assert post(slack, channel="#other")["error"] == "channel_not_found"


@pytest.mark.parametrize(
    "change",
    [
        {"text": {"text": "x" * 3001}},
        {"block_id": "x" * 256},
        {"type": "iframe"},
        {"accessory": {"text": {"text": "x" * 76}, "url": "https://x.test"}},
        {"accessory": {"text": {"text": "x"}, "url": "https://x.test/" + "x" * 3000}},
        {"accessory": {"text": {"text": "x"}, "url": "javascript:alert(1)"}},
    ],
)
def test_a_block_beyond_slacks_limits_is_refused(slack: TestClient, channel: Channel, change: dict[str, Any]) -> None:
    assert post(slack, blocks=[{**BLOCK, **change}])["error"] == "invalid_blocks"
    assert channel.messages == {}


def test_blocks_have_ids_of_their_own_and_are_fifty_at_most(slack: TestClient) -> None:
    assert post(slack, blocks=[BLOCK, BLOCK])["error"] == "invalid_blocks"
    many = [{**BLOCK, "block_id": str(number)} for number in range(51)]
    assert post(slack, blocks=many)["error"] == "invalid_blocks"
    assert post(slack, blocks=many[:50])["ok"]
    assert post(slack, blocks=[], text="")["error"] == "no_text"


def test_history_is_newest_first_in_pages_and_within_its_span(slack: TestClient, channel: Channel) -> None:
    ts = [post(slack)["ts"] for _ in range(3)]
    found = call(slack, "conversations.history", channel=channel.id, limit=2)
    assert [message["ts"] for message in found["messages"]] == [ts[2], ts[1]]
    assert found["has_more"]
    cursor = found["response_metadata"]["next_cursor"]
    rest = call(slack, "conversations.history", channel=channel.id, limit=2, cursor=cursor)
    assert [message["ts"] for message in rest["messages"]] == [ts[0]]
    assert (rest["has_more"], rest["response_metadata"]["next_cursor"]) == (False, "")
    one = {"channel": channel.id, "latest": ts[1], "oldest": ts[1]}
    assert call(slack, "conversations.history", **one)["messages"] == []
    assert [m["ts"] for m in call(slack, "conversations.history", **one, inclusive=True)["messages"]] == [ts[1]]


def test_a_bot_without_the_scopes_reads_nothing_and_still_posts(slack: TestClient, channel: Channel) -> None:
    channel.may_read = False
    for method in ("conversations.history", "conversations.list"):
        assert call(slack, method, channel=channel.id)["error"] == "missing_scope"
    assert post(slack)["ok"]


@pytest.mark.parametrize(
    ("scopes", "types", "answer"),
    [
        ("channels:read", "public_channel", ["C0TOURS01"]),
        ("channels:read", "", ["C0TOURS01"]),
        ("channels:read", "private_channel", "missing_scope"),
        ("channels:read", "public_channel,private_channel", "missing_scope"),
        ("groups:read", "public_channel,private_channel", "missing_scope"),
        ("groups:read", "private_channel", []),
        ("channels:read,groups:read", "public_channel,private_channel", ["C0TOURS01"]),
    ],
)
def test_each_type_of_channel_needs_its_scope(
    slack: TestClient, channel: Channel, scopes: str, types: str, answer: Any
) -> None:
    channel.scopes = scopes
    found = call(slack, "conversations.list", types=types)
    assert (found.get("error") or [entry["id"] for entry in found["channels"]]) == answer


def test_a_private_channel_is_listed_and_read_with_scopes_of_its_own(slack: TestClient, channel: Channel) -> None:
    channel.private = True
    named = {"channel": channel.id}
    assert call(slack, "conversations.list")["channels"] == []
    for method in ("conversations.history", "conversations.info"):
        assert call(slack, method, **named)["error"] == "missing_scope"
    channel.scopes = "groups:read,groups:history"
    assert call(slack, "conversations.info", **named)["channel"]["is_private"]
    assert call(slack, "conversations.history", **named)["ok"]
    assert [entry["id"] for entry in call(slack, "conversations.list", types="private_channel")["channels"]] == [
        channel.id
    ]


def test_another_apps_message_is_neither_edited_nor_deleted(slack: TestClient, channel: Channel) -> None:
    named = {"channel": channel.id, "ts": post(slack)["ts"], "text": "x"}
    channel.locked.add(named["ts"])
    assert call(slack, "chat.update", **named)["error"] == "cant_update_message"
    assert call(slack, "chat.delete", **named)["error"] == "cant_delete_message"


def test_faults_are_answered_as_slack_does(slack: TestClient, channel: Channel) -> None:
    channel.throttle = 1
    throttled = slack.post("/api/auth.test", headers=TOKEN)
    assert (throttled.status_code, throttled.headers["Retry-After"]) == (429, "1")
    assert call(slack, "auth.test")["team_id"] == channel.team
    channel.refusals = {"auth.test": "account_inactive"}
    assert call(slack, "auth.test")["error"] == "account_inactive"
    channel.refuse = "fatal_error"
    assert call(slack, "conversations.list")["error"] == "fatal_error"
    assert call(slack, "no.such") == {"ok": False, "error": "fatal_error"}
    channel.refuse = ""
    assert call(slack, "no.such")["error"] == "unknown_method"


def test_the_channels_page_shows_messages_and_escapes_them(slack: TestClient) -> None:
    post(slack, blocks=[{**BLOCK, "text": {"text": "*Hall* <script>"}}, {**BLOCK, "block_id": "c"}])
    page = slack.get("/").text
    assert "<b>Hall</b> &lt;script&gt;" in page
    assert "for Jan 01, 00:00 UTC <code>M</code>" in page
    assert '<a rel="noreferrer" href="https://x.test/?a=1&amp;b=2">Open &lt;it&gt;</a>' in page
    assert "(edited)" not in page
    text = "*Hall*\n<https://x.test/?a=1&amp;b=2|Open &amp; see>"
    post(slack, blocks=[{**BLOCK, "accessory": {}, "text": {"text": text}}])
    assert '<a rel="noreferrer" href="https://x.test/?a=1&amp;b=2">Open &amp; see</a>' in slack.get("/").text
