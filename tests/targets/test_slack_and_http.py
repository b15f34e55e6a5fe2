"""Slack and JSON APIs, against strict stand-ins: edited in place, read back, and clear words for what is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from slack_sdk import WebClient

from pme_airflow.dev.emulator import World
from pme_airflow.dev.playground.channel import Channel
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.lifecycle.publish import Publisher
from pme_airflow.lifecycle.services import Services
from pme_airflow.targets.http_json import HttpJsonTarget
from pme_airflow.targets.slack import SlackTarget
from tests.conftest import MODELS
from tests.support.places import slack_place
from tests.support.rooms import mint, publish

ONE, TWO = list(MODELS)[:2]


@pytest.fixture
def channel() -> Iterator[tuple[Channel, SlackTarget]]:
    with slack_place() as place:
        place.channel.messages.clear()
        yield place.channel, place.target()


def test_a_message_a_model_is_edited_in_place(
    channel: tuple[Channel, SlackTarget], services: Services, world: World
) -> None:
    held, target = channel
    for night in ("monday", "tuesday", "wednesday"):
        assert publish(services, night, target, mint(services, night, [ONE, TWO]).items).failed == []
    calls = [held.calls.count(method) for method in ("chat.postMessage", "chat.update")]
    assert (calls, len(held.messages)) == ([3, 4], 2)  # one was posted by somebody else
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
    Publisher(services, RunContext("dag/wednesday/publish/-1"), target).retire_others("intranet", [])
    assert held.messages == {}


def test_a_channel_the_bot_is_not_in_is_named_with_the_cure(
    channel: tuple[Channel, SlackTarget], services: Services
) -> None:
    held, target = channel
    held.refuse = "not_in_channel"
    (failed,) = publish(services, "monday", target, mint(services, "monday", [ONE]).items).failed
    assert "invite the bot" in failed["reason"]
    assert failed["permanent"]


def test_a_message_whose_confirmation_was_lost_is_found_again(services: Services) -> None:
    with slack_place() as place:
        place.channel.messages.clear()
        items = mint(services, "monday", [ONE]).items
        place.break_it({"lost_after": 1.0})
        assert publish(services, "monday", place.target(), items).failed != []
        place.break_it({})
        assert publish(services, "monday", place.target(), items).failed == []
        assert len(place.channel.messages) == 1


def test_a_bot_that_may_not_read_the_channel_still_posts(services: Services) -> None:
    with slack_place() as place:
        place.channel.may_read = False
        assert publish(services, "monday", place.target(), mint(services, "monday", [ONE]).items).failed == []


def test_an_address_that_is_no_slack_is_told_at_once(services: Services) -> None:
    with slack_place() as place:
        client = WebClient(token="xoxb-test", base_url=f"{place.proxy.address}/nothing/", retry_handlers=[])
        items = mint(services, "monday", [ONE]).items
        (failed,) = publish(services, "monday", SlackTarget(client, "#tours"), items).failed
        assert "base_url" in failed["reason"]
        assert failed["permanent"]


def test_slacks_patience_is_respected(channel: tuple[Channel, SlackTarget], services: Services) -> None:
    held, target = channel
    held.throttle = 2
    assert publish(services, "monday", target, mint(services, "monday", [ONE]).items).failed == []


@pytest.mark.parametrize(
    "name", ['Lobby "A" & <script>alert(1)</script>', "<!channel> *bold*", "\u202eevil\n\nname 😀"]
)
def test_a_models_name_is_shown_and_nothing_in_it_is_heard(
    channel: tuple[Channel, SlackTarget], services: Services, world: World, name: str
) -> None:
    held, target = channel
    world.models[ONE]["name"] = name
    assert publish(services, "monday", target, mint(services, "monday", [ONE]).items).failed == []
    (message,) = held.messages.values()
    words = message["blocks"][0]["text"]["text"]
    assert "<!channel>" not in words
    assert "<script>" not in words
    assert "\u202e" not in words
    assert words.splitlines()[0].startswith("*\u2068")
    assert len(words.splitlines()) == 2


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


def test_a_target_that_does_not_answer_in_time_is_not_asked_again_at_once(services: Services) -> None:
    asked: list[str] = []

    class Silent(requests.Session):
        def request(self, method: str, url: str, **named: Any) -> requests.Response:  # type: ignore[override]
            asked.append(method)
            raise requests.ReadTimeout

    (failed,) = publish(services, "monday", http_target(Silent()), mint(services, "monday", [ONE]).items).failed
    assert "within 5 s" in failed["reason"]
    assert not failed["permanent"]
    assert len(asked) == 3


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
    Publisher(services, RunContext("dag/tuesday/publish/-1"), target).retire_others("intranet", [])
    assert session.items[f"https://cms.test/spaces/{ONE}"] == {"url": None}
