"""Messages of a channel are called for as Slack asks, and found again in its listing."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest

from pme_airflow.dev.playground.channel import Channel
from pme_airflow.errors import SlotError
from pme_airflow.targets.slack_channel import Message, SlackChannel, messages_in
from pme_airflow.targets.slack_client import Refusal, SlackApi, SlackRefusal
from pme_airflow.targets.slack_message import CLEARED, owner_id, slot_id
from tests.support.slack_calls import ChannelApi, ScriptedApi, refusal

M1 = Message("C01TOURS", "1.000001")
CONTENT = {"text": "Private space", "blocks": []}
SLOT = slot_id("intranet/m")
POSTED = {"channel": "C01TOURS", "ts": "2.5"}


def message(ts: str, block_id: str = "") -> dict[str, Any]:
    return {"ts": ts, "blocks": [{"block_id": block_id}, {"block_id": f"{'o' * 28}-second"}]}


def page(*messages: Any, more: str = "") -> dict[str, Any]:
    return {"messages": list(messages), "response_metadata": {"next_cursor": more}}


# ------------------------------------------------------------------ details


def test_a_slots_own_message_comes_before_the_old_ones_in_its_details() -> None:
    stale = [{"channel": "C2", "ts": 2.5}, {"channel": "C3"}, {"ts": "4"}, {"channel": "", "ts": "5"}, {}]
    assert messages_in({"channel": "C1", "ts": "1", "stale": stale}) == [Message("C1", "1"), Message("C2", "2.5")]
    assert messages_in({"stale": None, "channel": "C1", "ts": ""}) == []
    assert messages_in({"stale": [{"channel": "C2", "ts": "2"}]}) == [Message("C2", "2")]


# ------------------------------------------------------------------ writing


def test_an_edit_names_the_message_and_its_content() -> None:
    api = ScriptedApi(chat_update={})
    assert SlackChannel(api.api, "#tours").edit(M1, CONTENT) is None
    assert api.calls == [("chat_update", {"channel": "C01TOURS", "ts": "1.000001", **CONTENT})]


@pytest.mark.parametrize(
    ("code", "meaning"),
    [
        ("message_not_found", Refusal.GONE), ("cant_update_message", Refusal.LOCKED),
        ("channel_not_found", Refusal.NO_ACCESS),
    ],
)  # fmt: skip
def test_an_edit_says_why_the_message_cannot_be_edited(code: str, meaning: Refusal) -> None:
    api = ScriptedApi(chat_update=refusal(code))
    assert SlackChannel(api.api, "#tours").edit(M1, CONTENT) is meaning


@pytest.mark.parametrize("code", ["internal_error", "invalid_auth", ""])
@pytest.mark.parametrize("act", ["edit", "clear"])
def test_an_error_that_is_not_the_messages_own_is_raised(code: str, act: str) -> None:
    channel = SlackChannel(ScriptedApi(chat_update=refusal(code), chat_delete=refusal(code)).api, "#tours")
    with pytest.raises(SlackRefusal):
        channel.edit(M1, CONTENT) if act == "edit" else channel.clear(M1)


def test_a_post_unfurls_no_link_and_teaches_the_channels_id() -> None:
    api = ScriptedApi(chat_postMessage=POSTED)
    channel = SlackChannel(api.api, "#tours")
    assert channel.post(CONTENT) == Message("C01TOURS", "2.5")
    sent = {"channel": "#tours", "unfurl_links": False, "unfurl_media": False, **CONTENT}
    assert api.calls == [("chat_postMessage", sent)]
    assert channel.find_id() == "C01TOURS"
    assert len(api.calls) == 1


@pytest.mark.parametrize(
    ("answer", "permanent", "listed_again"),
    [
        (refusal("internal_error"), False, True),
        (refusal("not_in_channel"), True, False),
        (SlotError("the connection to Slack failed", passing=True), False, True),
        ({"ok": True}, False, True),
    ],
)
def test_the_channel_is_read_again_after_a_post_that_may_have_arrived(
    answer: Any, permanent: bool, listed_again: bool
) -> None:
    api = ScriptedApi(chat_postMessage=answer, conversations_history=page(message("1.5", SLOT)))
    channel = SlackChannel(api.api, "C01TOURS")
    assert channel.was_read is False
    assert channel.owned_by(SLOT) == channel.owned_by(SLOT) == [Message("C01TOURS", "1.5")]
    assert channel.was_read is True
    with pytest.raises(SlotError) as failure:
        channel.post(CONTENT)
    assert failure.value.permanent is permanent
    assert channel.was_read is not listed_again
    channel.owned_by(SLOT)
    assert [method for method, _ in api.calls].count("conversations_history") == 1 + listed_again


def test_clearing_deletes_a_message_or_else_empties_it() -> None:
    named = {"channel": "C01TOURS", "ts": "1.000001"}
    api = ScriptedApi(chat_delete={}, chat_update={})
    assert SlackChannel(api.api, "#tours").clear(M1) is True
    assert api.calls == [("chat_delete", named)]
    api = ScriptedApi(chat_delete=refusal("cant_delete_message"), chat_update={})
    assert SlackChannel(api.api, "#tours").clear(M1) is True
    assert api.calls == [("chat_delete", named), ("chat_update", {**named, **CLEARED})]


@pytest.mark.parametrize(
    ("codes", "cleared"),
    [
        (("message_not_found", ""), True),
        (("cant_delete_message", "message_not_found"), True),
        (("cant_delete_message", "cant_update_message"), False),
        (("is_archived", "is_archived"), False),
    ],
)
def test_clearing_says_whether_the_message_is_gone(codes: tuple[str, str], cleared: bool) -> None:
    deleted, updated = codes
    api = ScriptedApi(chat_delete=refusal(deleted), chat_update=refusal(updated))
    assert SlackChannel(api.api, "#tours").clear(M1) is cleared
    assert len(api.calls) == (2 if updated else 1)


# ------------------------------------------------------------------ reading


def test_a_message_is_asked_for_alone_and_returned_as_json() -> None:
    found = message("1.000001", "ä")
    api = ScriptedApi(conversations_history=page(message("1.000002"), found))
    assert SlackChannel(api.api, "#tours").text_of(M1) == json.dumps(found)
    asked = {"channel": "C01TOURS", "oldest": "1.000001", "latest": "1.000001", "inclusive": True, "limit": 1}
    assert api.calls == [("conversations_history", asked)]


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (page(message("1.000002")), ""),
        ({"messages": "none"}, ""),
        ({}, ""),
        (refusal("missing_scope"), None),
        (refusal("not_in_channel"), None),
    ],
)
def test_a_message_that_is_not_there_is_empty_and_one_that_cannot_be_read_is_none(
    answer: Any, text: str | None
) -> None:
    assert SlackChannel(ScriptedApi(conversations_history=answer).api, "#tours").text_of(M1) == text


def test_a_channel_that_cannot_be_read_for_now_is_an_error() -> None:
    channel = SlackChannel(ScriptedApi(conversations_history=refusal("internal_error")).api, "C01TOURS")
    for read in (lambda: channel.text_of(M1), lambda: channel.listed("C", "1", "2"), lambda: channel.owned_by(SLOT)):
        with pytest.raises(SlackRefusal):
            read()
    assert channel.was_read is False


def test_a_listing_is_read_page_by_page_up_to_its_end() -> None:
    pages = [page(message("3"), "no message", more="next"), page(message("2"), message("1"))]
    api = ScriptedApi(conversations_history=pages)
    listed = SlackChannel(api.api, "#tours").listed("C01TOURS", "0.5", "3.5")
    assert listed == ({ts: message(ts) for ts in ("3", "2", "1")}, "0.5")
    span = {"channel": "C01TOURS", "limit": 200, "oldest": "0.5", "latest": "3.5", "inclusive": True}
    assert [arguments for _, arguments in api.calls] == [{**span, "cursor": ""}, {**span, "cursor": "next"}]


def test_a_listing_that_is_too_long_says_how_far_back_it_goes() -> None:
    pages = [page(message(f"{20 - number:02d}"), more="more") for number in range(11)]
    api = ScriptedApi(conversations_history=pages)
    listed = SlackChannel(api.api, "#tours").listed("C01TOURS", "01", "99")
    assert listed is not None
    assert (len(api.calls), sorted(listed[0])[0], listed[1]) == (10, "11", "11")
    listed = SlackChannel(ScriptedApi(conversations_history=page(more="more")).api, "#tours").listed("C", "01", "99")
    assert listed is not None
    assert listed[0] == {}
    assert listed[1] > "99"  # nothing was seen


def test_a_listing_of_which_a_page_cannot_be_read_is_none() -> None:
    pages = [page(message("3"), more="next"), refusal("not_in_channel")]
    assert SlackChannel(ScriptedApi(conversations_history=pages).api, "#tours").listed("C", "1", "4") is None


def test_messages_are_found_by_their_first_block_newest_first() -> None:
    other = slot_id("intranet/other")
    pages = [
        page(message("4", f"{SLOT}-link"), {"ts": "3.5", "text": "chatter"}, message("3", other), more="next"),
        page(message("2", f"{SLOT}-former"), {"ts": "1", "blocks": None}),
    ]
    api = ScriptedApi(conversations_history=pages)
    channel = SlackChannel(api.api, "C01TOURS")
    assert channel.owned_by(SLOT) == [Message("C01TOURS", "4"), Message("C01TOURS", "2")]
    assert channel.owned_by(other) == [Message("C01TOURS", "3")]
    assert channel.owned_by(owner_id(f"{'o' * 28}-second")) == []
    asked = [{"channel": "C01TOURS", "limit": 200, "cursor": cursor} for cursor in ("", "next")]
    assert [arguments for _, arguments in api.calls] == asked


def test_a_channel_that_may_not_be_read_or_found_owns_nothing_and_is_asked_once() -> None:
    unread = ScriptedApi(conversations_history=refusal("missing_scope"))
    unknown = ScriptedApi(conversations_list={"channels": []})
    for api, name, calls in ((unread, "C01TOURS", 1), (unknown, "#tours", 2)):
        channel = SlackChannel(api.api, name)
        assert channel.owned_by(SLOT) == channel.owned_by(SLOT) == []
        assert channel.was_read is True
        assert len(api.calls) == calls


# ------------------------------------------------------------------ the channel's id


@pytest.mark.parametrize("name", ["C01", "D0ABC", "G0ABC"])
def test_an_id_needs_no_look_up(name: str) -> None:
    assert SlackChannel(ScriptedApi().api, name).find_id() == name


@pytest.mark.parametrize("name", ["#tours", "tours", "##tours"])
def test_a_channels_name_is_looked_up_page_by_page_and_once(name: str) -> None:
    first = {"channels": [{"id": "C1", "name": "tours-2"}, "x"], "response_metadata": {"next_cursor": "next"}}
    second = {
        "channels": [{"id": "C2", "name": "#tours"}, {"id": "C3", "name": "tours"}, {"id": "C4", "name": "tours"}],
        "response_metadata": {"next_cursor": "further"},
    }
    api = ScriptedApi(conversations_list=[first, second])
    channel = SlackChannel(api.api, name)
    assert channel.find_id() == channel.find_id() == "C3"
    asked = {"types": "public_channel", "exclude_archived": True, "limit": 1000}
    assert api.calls == [("conversations_list", {**asked, "cursor": cursor}) for cursor in ("", "next")]


@pytest.mark.parametrize(
    ("answer", "calls"),
    [
        ({"channels": [{"id": "C1", "name": "other"}]}, 2),
        ({"channels": [{"name": "tours"}]}, 2),
        ({"channels": None, "response_metadata": None}, 2),
        ({"channels": [], "response_metadata": {"next_cursor": None}}, 2),
        (refusal("missing_scope"), 2),
        ({"channels": [], "response_metadata": {"next_cursor": "more"}}, 200),
    ],
)
def test_a_channel_that_cannot_be_found_has_no_id(answer: Any, calls: int) -> None:
    api = ScriptedApi(conversations_list=answer)
    assert SlackChannel(api.api, "tours").find_id() == ""
    assert len(api.calls) == calls


@pytest.mark.parametrize(
    ("scopes", "private", "found"),
    [
        ("channels:read", False, True),
        ("groups:read", True, True),
        ("channels:read,groups:read", True, True),
        ("channels:read,groups:read", False, True),
        ("channels:read", True, False),
        ("groups:read", False, False),
        ("chat:write", False, False),
    ],
)
def test_a_channel_is_found_by_its_name_with_the_scope_of_its_type_alone(
    scopes: str, private: bool, found: bool
) -> None:
    stand_in = Channel()
    stand_in.scopes, stand_in.private = scopes, private
    assert SlackChannel(cast(SlackApi, ChannelApi(stand_in)), "#tours").find_id() == (stand_in.id if found else "")
