"""Slack and JSON APIs, against strict stand-ins: edited in place, read back, and clear words for what is refused."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

import pytest
import requests
from slack_sdk import WebClient

from pme_airflow.emulator import World
from pme_airflow.ledger.actor import Actor
from pme_airflow.rotation.publish import Publisher
from pme_airflow.rotation.services import Services
from pme_airflow.targets.http_json import HttpJsonTarget
from pme_airflow.targets.slack import SlackTarget
from tests.conftest import MODELS
from tests.support.rooms import mint, publish

ONE, TWO = list(MODELS)[:2]


class Channel:
    """What a channel holds, by ts; the stand-in of Slack's API around it."""

    def __init__(self) -> None:
        self.messages: dict[str, dict[str, Any]] = {}
        self.refuse = ""
        self.posted = self.updated = 0

    def answer(self, method: str, said: dict[str, Any]) -> dict[str, Any]:
        if self.refuse:
            return {"ok": False, "error": self.refuse}
        if method == "conversations.history":
            found = self.messages.get(str(said["latest"]))
            return {"ok": True, "messages": [found] if found else []}
        if method != "chat.postMessage" and said.get("ts") not in self.messages:
            return {"ok": False, "error": "message_not_found"}
        if method == "chat.delete":
            del self.messages[said["ts"]]
            return {"ok": True}
        if method == "chat.postMessage":
            assert said["unfurl_links"] in (False, "false", "0")
            self.posted += 1
        self.updated += method == "chat.update"
        ts = said.get("ts") or f"1700000000.{self.posted:06d}"
        self.messages[ts] = {"ts": ts, "text": said["text"], "blocks": said["blocks"]}
        return {"ok": True, "channel": "C1", "ts": ts}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    channel: Channel

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        form = "json" not in self.headers.get("Content-Type", "")
        said = {k: v[0] for k, v in parse_qs(body).items()} if form else json.loads(body)
        raw = json.dumps(self.channel.answer(self.path.rpartition("/")[2], said)).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def channel() -> Iterator[tuple[Channel, SlackTarget]]:
    held = Channel()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Own", (Handler,), {"channel": held}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    client = WebClient(token="xoxb-test", base_url=f"http://127.0.0.1:{server.server_address[1]}/api/")
    yield held, SlackTarget(client, "#tours")
    server.shutdown()


def test_a_message_a_model_is_edited_in_place(
    channel: tuple[Channel, SlackTarget], services: Services, world: World
) -> None:
    held, target = channel
    for night in ("monday", "tuesday", "wednesday"):
        assert publish(services, night, target, mint(services, night, [ONE, TWO]).items).failed == []
    assert (held.posted, held.updated, len(held.messages)) == (2, 4, 2)
    shown = json.dumps(held.messages)
    assert [t for t in list(world.tokens)[:4] if t in shown] == []
    assert [t for t in list(world.tokens)[4:] if t not in shown] == []


def test_a_message_that_is_gone_is_posted_anew_and_a_cleared_slot_leaves_nothing(
    channel: tuple[Channel, SlackTarget], services: Services
) -> None:
    held, target = channel
    publish(services, "monday", target, mint(services, "monday", [ONE]).items)
    held.messages.clear()
    assert publish(services, "tuesday", target, mint(services, "tuesday", [ONE]).items).failed == []
    assert len(held.messages) == 1
    Publisher(services, Actor("dag/wednesday/publish/-1"), target).retire_others("intranet", [])
    assert held.messages == {}


def test_a_channel_the_bot_is_not_in_is_named_with_the_cure(
    channel: tuple[Channel, SlackTarget], services: Services
) -> None:
    held, target = channel
    held.refuse = "not_in_channel"
    (failed,) = publish(services, "monday", target, mint(services, "monday", [ONE]).items).failed
    assert "invite the bot" in failed["reason"]
    assert failed["permanent"]


class Items(requests.Session):
    """A JSON API in memory, with an ``ETag`` for each item."""

    def __init__(self) -> None:
        super().__init__()
        self.items: dict[str, Any] = {}
        self.version = 0
        self.meddle = self.html = self.inside = False
        self.redirect = ""

    def request(self, method: str, url: str, **named: Any) -> requests.Response:  # type: ignore[override]
        answer = requests.Response()
        answer.status_code, answer.url = 200, url
        headers = named.get("headers") or {}
        content: Any = self.items.get(url, {})
        if self.redirect:
            answer.status_code, answer.headers["Location"] = 302, self.redirect
        elif method == "GET":
            answer.headers["ETag"] = f'"{self.version}"'
        elif headers.get("If-Match") not in (None, f'"{self.version}"'):
            answer.status_code = 412
        elif self.inside:
            content = {"errors": [{"message": "no"}]}
        else:
            self.items[url] = content = named["json"]
            self.version += 1
        if self.meddle and method == "GET":
            self.meddle, self.version = False, self.version + 1
        answer.headers["Content-Type"] = "text/html" if self.html else "application/json"
        answer._content = json.dumps(content).encode()
        return answer


def http_target(session: requests.Session) -> HttpJsonTarget:
    return HttpJsonTarget(
        session, "https://cms.test", "http:cms", method="patch", endpoint="spaces/{model_id}", json={"url": "{link}"},
        headers={}, expected=[200], read_endpoint="spaces/{model_id}", clear_json={"url": None}, timeout=5,
    )  # fmt: skip


def test_an_item_somebody_edits_meanwhile_is_not_overwritten_blindly(services: Services, world: World) -> None:
    session = Items()
    session.meddle = True
    assert publish(services, "monday", http_target(session), mint(services, "monday", [ONE]).items).failed == []
    assert session.items[f"https://cms.test/spaces/{ONE}"]["url"].endswith(next(reversed(world.tokens)))
    assert session.version == 2


@pytest.mark.parametrize(("trouble", "said"), [("html", "HTML"), ("inside", "error inside"), ("redirect", "redirect")])
def test_a_cms_that_says_no_in_its_own_way_is_heard(services: Services, trouble: str, said: str) -> None:
    session = Items()
    setattr(session, trouble, "https://elsewhere.test/" if trouble == "redirect" else True)
    (failed,) = publish(services, "monday", http_target(session), mint(services, "monday", [ONE]).items).failed
    assert said in failed["reason"]
    assert session.items == {} or trouble == "html"


def test_a_slot_is_cleared_with_the_body_for_it(services: Services) -> None:
    session = Items()
    target = http_target(session)
    publish(services, "monday", target, mint(services, "monday", [ONE]).items)
    Publisher(services, Actor("dag/tuesday/publish/-1"), target).retire_others("intranet", [])
    assert session.items[f"https://cms.test/spaces/{ONE}"] == {"url": None}
