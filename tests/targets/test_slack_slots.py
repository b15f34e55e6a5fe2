"""A slot's message in a channel: which calls show, move, clear and check it, and what is recorded of it."""

from __future__ import annotations

import json
import random
from datetime import datetime, timezone
from types import SimpleNamespace
from typing import Any

import pytest
from slack_sdk.errors import SlackApiError

from pme_airflow.checks import Verdict
from pme_airflow.dev.playground.channel import Channel
from pme_airflow.errors import PMEInputError, SlotError
from pme_airflow.ledger.publications import Publication
from pme_airflow.targets.base import SlotCheck, SlotResult
from pme_airflow.targets.slack import SlackTarget
from tests.support.links import TOKEN_A, TOKEN_B, shown_link
from tests.support.slack_calls import ChannelClient, ScriptedApi, refusal

SLOT = "intranet/Model000000"
POST, UPDATE, DELETE = "chat.postMessage", "chat.update", "chat.delete"
WHEN = datetime(2026, 11, 26, tzinfo=timezone.utc)


@pytest.fixture
def client() -> ChannelClient:
    return ChannelClient(Channel())


def target(client: ChannelClient, channel: str = "#tours", **options: str) -> SlackTarget:
    return SlackTarget(client, channel, **options)


def scripted(monkeypatch: pytest.MonkeyPatch, **answers: Any) -> tuple[SlackTarget, ScriptedApi]:
    """A target whose calls are answered as given."""
    shown, api = target(ChannelClient(Channel())), ScriptedApi(**answers)
    monkeypatch.setattr(shown._api, "call", api.call)
    return shown, api


def put(client: ChannelClient, token: str = TOKEN_A, previous: Any = None, slot: str = SLOT) -> SlotResult:
    """Show a link as the next task does."""
    client.api.log.clear()
    link = shown_link(token, f"link-{token[:6]}", slot.rpartition("/")[2])
    return target(client).put(slot, link, previous or {})


def publication(slot: str, details: dict[str, Any], token: str = TOKEN_A) -> Publication:
    model_id = slot.rpartition("/")[2]
    link_id = f"link-{token[:6]}"
    return Publication("key", "slack:T/x", slot, link_id, 1, model_id, "intranet", WHEN, "run", details)


# ------------------------------------------------------------------ identity


def test_a_target_shows_names_and_has_two_layouts(client: ChannelClient) -> None:
    assert target(client).shows_names
    for layout, document in (("message", None), ("list", "intranet/")):
        assert target(client, layout=layout).document(SLOT) == document
        assert target(client, layout=layout).document("a/b/c") == (document and "a/b/")
    with pytest.raises(PMEInputError, match="layout: give message or list"):
        target(client, layout="table")


def test_an_item_has_one_slot(client: ChannelClient) -> None:
    assert target(client).slots({"model_id": "M", "audience": "a"}) == ["a/M"]


def test_the_workspace_is_asked_for_six_times_with_growing_pauses_and_then_named_as_the_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(random, "uniform", lambda low, high: high)
    monkeypatch.setattr("tenacity.nap.time", SimpleNamespace(sleep=pauses.append))
    shown, api = scripted(monkeypatch, auth_test=refusal("internal_error"))
    with pytest.raises(SlotError, match="internal_error") as failure:
        shown.slots({"model_id": "M", "audience": "a"})
    assert not failure.value.permanent
    assert len(api.calls) == 6
    assert pauses == [0.2, 0.4, 0.8, 1.6, 2]
    assert shown.former_names == ()
    assert shown.name.startswith("slack:token-")


def test_a_workspace_that_slack_refuses_to_name_is_asked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    shown, api = scripted(monkeypatch, auth_test=refusal("invalid_auth"))
    assert shown.slots({"model_id": "M", "audience": "a"}) == ["a/M"]
    assert shown.former_names == ("slack:#tours",)
    assert len(api.calls) == 1


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("https://slack.com/api/", ""), ("https://WWW.Slack.com/api/", ""), ("https://slack-gov.com/api/", ""),
        ("https://myslack.com/api/", "myslack.com/"), ("https://slack.com.example/api/", "slack.com.example/"),
    ],
)  # fmt: skip
def test_an_address_that_is_not_slacks_is_part_of_the_name(client: ChannelClient, address: str, place: str) -> None:
    client.base_url = address
    assert target(client).name == f"slack:{place}T0TOURS01/tours"


# ------------------------------------------------------------------ earlier publications


def test_a_publication_is_adopted_if_its_message_is_in_this_workspace(client: ChannelClient) -> None:
    details = put(client).details
    client.api.channel.calls.clear()
    shown = target(client)
    assert shown.adopts(publication(SLOT, details))
    assert shown.adopts(publication("intranet/Other", details))
    assert not shown.adopts(publication("SLOT", details))
    assert client.api.channel.calls.count("chat.getPermalink") == 1  # a channel is looked up once
    assert not shown.adopts(publication(SLOT, {"channel": "C0OTHER", "ts": "1.5"}))


@pytest.mark.parametrize(
    ("code", "adopted"), [("channel_not_found", False), ("message_not_found", True), ("invalid_auth", True)]
)
def test_a_message_that_cannot_be_found_is_in_this_workspace_if_its_channel_is(
    monkeypatch: pytest.MonkeyPatch, code: str, adopted: bool
) -> None:
    shown, api = scripted(monkeypatch, chat_getPermalink=refusal(code), auth_test={"team_id": "T01"})
    assert shown.adopts(publication(SLOT, {"channel": "C01", "ts": 1.5})) is adopted
    assert api.calls[0] == ("chat_getPermalink", {"channel": "C01", "message_ts": "1.5"})


def test_a_workspace_that_does_not_answer_for_now_decides_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    shown, _ = scripted(monkeypatch, chat_getPermalink=refusal("internal_error"), auth_test={"team_id": "T01"})
    with pytest.raises(SlotError, match="internal_error"):
        shown.adopts(publication(SLOT, {"channel": "C01", "ts": "1.5"}))


# ------------------------------------------------------------------ the check


def test_a_check_counts_the_messages_of_each_audience(client: ChannelClient) -> None:
    items = [
        {"model_id": f"M{n}", "audience": audience} for audience, many in (("a", 50), ("b", 49)) for n in range(many)
    ]
    *_, last = target(client, layout="list").check(items)
    assert (last.check, last.verdict, last.finding) == ("list", Verdict.GOOD, "99 spaces are listed in 3 messages.")
    *_, last = target(client, layout="list").check(items[:2])
    assert last.finding == "2 spaces are listed in 1 message."
    for options, some in (({"layout": "list"}, []), ({}, items)):
        assert [found.check for found in target(client, **options).check(some)] == ["account", "scopes", "channel"]


def test_a_check_of_a_channel_that_cannot_be_looked_up_goes_on(client: ChannelClient) -> None:
    client.api.channel.refusals["conversations.list"] = "internal_error"
    *_, last = target(client).check()
    assert last.finding == "There is no channel #tours that the bot can see."


# ------------------------------------------------------------------ showing


def test_a_slot_is_posted_once_and_edited_from_then_on(client: ChannelClient) -> None:
    first = put(client)
    assert [method for method, _ in client.api.log] == [POST]
    second = put(client, TOKEN_B, first.details)
    assert client.api.log == [(UPDATE, first.details["ts"])]
    assert first == second == SlotResult({"channel": "C0TOURS01", "ts": first.details["ts"]})


def test_a_message_with_a_button_of_an_earlier_version_is_read_back_found_again_and_edited(
    client: ChannelClient,
) -> None:
    first = put(client)
    (message,) = client.api.channel.messages.values()
    (block,) = message["blocks"]
    block["text"]["text"] = block["text"]["text"].rpartition("\n")[0]
    url = shown_link(TOKEN_A).url.reveal()
    block["accessory"] = {"type": "button", "text": {"type": "plain_text", "text": "Open the space"}, "url": url,
                          "action_id": "pme_open"}  # fmt: skip
    target(client).read_back(SLOT, shown_link(TOKEN_A), first.details)
    second = put(client, TOKEN_B, {})
    assert second.details == first.details
    (message,) = client.api.channel.messages.values()
    assert TOKEN_A not in str(message)
    assert "accessory" not in message["blocks"][0]


def test_a_message_that_was_never_recorded_is_edited_and_the_recorded_one_deleted(client: ChannelClient) -> None:
    recorded = put(client).details
    client.api.channel.locked = {recorded["ts"]}
    unrecorded = put(client, TOKEN_B, recorded).details
    client.api.channel.locked = set()
    update = client.api.channel._update

    def refuse_recorded(arguments: dict[str, Any]) -> dict[str, Any]:
        client.api.channel._refuse("block_mismatch" if arguments["ts"] == recorded["ts"] else "")
        return update(arguments)

    client.api.channel._update = refuse_recorded  # type: ignore[method-assign]
    result = put(client, TOKEN_B, recorded)
    assert client.api.log == [(UPDATE, unrecorded["ts"]), (DELETE, recorded["ts"])]
    assert result == SlotResult(unrecorded)


def test_a_message_that_was_never_recorded_and_cannot_be_edited_is_left_and_a_new_one_posted(
    client: ChannelClient,
) -> None:
    first = put(client).details
    client.api.channel.locked = {first["ts"]}
    result = put(client, TOKEN_B)
    assert [method for method, _ in client.api.log] == [POST]
    assert result.details["ts"] != first["ts"]


def test_five_old_messages_are_tried_again_at_most(client: ChannelClient, caplog: pytest.LogCaptureFixture) -> None:
    posted = [put(client, slot=f"intranet/M{number}").details for number in range(8)]
    client.api.channel.refusals[DELETE] = "internal_error"
    result = put(client, TOKEN_B, {**posted[0], "stale": posted[1:]}, slot="intranet/M0")
    assert result.details == {**posted[0], "stale": posted[1:6]}
    assert not result.old_link_remains  # the recorded message shows the new link
    assert len([message for message in caplog.messages if "could not be deleted" in message]) == 7


def test_old_messages_that_can_never_be_deleted_are_counted_in_the_log(
    client: ChannelClient, caplog: pytest.LogCaptureFixture
) -> None:
    old = [put(client, slot=f"intranet/M{number}").details for number in range(3)]
    client.api.channel.locked = {each["ts"] for each in old}
    result = put(client, TOKEN_B, {**old[0], "stale": old[1:]}, slot="intranet/M9")
    assert result.old_link_remains
    assert "stale" not in result.details
    assert [m for m in caplog.messages if "3 messages cannot be deleted; the old link is revoked at once" in m]


# ------------------------------------------------------------------ out of a list, and away


def test_a_slot_that_leaves_a_list_gets_a_message_of_its_own_and_the_lists_one_is_deleted_once_all_have(
    client: ChannelClient,
) -> None:
    lists = [{**put(client, slot=f"x/{number}").details, "layout": "list", "digest": "d"} for number in range(3)]
    moved = put(client, TOKEN_B, lists[1])
    assert [method for method, _ in client.api.log] == [POST]
    message = {key: lists[1][key] for key in ("channel", "ts")}
    assert moved == SlotResult({**moved.details, "left": [message]})
    also = {**moved.details, "left": [{key: lists[0][key] for key in ("channel", "ts")}, message]}
    client.api.log.clear()
    shown = [publication(SLOT, also), publication("x/2", lists[2]), publication("x/0", {**lists[2], "left": None})]
    target(client).finish([*shown, publication("x/1", lists[1])])
    assert client.api.log == [(DELETE, lists[0]["ts"])]
    client.api.log.clear()
    client.api.channel.messages[lists[0]["ts"]] = {}
    target(client).finish(shown)
    assert client.api.log == [(DELETE, lists[0]["ts"]), (DELETE, lists[1]["ts"])]


def test_a_slot_is_current_in_the_layout_that_it_was_written_in(client: ChannelClient) -> None:
    for layout in ("message", "list"):
        assert target(client, layout=layout).is_current(publication(SLOT, {"layout": "list"})) is (layout == "list")
        assert target(client, layout=layout).is_current(publication(SLOT, {})) is (layout == "message")


def test_a_slot_is_cleared_with_its_old_messages_and_one_that_stays_is_reported(client: ChannelClient) -> None:
    first, second = put(client).details, put(client, slot="intranet/M2").details
    assert target(client).take_away(SLOT, {**first, "stale": [second]}) == SlotResult()
    assert client.api.channel.messages == {}
    first, second = put(client).details, put(client, slot="intranet/M2").details
    client.api.channel.locked = {second["ts"]}
    assert target(client).take_away(SLOT, {**first, "stale": [second]}) == SlotResult(old_link_remains=True)
    assert list(client.api.channel.messages) == [second["ts"]]


# ------------------------------------------------------------------ reading


def test_a_message_that_shows_the_link_alone_is_good(client: ChannelClient) -> None:
    result = put(client)
    target(client).read_back(SLOT, shown_link(), result.details)
    with pytest.raises(SlotError, match="does not show the new link alone") as failure:
        target(client).read_back(SLOT, shown_link(TOKEN_B), result.details)
    assert not failure.value.permanent
    client.api.channel.messages[result.details["ts"]]["text"] = json.dumps(shown_link(TOKEN_B).url.reveal())
    with pytest.raises(SlotError, match="does not show the new link alone"):
        target(client).read_back(SLOT, shown_link(), result.details)
    client.api.channel.may_read = False
    target(client).read_back(SLOT, shown_link(TOKEN_B), result.details)


def test_messages_are_listed_once_a_channel_from_the_oldest_to_the_newest(monkeypatch: pytest.MonkeyPatch) -> None:
    shown, api = scripted(monkeypatch, conversations_history={"messages": []})
    spread = [("C1", "3"), ("C1", "1"), ("C2", "5"), ("C1", "2")]
    publications = [
        publication(f"a/M{n}", {"channel": c, "ts": ts, "stale": [{"channel": "C3", "ts": "9"}]})
        for n, (c, ts) in enumerate(spread)
    ]
    assert shown.check_shown([*publications, publication("a/none", {})]) == SlotCheck(["a/M0", "a/M1", "a/M3", "a/M2"])
    spans = [(given["channel"], given["oldest"], given["latest"]) for _, given in api.calls]
    assert spans == [("C1", "1", "3"), ("C2", "5", "5")]


def test_several_slots_of_one_message_are_checked_each(client: ChannelClient) -> None:
    result = put(client)
    good, other = publication(SLOT, result.details), publication("intranet/Other", result.details)
    assert target(client).check_shown([good, other]) == SlotCheck(["intranet/Other"])
    assert target(client).check_shown([publication(SLOT, result.details, TOKEN_B)]) == SlotCheck([SLOT])


def test_an_error_of_the_client_is_one_of_the_target(client: ChannelClient) -> None:
    client.api.channel.refuse = "is_archived"
    with pytest.raises(SlotError, match="is_archived"):
        put(client)
    with pytest.raises(SlackApiError):
        client.chat_update(channel="C0TOURS01", ts="1")
