"""Slack, against a strict stand-in of its API: messages are edited in place, read back, and never posted twice."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from slack_sdk import WebClient

from pme_airflow.dev.emulator import World
from pme_airflow.dev.playground.channel import Channel
from pme_airflow.errors import SlotError
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.lifecycle.publish import Publisher
from pme_airflow.lifecycle.services import Services
from pme_airflow.targets.slack import SlackTarget
from tests.conftest import MODELS
from tests.support.links import opened, shown_link
from tests.support.places import SlackPlace, slack_place
from tests.support.rooms import mint, publish

ONE, TWO = list(MODELS)[:2]


@pytest.fixture
def place() -> Iterator[SlackPlace]:
    """An empty channel."""
    with slack_place() as serving:
        serving.channel.messages.clear()
        serving.channel.calls.clear()
        yield serving


@pytest.fixture
def channel(place: SlackPlace) -> Channel:
    return place.channel


def test_message_of_a_model_is_edited_in_place(
    place: SlackPlace, channel: Channel, services: Services, world: World
) -> None:
    target = place.target()
    for night in ("monday", "tuesday", "wednesday"):
        assert publish(services, night, target, mint(services, night, [ONE, TWO]).items).failed == []
    calls = [channel.calls.count(method) for method in ("chat.postMessage", "chat.update")]
    assert (calls, len(channel.messages)) == ([2, 4], 2)
    shown = json.dumps(channel.messages)
    assert [t for t in list(world.tokens)[:4] if t in shown] == []
    assert [t for t in list(world.tokens)[4:] if t not in shown] == []
    assert channel.unfurled == []


def test_message_that_was_deleted_is_posted_anew_and_a_cleared_slot_leaves_nothing(
    place: SlackPlace, channel: Channel, services: Services
) -> None:
    target = place.target()
    publish(services, "monday", target, mint(services, "monday", [ONE]).items)
    channel.messages.clear()
    assert publish(services, "tuesday", target, mint(services, "tuesday", [ONE]).items).failed == []
    assert len(channel.messages) == 1
    Publisher(services, RunContext("dag/wednesday/publish/-1"), target).retire_others("intranet", [])
    assert channel.messages == {}


@pytest.mark.parametrize(
    ("code", "advice"),
    [("not_in_channel", "invite the bot"), ("is_archived", "choose another"), ("invalid_auth", "check the token"),
     ("missing_scope", "chat:write"), ("never_heard_of", "list of error codes")],
)  # fmt: skip
def test_refusal_is_permanent_and_says_what_to_do(
    place: SlackPlace, channel: Channel, services: Services, code: str, advice: str
) -> None:
    channel.refuse = code
    (failed,) = publish(services, "monday", place.target(), mint(services, "monday", [ONE]).items).failed
    assert code in failed["reason"]
    assert advice in failed["reason"]
    assert failed["permanent"]


@pytest.mark.parametrize("code", ["service_unavailable", "internal_error", "fatal_error", "request_timeout"])
def test_slacks_own_trouble_is_temporary(place: SlackPlace, channel: Channel, services: Services, code: str) -> None:
    channel.refuse = code
    (failed,) = publish(services, "monday", place.target(), mint(services, "monday", [ONE]).items).failed
    assert not failed["permanent"]


def lose_confirmations_of_posts(place: SlackPlace) -> None:
    """Let every response to ``chat.postMessage`` be lost after the message was posted, and nothing else."""
    answer = place.channel.answer

    def answering(method: str, arguments: dict[str, object]) -> dict[str, object]:
        response = answer(method, arguments)
        place.proxy.rates = {"lost_after": float(method == "chat.postMessage")}
        return response

    place.channel.answer = answering  # type: ignore[method-assign]


def test_message_whose_confirmation_was_lost_is_found_by_the_next_task(
    place: SlackPlace, channel: Channel, services: Services
) -> None:
    (item,) = mint(services, "monday", [ONE]).items
    lose_confirmations_of_posts(place)
    target = place.target()
    (slot,) = target.slots(item)
    with pytest.raises(SlotError, match="connection to Slack failed"):
        target.put(slot, opened(services, item), {})
    assert (channel.calls.count("chat.postMessage"), len(channel.messages)) == (1, 1)
    place.proxy.rates = {}
    assert publish(services, "monday", place.target(), [item]).failed == []
    assert (channel.calls.count("chat.postMessage"), channel.calls.count("chat.update")) == (1, 1)
    assert len(channel.messages) == 1


def test_message_whose_confirmation_was_lost_is_found_by_the_next_try_of_the_same_task(
    place: SlackPlace, channel: Channel, services: Services
) -> None:
    """The list of messages that a target keeps is read again after a lost confirmation."""
    lose_confirmations_of_posts(place)
    items = mint(services, "monday", [ONE]).items
    assert publish(services, "monday", place.target(), items).failed == []
    assert (channel.calls.count("chat.postMessage"), channel.calls.count("chat.update")) == (1, 1)
    assert len(channel.messages) == 1


def test_refused_post_does_not_read_the_channel_again(place: SlackPlace, channel: Channel) -> None:
    channel.refusals["chat.postMessage"] = "restricted_action"
    target = place.target()
    for model_id in (ONE, TWO):
        with pytest.raises(SlotError, match="restricted_action"):
            target.put(f"intranet/{model_id}", shown_link(model_id=model_id), {})
    assert channel.calls.count("conversations.history") == 1


def test_bot_that_may_not_read_the_channel_still_posts(place: SlackPlace, channel: Channel, services: Services) -> None:
    channel.may_read = False
    assert publish(services, "monday", place.target(), mint(services, "monday", [ONE]).items).failed == []
    assert len(channel.messages) == 1


def test_edit_that_is_confirmed_and_not_shown_fails(place: SlackPlace, channel: Channel, services: Services) -> None:
    target = place.target()
    publish(services, "monday", target, mint(services, "monday", [ONE]).items)
    channel._update = lambda arguments: {"channel": channel.id, "ts": arguments["ts"]}  # type: ignore[method-assign]
    (failed,) = publish(services, "tuesday", target, mint(services, "tuesday", [ONE]).items).failed
    assert "does not show the new link alone" in failed["reason"]
    assert not failed["permanent"]


def test_address_that_is_not_slacks_is_named(place: SlackPlace, services: Services) -> None:
    client = WebClient(token="xoxb-test", base_url=f"{place.proxy.address}/nothing/", retry_handlers=[])
    items = mint(services, "monday", [ONE]).items
    (failed,) = publish(services, "monday", SlackTarget(client, "#tours"), items).failed
    assert "base_url" in failed["reason"]
    assert failed["permanent"]


def test_rate_limit_is_waited_for(place: SlackPlace, channel: Channel, services: Services) -> None:
    channel.throttle = 2
    assert publish(services, "monday", place.target(), mint(services, "monday", [ONE]).items).failed == []
    assert channel.throttle == 0


@pytest.mark.parametrize(
    "name", ['Lobby "A" & <script>alert(1)</script>', "<!channel> *bold*", "\u202eevil\n\nname 😀"]
)
def test_nothing_in_a_models_name_is_markup(
    place: SlackPlace, channel: Channel, services: Services, world: World, name: str
) -> None:
    world.models[ONE]["name"] = name
    assert publish(services, "monday", place.target(), mint(services, "monday", [ONE]).items).failed == []
    (message,) = channel.messages.values()
    text = message["blocks"][0]["text"]["text"]
    assert "<!channel>" not in text
    assert "<script>" not in text
    assert "\u202e" not in text
    assert text.splitlines()[0].startswith("*\u2068")
    assert len(text.splitlines()) == 2
