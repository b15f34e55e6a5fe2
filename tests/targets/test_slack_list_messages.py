"""Which messages of a list are edited, posted and deleted, in which order, and what each slot is recorded with."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from pme_airflow.dev.playground.channel import Channel
from pme_airflow.errors import SlotError
from pme_airflow.targets import slack_list
from pme_airflow.targets.base import DocumentSlot, SlotResult
from pme_airflow.targets.slack_channel import SlackChannel
from pme_airflow.targets.slack_list import SlackList
from tests.support.links import TOKEN_A, TOKEN_B, shown_link
from tests.support.slack_calls import ChannelApi

POST, UPDATE, DELETE = "chat.postMessage", "chat.update", "chat.delete"
Results = Mapping[str, SlotResult | SlotError]


@pytest.fixture(autouse=True)
def _two_spaces_a_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slack_list, "MAX_ENTRIES", 2)


@pytest.fixture
def api() -> ChannelApi:
    return ChannelApi(Channel())


def slot(
    model_id: str, *, token: str = TOKEN_A, changed: bool = True, gone: bool = False, **details: Any
) -> DocumentSlot:
    link = None if gone else shown_link(token, f"link-{model_id}-{token[:6]}", model_id, name=model_id)
    return DocumentSlot(f"intranet/{model_id}", model_id, link, {"name": model_id, **details}, changed)


def write(api: ChannelApi, *slots: DocumentSlot) -> Results:
    """Write a list as the next task does, in a channel that it has not read yet."""
    api.log.clear()
    return SlackList(SlackChannel(api.api, api.channel.id)).write("intranet/", slots)


def shown(results: Results, *models: str, remains: bool = False) -> dict[str, dict[str, Any]]:
    """The details of the models, all of which are shown."""
    details = {}
    for model in models:
        result = results[f"intranet/{model}"]
        assert isinstance(result, SlotResult), result
        assert result.old_link_remains is remains
        details[model] = dict(result.details)
    return details


def start(api: ChannelApi, *models: str) -> dict[str, dict[str, Any]]:
    """Show models for the first time, and return what is recorded of each."""
    return shown(write(api, *map(slot, models)), *models)


def stay(known: Mapping[str, Mapping[str, Any]]) -> list[DocumentSlot]:
    """The slots that stay as they are."""
    return [slot(model, changed=False, **details) for model, details in known.items()]


def listed(api: ChannelApi) -> list[list[str]]:
    """The models that each message lists, in the order of the messages."""
    messages = sorted(api.channel.messages.items())
    texts = [[block["text"]["text"] for block in message["blocks"][1:]] for _, message in messages]
    return [[text.split("\u2068")[1].split("\u2069")[0] for text in some] for some in texts]


def problem(results: Results, model: str) -> SlotError:
    result = results[f"intranet/{model}"]
    assert isinstance(result, SlotError)
    return result


# ------------------------------------------------------------------ what is recorded


def test_each_slot_is_recorded_with_its_message_and_what_it_says(api: ChannelApi) -> None:
    known = start(api, "A", "B", "C")
    first, second = sorted(api.channel.messages)
    assert [(each["channel"], each["ts"], each["layout"]) for each in known.values()] == [
        (api.channel.id, first, "list"), (api.channel.id, first, "list"), (api.channel.id, second, "list"),
    ]  # fmt: skip
    assert known["A"]["digest"] == known["B"]["digest"] != known["C"]["digest"]
    assert set(known["A"]) == {"channel", "ts", "layout", "digest"}


def test_a_list_that_stays_costs_no_call_and_no_new_record(api: ChannelApi) -> None:
    known = start(api, "A", "B", "C")
    api.channel.calls.clear()
    assert write(api, *stay(known)) == {}
    assert api.channel.calls == []


def test_a_message_that_is_no_page_of_the_list_is_left_alone(api: ChannelApi) -> None:
    known, other = start(api, "A"), api.channel._post({"channel": "tours", "text": "other"})
    api.log.clear()
    assert write(api, slot("A", changed=False, **known["A"], stale=[other])) == {}
    assert api.log == []


def test_one_new_link_edits_its_message_alone_and_records_its_neighbour_too(api: ChannelApi) -> None:
    known = start(api, "A", "B", "C", "D")
    results = write(api, *stay(known)[:2], slot("C", token=TOKEN_B, **known["C"]), stay(known)[3])
    assert api.log == [(UPDATE, known["C"]["ts"])]
    assert set(results) == {"intranet/C", "intranet/D"}  # the message's digest is recorded with both
    assert listed(api) == [["A", "B"], ["C", "D"]]


def test_slots_that_are_to_go_are_recorded_with_nothing(api: ChannelApi) -> None:
    known = start(api, "A", "B", "C")
    results = write(api, *stay(known)[:2], slot("C", gone=True, **known["C"]))
    assert results == {"intranet/C": SlotResult({})}
    assert api.log == [(DELETE, known["C"]["ts"])]
    results = write(api, *(slot(model, gone=True, **known[model]) for model in "AB"))
    assert results == {"intranet/A": SlotResult({}), "intranet/B": SlotResult({})}
    assert api.channel.messages == {}


def test_a_slot_that_is_to_go_and_is_not_in_its_message_any_more_is_done(api: ChannelApi) -> None:
    """Its former task died between editing the message and recording that."""
    known = start(api, "A")
    api.channel.calls.clear()
    assert write(api, *stay(known), slot("X", gone=True, **known["A"])) == {"intranet/X": SlotResult({})}
    assert api.channel.calls == []


# ------------------------------------------------------------------ the order of messages


def test_in_a_list_that_grows_spaces_are_shown_at_their_new_place_before_they_leave_the_old_one(
    api: ChannelApi,
) -> None:
    known = start(api, "B", "C", "D", "E")
    missing: list[str] = []
    api.after = lambda: missing.extend(model for model in "BCDE" if not any(model in page for page in listed(api)))
    results = write(api, slot("A"), *stay(known))
    assert missing == []
    assert [method for method, _ in api.log] == [POST, UPDATE, UPDATE]
    assert [ts for _, ts in api.log[1:]] == [known["D"]["ts"], known["B"]["ts"]]
    assert listed(api) == [["A", "B"], ["C", "D"], ["E"]]
    assert set(shown(results, *"ABCDE")) == set("ABCDE")


def test_in_a_list_that_shrinks_spaces_are_shown_before_their_old_message_is_deleted(api: ChannelApi) -> None:
    known = start(api, "A", "B", "C", "D", "E")
    missing: list[str] = []
    api.after = lambda: missing.extend(model for model in "BCDE" if not any(model in page for page in listed(api)))
    results = write(api, slot("A", gone=True, **known["A"]), *stay(known)[1:])
    assert missing == []
    assert api.log == [(UPDATE, known["A"]["ts"]), (UPDATE, known["C"]["ts"]), (DELETE, known["E"]["ts"])]
    assert set(shown(results, *"ABCDE")) == set("ABCDE")


def test_a_list_of_the_same_length_is_edited_from_its_start(api: ChannelApi) -> None:
    known = start(api, "A", "B", "C")
    write(api, *(slot(model, token=TOKEN_B, **known[model]) for model in "ABC"))
    assert api.log == [(UPDATE, known["A"]["ts"]), (UPDATE, known["C"]["ts"])]


# ------------------------------------------------------------------ messages that cannot be edited


def test_a_message_that_is_gone_is_posted_anew_and_is_no_old_link(api: ChannelApi) -> None:
    known = start(api, "A", "B")
    api.channel.messages.clear()
    results = write(api, slot("A", token=TOKEN_B, **known["A"]), *stay(known)[1:])
    assert [method for method, _ in api.log] == [POST]
    assert set(shown(results, "A", "B")) == {"A", "B"}


def test_a_message_that_cannot_be_edited_keeps_links_that_stay_and_is_replaced_for_a_new_one(api: ChannelApi) -> None:
    known = start(api, "A", "B")
    api.channel.locked = {known["A"]["ts"]}
    renamed = [replace(each, link=shown_link(TOKEN_A, "link-A", each.model_id, name="other")) for each in stay(known)]
    results = write(api, *renamed)
    assert api.log == []
    assert shown(results, "A", "B", remains=True)["A"]["ts"] == known["A"]["ts"]
    api.channel.calls.clear()
    results = write(api, slot("A", token=TOKEN_B, **known["A"]), *stay(known)[1:])
    assert api.channel.calls == [UPDATE, "conversations.history", POST]
    assert shown(results, "A", "B", remains=True)["A"]["ts"] != known["A"]["ts"]


def test_a_message_that_was_never_recorded_is_edited_in_place_of_a_new_post(api: ChannelApi) -> None:
    start(api, "A", "B", "C")
    (first, second) = sorted(api.channel.messages)
    again = shown(write(api, slot("A"), slot("B"), slot("C")), *"ABC")  # the first task died before it recorded them
    assert [method for method, _ in api.log] == [UPDATE, UPDATE]
    assert {again["A"]["ts"], again["C"]["ts"]} == {first, second}


def test_messages_that_were_never_recorded_and_are_not_needed_are_deleted(api: ChannelApi) -> None:
    start(api, "A", "B", "C")
    write(api, slot("A"))
    assert [method for method, _ in api.log] == [UPDATE, DELETE]
    assert listed(api) == [["A"]]


def test_another_message_than_the_known_ones_is_not_taken_twice(api: ChannelApi) -> None:
    known = start(api, "A", "B", "C", "D")
    write(api, *stay(known), slot("E"))
    assert [method for method, _ in api.log] == [POST]
    assert listed(api) == [["A", "B"], ["C", "D"], ["E"]]


# ------------------------------------------------------------------ failures


def test_a_permanent_failure_fails_its_message_and_the_next_one_is_written(api: ChannelApi) -> None:
    known = start(api, "A", "B", "C")
    update = api.channel._update

    def fail_first(arguments: dict[str, Any]) -> dict[str, Any]:
        api.channel._refuse("invalid_blocks" if arguments["ts"] == known["A"]["ts"] else "")
        return update(arguments)

    api.channel._update = fail_first  # type: ignore[method-assign]
    results = write(api, *(slot(model, token=TOKEN_B, **known[model]) for model in "ABC"))
    assert "invalid_blocks" in str(problem(results, "A"))
    assert problem(results, "B").permanent
    assert set(shown(results, "C")) == {"C"}


def test_each_slot_fails_with_the_error_of_its_own_message(api: ChannelApi) -> None:
    known = start(api, "A", "B", "C")
    codes = {known["A"]["ts"]: "invalid_blocks", known["C"]["ts"]: "invalid_auth"}
    api.channel._update = lambda arguments: api.channel._refuse(codes[arguments["ts"]]) or {}  # type: ignore[assignment, func-returns-value, method-assign]
    results = write(api, *(slot(model, token=TOKEN_B, **known[model]) for model in "ABC"))
    assert "invalid_blocks" in str(problem(results, "A"))
    assert "invalid_auth" in str(problem(results, "C"))


def test_a_temporary_failure_ends_the_list_and_every_later_slot_fails_with_it(api: ChannelApi) -> None:
    known = start(api, "A", "B", "C", "D")
    api.channel.refusals[UPDATE] = "internal_error"
    api.channel.calls.clear()
    results = write(api, *(slot(model, token=TOKEN_B, **known[model]) for model in "ABCD"))
    assert api.channel.calls == [UPDATE]
    assert {str(problem(results, model)) for model in "ABCD"} == {str(problem(results, "A"))}
    assert not problem(results, "D").permanent


def test_nothing_is_deleted_while_a_message_failed_and_slots_that_stay_do_not_fail(api: ChannelApi) -> None:
    known = start(api, "A", "B", "C", "D", "E")
    api.channel.refusals[UPDATE] = "invalid_blocks"
    results = write(api, slot("A", gone=True, **known["A"]), *stay(known)[1:])
    assert api.log == []
    assert set(results) == {"intranet/A"}
    assert "invalid_blocks" in str(problem(results, "A"))


def test_a_message_that_could_not_be_deleted_for_now_fails_the_slots_that_it_shows(
    api: ChannelApi, caplog: pytest.LogCaptureFixture
) -> None:
    known = start(api, "A", "B", "C")
    api.channel.refusals[DELETE] = "internal_error"
    results = write(api, *stay(known)[:2], slot("C", gone=True, **known["C"]))
    assert set(results) == {"intranet/C"}
    assert "internal_error" in str(problem(results, "C"))
    assert any(f"Message {known['C']['ts']} could not be deleted" in message for message in caplog.messages)


def test_a_message_that_can_never_be_deleted_leaves_its_old_link(
    api: ChannelApi, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    known = start(api, "A", "B", "C")
    api.channel.refusals |= {DELETE: "cant_delete_message", UPDATE: "cant_update_message"}
    results = write(api, *stay(known)[:2], slot("C", gone=True, **known["C"]))
    assert results == {"intranet/C": SlotResult({}, old_link_remains=True)}
    assert caplog.messages == []


def test_messages_of_slots_that_had_one_of_their_own_are_deleted(api: ChannelApi) -> None:
    own = {}
    for model in "AB":
        content = {"channel": api.channel.id, "text": model, "unfurl_links": False, "unfurl_media": False}
        own[model] = {"channel": api.channel.id, "ts": api.channel._post(content)["ts"]}
    results = write(api, *(slot(model, **own[model]) for model in "AB"))
    assert [method for method, _ in api.log] == [POST, DELETE, DELETE]
    assert shown(results, "A", "B")["A"]["layout"] == "list"
    assert listed(api) == [["A", "B"]]


# ------------------------------------------------------------------ messages that are too long


@pytest.mark.parametrize(("most", "pages"), [(4, [4, 1]), (3, [2, 2, 1]), (1, [1, 1, 1, 1, 1])])
def test_messages_are_halved_until_slack_takes_them(
    api: ChannelApi, monkeypatch: pytest.MonkeyPatch, most: int, pages: list[int]
) -> None:
    monkeypatch.setattr(slack_list, "MAX_ENTRIES", 4)
    message = api.channel._message

    def limited(ts: str, arguments: dict[str, Any]) -> dict[str, Any]:
        api.channel._refuse("msg_too_long" if len(arguments["blocks"]) > 1 + most else "")
        return message(ts, arguments)

    monkeypatch.setattr(api.channel, "_message", limited)
    assert set(start(api, *"ABCDE")) == set("ABCDE")
    assert [len(page) for page in listed(api)] == pages


def test_one_space_that_is_too_long_is_a_failure(api: ChannelApi) -> None:
    api.channel.refusals[POST] = "msg_too_long"
    results = write(api, slot("A"), slot("B"))
    assert "msg_too_long" in str(problem(results, "A"))
    assert "msg_too_long" in str(problem(results, "B"))


# ------------------------------------------------------------------ reading back


def read(api: ChannelApi, *slots: DocumentSlot) -> dict[str, SlotError]:
    api.channel.calls.clear()
    return SlackList(SlackChannel(api.api, api.channel.id)).read(slots)


def test_a_list_is_read_back_once_a_message(api: ChannelApi) -> None:
    known = start(api, "A", "B", "C")
    assert read(api, *(slot(model, **known[model]) for model in "ABC")) == {}
    assert len(api.channel.calls) == 2
    read(api, slot("A", **known["A"], stale=[known["C"]]))
    assert len(api.channel.calls) == 1
    assert read(api, slot("X")) == {}
    assert api.channel.calls == []


def test_a_slot_whose_new_link_is_not_shown_alone_fails_and_one_that_stays_does_not(api: ChannelApi) -> None:
    known = start(api, "A", "B")
    new, kept = slot("A", token=TOKEN_B, **known["A"]), slot("B", token=TOKEN_B, changed=False, **known["B"])
    failed = read(api, new, kept)
    assert set(failed) == {"intranet/A"}
    assert str(failed["intranet/A"]) == "the message does not show the new link alone when it is read back"
    assert not failed["intranet/A"].permanent
    message = api.channel.messages[known["A"]["ts"]]
    message["text"] = json.dumps(shown_link(TOKEN_B, model_id="A").url.reveal())
    assert set(read(api, slot("A", **known["A"]))) == {"intranet/A"}  # another link of the model is shown too


def test_every_slot_of_a_message_that_is_gone_fails(api: ChannelApi) -> None:
    known = start(api, "A", "B")
    api.channel.messages.clear()
    failed = read(api, slot("A", **known["A"]), *stay(known)[1:], slot("C", gone=True, **known["A"]))
    assert set(failed) == {"intranet/A", "intranet/B"}
    assert str(failed["intranet/B"]) == "the message is not in the channel when it is read back"
    assert not failed["intranet/B"].permanent


def test_a_channel_that_may_not_be_read_is_not_read_back(api: ChannelApi) -> None:
    known = start(api, "A")
    api.channel.may_read = False
    assert read(api, slot("A", token=TOKEN_B, **known["A"])) == {}
