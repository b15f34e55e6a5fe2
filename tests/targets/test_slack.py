"""Slack, against a strict stand-in of its API: messages are edited in place, read back, and never posted twice."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Iterator

import pytest
from slack_sdk import WebClient

from pme_airflow.dev.emulator import World
from pme_airflow.dev.playground.channel import Channel
from pme_airflow.errors import SlotError, TargetUnavailableError
from pme_airflow.ledger import publications
from pme_airflow.ledger.publications import Publication
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.lifecycle.former_names import move_former_publications
from pme_airflow.lifecycle.publish import Publisher
from pme_airflow.lifecycle.services import Services
from pme_airflow.targets.base import SlotCheck, SlotResult
from pme_airflow.targets.slack import SlackTarget
from tests.conftest import MODELS
from tests.support.links import TOKEN_A, TOKEN_B, TOKEN_C, opened, shown_link
from tests.support.places import SlackPlace, slack_place
from tests.support.rooms import mint, publish, rename, sweep

ONE, TWO = list(MODELS)[:2]
SLOT = f"intranet/{ONE}"


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
    with pytest.raises(TargetUnavailableError, match="connection to Slack failed"):
        target.put(slot, opened(services, item), {})
    assert (channel.calls.count("chat.postMessage"), len(channel.messages)) == (1, 1)
    place.proxy.rates = {}
    assert publish(services, "monday", place.target(), [item]).failed == []
    assert (channel.calls.count("chat.postMessage"), channel.calls.count("chat.update")) == (1, 1)
    assert len(channel.messages) == 1


def test_message_whose_confirmation_was_lost_is_found_although_the_channel_cannot_be_read_at_first(
    place: SlackPlace, channel: Channel
) -> None:
    lose_confirmations_of_posts(place)
    target = place.target()
    with pytest.raises(SlotError):
        target.put(SLOT, shown_link(TOKEN_A, "link-a"), {})
    place.proxy.rates = {}
    channel.refusals = {"conversations.history": "internal_error"}
    for _ in range(2):
        with pytest.raises(SlotError, match="internal_error"):
            target.put(SLOT, shown_link(TOKEN_A, "link-a"), {})
    channel.refusals = {}
    target.put(SLOT, shown_link(TOKEN_A, "link-a"), {})
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


@pytest.mark.parametrize("response", [{"ok": True}, {"ok": True, "channel": "C1"}, {"ok": True, "ts": "1.5"}])
def test_post_that_names_no_message_is_tried_again(
    place: SlackPlace, channel: Channel, response: dict[str, object]
) -> None:
    answer = channel.answer

    def answering(method: str, arguments: dict[str, object]) -> dict[str, object]:
        complete = answer(method, arguments)
        return response if method == "chat.postMessage" else complete

    channel.answer = answering  # type: ignore[method-assign]
    target = place.target()
    with pytest.raises(SlotError, match="did not confirm the message") as failure:
        target.put(SLOT, shown_link(TOKEN_A, "link-a"), {})
    assert not failure.value.permanent
    channel.answer = answer  # type: ignore[method-assign]
    target.put(SLOT, shown_link(TOKEN_A, "link-a"), {})
    assert len(channel.messages) == 1


def test_message_that_is_gone_when_it_is_read_back_is_posted_again(place: SlackPlace, channel: Channel) -> None:
    target = place.target()
    first = target.put(SLOT, shown_link(TOKEN_A, "link-a"), {})
    channel.messages.clear()
    with pytest.raises(SlotError, match="not in the channel when it is read back") as failure:
        target.read_back(SLOT, shown_link(TOKEN_A, "link-a"), first.details)
    assert not failure.value.permanent


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
    assert len(text.splitlines()) == 3


# ------------------------------------------------- messages that cannot be edited or deleted


def put_twice(place: SlackPlace, between: Callable[[Channel], None]) -> tuple[SlackTarget, SlotResult, SlotResult]:
    """Show link A in a slot, and link B in its place once something has changed in the channel."""
    target = place.target()
    first = target.put(SLOT, shown_link(TOKEN_A, "link-a"), {})
    between(place.channel)
    second = target.put(SLOT, shown_link(TOKEN_B, "link-b"), first.details)
    target.read_back(SLOT, shown_link(TOKEN_B, "link-b"), second.details)
    return target, first, second


def refuse(**codes: str) -> Callable[[Channel], None]:
    return lambda channel: channel.refusals.update({f"chat.{method}": code for method, code in codes.items()})


def test_message_that_can_neither_be_edited_nor_deleted_is_posted_anew_and_its_link_gets_no_grace(
    place: SlackPlace, channel: Channel
) -> None:
    _, first, second = put_twice(place, refuse(update="cant_update_message", delete="cant_delete_message"))
    assert second.old_link_remains
    assert second.details["ts"] != first.details["ts"]
    assert "stale" not in second.details
    assert channel.calls.index("chat.delete") > channel.calls.index("chat.postMessage", 2)


@pytest.mark.parametrize(
    "code", ["cant_update_message", "edit_window_closed", "message_not_found", "block_mismatch", "channel_not_found"]
)
def test_message_that_cannot_be_edited_is_posted_anew_and_deleted(
    place: SlackPlace, channel: Channel, code: str
) -> None:
    _, first, second = put_twice(place, refuse(update=code))
    assert not second.old_link_remains
    assert list(channel.messages) == [second.details["ts"]] != [first.details["ts"]]


@pytest.mark.parametrize("code", ["cant_delete_message", "compliance_exports_prevent_deletion"])
def test_message_that_cannot_be_deleted_loses_its_link(place: SlackPlace, channel: Channel, code: str) -> None:
    """``chat.update`` refuses the new link once, because of its blocks say, and takes the empty message."""
    updates = iter(["block_mismatch", ""])
    update = channel._update
    channel._update = lambda arguments: channel._refuse(next(updates)) or update(arguments)  # type: ignore[method-assign]
    _, first, second = put_twice(place, refuse(delete=code))
    assert not second.old_link_remains
    assert TOKEN_A not in json.dumps(channel.messages)
    assert channel.messages[first.details["ts"]]["text"] == "This space is no longer shown here."


def test_slot_with_a_locked_message_stays_shown_and_its_old_link_dies_at_once(
    place: SlackPlace, channel: Channel, services: Services, world: World
) -> None:
    target = place.target()
    publish(services, "monday", target, mint(services, "monday", [ONE]).items)
    refuse(update="cant_update_message", delete="cant_delete_message")(channel)
    assert publish(services, "tuesday", target, mint(services, "tuesday", [ONE]).items).failed == []
    sweep(services)
    _, new = world.tokens
    assert [issued.token for issued in world.alive()] == [new]
    assert len(channel.messages) == 2


def test_message_that_was_not_deleted_for_now_is_deleted_by_the_next_put(place: SlackPlace, channel: Channel) -> None:
    target, first, second = put_twice(place, refuse(update="cant_update_message", delete="internal_error"))
    assert second.old_link_remains
    assert second.details["stale"] == [first.details]
    channel.refusals.clear()
    third = target.put(SLOT, shown_link(TOKEN_C, "link-c"), second.details)
    assert third == SlotResult({"channel": channel.id, "ts": second.details["ts"]})
    assert list(channel.messages) == [second.details["ts"]]


def test_new_message_whose_confirmation_was_lost_is_found_although_an_old_one_is_recorded(
    place: SlackPlace, channel: Channel
) -> None:
    target = place.target()
    first = target.put(SLOT, shown_link(TOKEN_A, "link-a"), {})
    refuse(update="cant_update_message", delete="cant_delete_message")(channel)
    unconfirmed = place.target().put(SLOT, shown_link(TOKEN_B, "link-b"), first.details)  # the task died here
    locked = first.details["ts"]
    channel.refusals.clear()
    channel.locked.add(locked)
    again = place.target().put(SLOT, shown_link(TOKEN_B, "link-b"), first.details)
    assert again.details["ts"] == unconfirmed.details["ts"]
    assert len(channel.messages) == 2


@pytest.mark.parametrize("code", ["is_archived", "not_in_channel"])
def test_channel_that_the_bot_lost_fails_with_what_to_do(place: SlackPlace, channel: Channel, code: str) -> None:
    target = place.target()
    first = target.put(SLOT, shown_link(TOKEN_A, "link-a"), {})
    channel.refuse = code
    with pytest.raises(SlotError, match=code) as failure:
        target.put(SLOT, shown_link(TOKEN_B, "link-b"), first.details)
    assert failure.value.permanent


@pytest.mark.parametrize("code", ["msg_too_long", "invalid_blocks", "invalid_auth"])
def test_edit_that_is_refused_for_another_reason_does_not_post_a_second_message(
    place: SlackPlace, channel: Channel, code: str
) -> None:
    target = place.target()
    first = target.put(SLOT, shown_link(TOKEN_A, "link-a"), {})
    channel.refusals["chat.update"] = code
    with pytest.raises(SlotError, match=code) as failure:
        target.put(SLOT, shown_link(TOKEN_B, "link-b"), first.details)
    assert failure.value.permanent
    assert len(channel.messages) == 1


@pytest.mark.parametrize(
    "codes",
    [
        {"delete": "cant_delete_message", "update": "cant_update_message"},
        {"delete": "cant_delete_message", "update": "edit_window_closed"},
        {"delete": "channel_not_found", "update": "channel_not_found"},
        {"delete": "not_in_channel", "update": "not_in_channel"},
        {"delete": "is_archived", "update": "is_inactive"},
    ],
)
def test_cleared_message_that_stays_readable_ends_the_slot_without_grace(
    place: SlackPlace, channel: Channel, services: Services, world: World, codes: dict[str, str]
) -> None:
    target = place.target()
    publish(services, "monday", target, mint(services, "monday", [ONE]).items)
    refuse(**codes)(channel)
    publisher = Publisher(services, RunContext("dag/tuesday/publish/-1"), target)
    outcome = publisher.retire_others("intranet", [])
    assert (outcome.removed.total, outcome.failed.total) == (1, 0)
    sweep(services)
    assert world.alive() == []


@pytest.mark.parametrize(("code", "permanent"), [("invalid_auth", True), ("internal_error", False), ("", True)])
def test_clearing_that_another_token_or_try_can_do_is_a_failure(
    place: SlackPlace, channel: Channel, code: str, permanent: bool
) -> None:
    target = place.target()
    first = target.put(SLOT, shown_link(), {})
    channel.refusals["chat.delete"] = code or "never_heard_of"
    with pytest.raises(SlotError) as failure:
        target.take_away(SLOT, first.details)
    assert failure.value.permanent is permanent


@pytest.mark.parametrize("method", ["chat.delete", "chat.update"])
def test_message_that_is_gone_counts_as_cleared(place: SlackPlace, channel: Channel, method: str) -> None:
    target = place.target()
    first = target.put(SLOT, shown_link(), {})
    channel.refusals.update({"chat.delete": "cant_delete_message", method: "message_not_found"})
    assert target.take_away(SLOT, first.details) == SlotResult()


def test_clearing_takes_old_messages_too_and_nothing_where_there_is_none(place: SlackPlace, channel: Channel) -> None:
    target, _, second = put_twice(place, refuse(update="cant_update_message", delete="internal_error"))
    channel.refusals.clear()
    assert target.take_away(SLOT, second.details) == SlotResult()
    assert channel.messages == {}
    assert target.take_away(SLOT, {}) == SlotResult()


# ------------------------------------------------------------------------ names


def read_by_slack(text: str) -> tuple[str, list[str]]:
    """Read a mrkdwn text as Slack does with ``verbatim``: what people see, and the special sequences in it."""
    special = re.findall(r"<([^>]*)>", text)
    plain = re.sub(r"<[^>]*>", "", text)
    assert not re.search(r"&(?!amp;|lt;|gt;)", plain)
    assert not re.search(r"(?<![\u200b*])[*_~:](?=\S)[^\n\u200b]*?(?<=\S)(?<!\u200b)[*_~:]", plain.split("\n")[0][2:-2])
    return html.unescape(plain).replace("\u200b", ""), special


@pytest.mark.parametrize(
    "name",
    [
        'Lobby "A" & <script>alert(1)</script>',
        "<!channel> and <!here> and <!everyone>",
        "<@U0123456> <#C0123456|general> <!subteam^S01>",
        "<https://evil.example|Matterport>",
        "https://evil.example/ and evil.example",
        "@channel @here #general",
        "*bold* _italic_ ~struck~ `code` ```block```",
        ":fire: :smile:",
        "&lt;!channel&gt; &amp;",
        "> quote",
        "Хол 大堂 😀",
    ],
)
def test_name_is_read_as_it_is_and_nothing_in_it_is_markup(place: SlackPlace, channel: Channel, name: str) -> None:
    target = place.target()
    result = target.put(SLOT, shown_link(name=name), {})
    for link_id in ("", "link-2"):
        if link_id:
            target.put(SLOT, shown_link(TOKEN_B, link_id, name=name), result.details)
        (message,) = channel.messages.values()
        (block,) = message["blocks"]
        seen, special = read_by_slack(block["text"]["text"])
        assert seen.splitlines()[0] == f"*\u2068{name}\u2069*"
        date, link = special
        assert date.startswith("!date^")
        assert link.endswith("|Open the space")
        assert block["text"]["verbatim"] is True
        assert read_by_slack(message["text"]) == (f"Private space {name}", [])
        assert message["sent"]["parse"] == "none"
        assert message["sent"]["link_names"] in ("0", False, 0)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("two\nlines\r\nand\ttabs\x0b\x0c\x85\u2028\u2029end", "two lines and tabs end"),
        ("\x00\x07\x1b[31mred\x1b[0m", "[31mred [0m"),
        ("\u202eevil\u2066\u2067\u2069 \u200fname\u061c", "evil name"),
        ("[red]rich[/nope]", "[red]rich[/nope]"),
        ("😀" * 3000, "😀" * 120),
        ("x" * 10_000, "x" * 120),
        ("\u200b\u2060\ufeff", ONE),
        ("   ", ONE),
    ],
)
def test_name_of_any_kind_is_one_line_of_at_most_120_characters(
    place: SlackPlace, channel: Channel, services: Services, world: World, name: str, shown: str
) -> None:
    world.models[ONE]["name"] = name
    assert publish(services, "monday", place.target(), mint(services, "monday", [ONE]).items).failed == []
    (message,) = channel.messages.values()
    seen, _ = read_by_slack(message["blocks"][0]["text"]["text"])
    assert seen.splitlines()[0] == f"*\u2068{shown}\u2069*"


# ------------------------------------------------------- which channel, which workspace


def test_channels_of_one_name_in_two_workspaces_are_two_targets(services: Services, world: World) -> None:
    with slack_place() as sales, slack_place(team="T0SUPPORT1", channel_id="C0SUPPORT") as support:
        for place in (sales, support):
            place.channel.messages.clear()
        items = mint(services, "monday", [ONE]).items
        for place in (sales, support):
            assert publish(services, "monday", place.target(), items).published.total == 1
        (token,) = world.tokens
        assert [token in json.dumps(place.channel.messages) for place in (sales, support)] == [True, True]


def test_name_is_of_the_workspace_and_the_channel_and_not_of_the_token(place: SlackPlace) -> None:
    host = place.proxy.address.removeprefix("http://")
    assert place.target().name == f"slack:{host}/T0TOURS01/tours"
    assert SlackTarget(place.client(token="xoxb-rotated"), "tours").name == place.target().name
    assert place.channel.calls.count("auth.test") == 3


def test_workspace_that_slack_does_not_name_is_told_by_its_address_and_token(
    place: SlackPlace, channel: Channel
) -> None:
    channel.refusals["auth.test"] = "unknown_method"
    one, again, other = (SlackTarget(place.client(token=f"xoxb-{text}"), "#tours").name for text in "aab")
    assert one == again != other
    assert "xoxb" not in one


@pytest.mark.parametrize("base_url", ["https://slack.com/api/", "https://www.slack.com/api/"])
def test_address_of_slack_itself_is_not_part_of_the_name(base_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    target = SlackTarget(WebClient(token="xoxb-a", base_url=base_url, retry_handlers=[]), "#tours")
    monkeypatch.setattr(target._api, "call", lambda method, **arguments: {"team_id": "T01"})
    assert target.name == "slack:T01/tours"


@pytest.mark.parametrize("team", [{"a": 1}, 7, "", "k3f9s8d7q2m4x6z1b5n0c8v7y", "T1/../x", ["T01"]])
def test_what_is_no_workspace_is_not_part_of_the_name(team: object, monkeypatch: pytest.MonkeyPatch) -> None:
    target = SlackTarget(WebClient(token="xoxb-a", retry_handlers=[]), "#tours")
    monkeypatch.setattr(target._api, "call", lambda method, **arguments: {"team_id": team})
    assert re.fullmatch("slack:token-[0-9a-f]{12}/tours", target.name)


def test_workspace_that_cannot_be_asked_for_now_is_a_temporary_failure_and_nothing_is_posted(
    place: SlackPlace, channel: Channel, services: Services
) -> None:
    items = mint(services, "monday", [ONE]).items
    channel.refusals["auth.test"] = "internal_error"
    target = place.target()
    (failed,) = publish(services, "monday", target, items).failed
    assert not failed["permanent"]
    assert channel.messages == {}
    assert target.former_names == ()


def test_publications_of_an_earlier_version_are_taken_over_and_edited_in_place(
    place: SlackPlace, channel: Channel, services: Services
) -> None:
    target = place.target()
    publish(services, "monday", target, mint(services, "monday", [ONE]).items)
    rename(services, target.name, "slack:#tours")
    move_former_publications(services, RunContext("dag/tuesday/publish/-1"), target)
    assert publish(services, "tuesday", target, mint(services, "tuesday", [ONE]).items).failed == []
    assert (channel.calls.count("chat.postMessage"), channel.calls.count("chat.update")) == (1, 1)
    with services.database.read() as tx:
        assert publications.shown_at(tx, "slack:#tours") == []


def test_publications_of_an_earlier_version_stay_with_their_own_workspace(services: Services) -> None:
    """Both channels are named #tours, and the ledger does not say whose row it is; the channel's id does."""
    with slack_place() as sales, slack_place(team="T0SUPPORT1", channel_id="C0SUPPORT") as support:
        for place in (sales, support):
            place.channel.messages.clear()
        publish(services, "monday", sales.target(), mint(services, "monday", [ONE]).items)
        rename(services, sales.target().name, "slack:#tours")
        items = mint(services, "tuesday", [ONE]).items
        for place in (support, sales):
            target = place.target()
            move_former_publications(services, RunContext("dag/tuesday/publish/-1"), target)
            assert publish(services, "tuesday", target, items).failed == []
        assert sales.channel.calls.count("chat.update") == 1
        assert support.channel.calls.count("chat.update") == 0
        assert [len(place.channel.messages) for place in (sales, support)] == [1, 1]


# ---------------------------------------------------------- does the channel still show it


@pytest.fixture
def two_shown(place: SlackPlace, services: Services) -> tuple[SlackTarget, list[Publication]]:
    target = place.target()
    publish(services, "monday", target, mint(services, "monday", [ONE, TWO]).items)
    place.channel.calls.clear()
    with services.database.read() as tx:
        return target, publications.shown_at(tx, target.name)


def test_shown_messages_are_checked_in_one_listing(
    channel: Channel, two_shown: tuple[SlackTarget, list[Publication]]
) -> None:
    target, shown = two_shown
    assert target.check_shown(shown) == SlotCheck([])
    assert channel.calls == ["conversations.history"]


def test_deleted_message_is_a_lost_slot_and_is_posted_again(
    place: SlackPlace, channel: Channel, services: Services, two_shown: tuple[SlackTarget, list[Publication]]
) -> None:
    target, shown = two_shown
    del channel.messages[shown[0].details["ts"]]
    assert target.check_shown(shown) == SlotCheck([shown[0].slot])


def test_message_with_other_content_is_a_lost_slot(
    channel: Channel, two_shown: tuple[SlackTarget, list[Publication]]
) -> None:
    target, shown = two_shown
    message = channel.messages[shown[1].details["ts"]]
    message["blocks"][0]["block_id"] = f"{message['blocks'][0]['block_id'][:-12]}another-link"
    assert target.check_shown(shown) == SlotCheck([shown[1].slot])
    message.update(subtype="tombstone", blocks=None)
    assert target.check_shown(shown) == SlotCheck([shown[1].slot])


def test_messages_beyond_the_listing_are_not_lost(
    place: SlackPlace, channel: Channel, two_shown: tuple[SlackTarget, list[Publication]]
) -> None:
    """In a channel with more than 2,000 messages since, the listing ends before it reaches the older slot."""
    target, shown = two_shown
    older, newer = sorted(shown, key=lambda publication: publication.details["ts"])
    for number in range(2100):
        ts = f"{older.details['ts']}{number:05d}"
        channel.messages[ts] = {"ts": ts, "text": "chatter"}
    del channel.messages[older.details["ts"]]
    assert target.check_shown(shown) == SlotCheck([])
    assert channel.calls.count("conversations.history") == 10
    del channel.messages[newer.details["ts"]]
    assert target.check_shown(shown) == SlotCheck([newer.slot])


@pytest.mark.parametrize("code", ["missing_scope", "not_in_channel"])
def test_channel_that_cannot_be_read_is_not_checked(
    channel: Channel, two_shown: tuple[SlackTarget, list[Publication]], code: str
) -> None:
    target, shown = two_shown
    channel.refusals["conversations.history"] = code
    assert target.check_shown(shown) is None


def test_check_that_fails_for_now_says_so(channel: Channel, two_shown: tuple[SlackTarget, list[Publication]]) -> None:
    target, shown = two_shown
    channel.refusals["conversations.history"] = "internal_error"
    with pytest.raises(SlotError, match="internal_error"):
        target.check_shown(shown)


def test_publication_without_a_message_is_not_checked(place: SlackPlace, channel: Channel) -> None:
    assert place.target().check_shown([]) == SlotCheck([])
    assert channel.calls == []
