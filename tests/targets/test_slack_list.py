"""A list of spaces in a Slack channel: few messages, edited in place, whatever else is in the channel."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator

import pytest

from pme_airflow.dev.emulator import World
from pme_airflow.dev.playground.channel import Channel
from pme_airflow.embed_params import EmbedParams
from pme_airflow.errors import PMEInputError
from pme_airflow.ledger import flags, publications
from pme_airflow.ledger.publications import Publication
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.lifecycle.publish import Publisher
from pme_airflow.lifecycle.services import Services
from pme_airflow.targets import slack_message
from pme_airflow.targets.slack import SlackTarget
from tests.conftest import MODELS
from tests.support.places import SlackPlace, slack_place
from tests.support.rooms import demand, known_spaces, mint, publish, sweep

HERE = sorted(MODELS)[:8]


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


def listing(place: SlackPlace, layout: str = "list") -> SlackTarget:
    return SlackTarget(place.client(), "#tours", layout=layout)


def night(services: Services, name: str, target: SlackTarget, models: list[str] = HERE) -> None:
    result = publish(services, name, target, mint(services, name, models).items)
    assert list(result.failed) == []


def texts(channel: Channel) -> list[list[str]]:
    return [[block["text"]["text"] for block in message["blocks"]] for message in channel.messages.values()]


def links_in(channel: Channel) -> list[str]:
    texts = [block["text"]["text"] for message in channel.messages.values() for block in message["blocks"]]
    return [html.unescape(url) for text in texts for url in re.findall(r"<(https?:[^|]*)\|Open the space>", text)]


def alive_links(channel: Channel, world: World) -> int:
    """How many links there are; each is alive."""
    alive = {issued.token for issued in world.alive()}
    shown = links_in(channel)
    assert all(any(token in url for token in alive) for url in shown)
    return len(shown)


def at(services: Services, target: SlackTarget) -> list[Publication]:
    with services.database.read() as tx:
        return publications.shown_at(tx, target.name)


def test_one_message_lists_all_spaces_by_name_and_is_edited_in_place(
    place: SlackPlace, channel: Channel, services: Services, world: World
) -> None:
    for name in ("monday", "tuesday", "wednesday"):
        night(services, name, listing(place))
    assert [channel.calls.count(m) for m in ("chat.postMessage", "chat.update", "chat.delete")] == [1, 2, 0]
    ((heading, *spaces),) = texts(channel)
    assert heading == "*\u2068Private spaces for intranet\u2069*"
    names = [space.partition("\n")[0] for space in spaces]
    assert names == sorted(names, key=str.casefold)
    assert len(names) == len(HERE)
    assert all("until <!date^" in space for space in spaces)
    assert alive_links(channel, world) == len(HERE)
    assert [token for token in list(world.tokens)[: -len(HERE)] if token in json.dumps(channel.messages)] == []
    assert channel.unfurled == []


def test_another_audience_has_a_list_of_its_own(place: SlackPlace, channel: Channel, services: Services) -> None:
    night(services, "monday", listing(place), HERE[:2])
    items = mint(services, "monday", HERE[:2], demand(audience="brokers")).items
    assert list(publish(services, "monday", listing(place), items).failed) == []
    assert [heading for heading, *_ in texts(channel)] == [
        "*\u2068Private spaces for intranet\u2069*", "*\u2068Private spaces for brokers\u2069*",
    ]  # fmt: skip


def test_a_list_is_split_at_50_blocks_and_only_messages_that_change_are_edited(
    place: SlackPlace, channel: Channel, services: Services, world: World
) -> None:
    models = known_spaces(world, 120)
    night(services, "monday", listing(place), models)
    assert [len(page) for page in texts(channel)] == [50, 50, 23]
    assert [page[0].endswith("continued") for page in texts(channel)] == [False, True, True]
    channel.calls.clear()
    night(services, "tuesday", listing(place), models[50:51])
    assert channel.calls.count("chat.update") == 1
    assert alive_links(channel, world) == 120
    retire = Publisher(services, RunContext("dag/wednesday/publish/-1"), listing(place))
    retire.retire_others("intranet", models[1:])
    assert [len(page) for page in texts(channel)] == [50, 50, 22]
    assert alive_links(channel, world) == 119
    assert models[0] not in json.dumps(channel.messages)


def test_a_list_that_shrinks_leaves_no_message_behind(
    place: SlackPlace, channel: Channel, services: Services, world: World
) -> None:
    models = known_spaces(world, 60)
    night(services, "monday", listing(place), models)
    assert len(channel.messages) == 2
    Publisher(services, RunContext("dag/a/publish/-1"), listing(place)).retire_others("intranet", models[:40])
    assert [len(page) for page in texts(channel)] == [41]
    Publisher(services, RunContext("dag/b/publish/-1"), listing(place)).retire_others("intranet", [])
    assert channel.messages == {}
    assert at(services, listing(place)) == []


def test_a_message_that_was_deleted_is_posted_anew(
    place: SlackPlace, channel: Channel, services: Services, world: World
) -> None:
    night(services, "monday", listing(place))
    channel.messages.clear()
    night(services, "tuesday", listing(place))
    assert alive_links(channel, world) == len(HERE)
    assert len(channel.messages) == 1


def test_a_message_that_was_deleted_is_posted_anew_with_the_same_links(
    place: SlackPlace, channel: Channel, services: Services, world: World
) -> None:
    items = mint(services, "monday", HERE).items
    publish(services, "monday", listing(place), items)
    channel.messages.clear()
    assert list(publish(services, "again", listing(place), items).failed) == []
    assert alive_links(channel, world) == len(HERE)


def test_an_archived_channel_fails_every_slot_and_says_what_to_do(
    place: SlackPlace, channel: Channel, services: Services
) -> None:
    night(services, "monday", listing(place))
    channel.refusals = {"chat.update": "is_archived"}
    channel.archived = True
    result = publish(services, "tuesday", listing(place), mint(services, "tuesday", HERE).items)
    assert result.failed.total == len(HERE)
    assert all("the channel is archived: choose another" in failure["reason"] for failure in result.failed)
    assert result.permanent
    assert len(at(services, listing(place))) == len(HERE)


def test_one_dead_link_is_listed_without_a_link_and_heals(
    place: SlackPlace, channel: Channel, services: Services, world: World
) -> None:
    night(services, "monday", listing(place))
    with services.database.write(RunContext("leak")) as tx:
        flags.flag(tx, "leaked", models=HERE[:1])
    sweep(services)
    night(services, "tuesday", listing(place), HERE[1:])
    assert alive_links(channel, world) == len(HERE) - 1
    assert sum("no link at the moment" in text for page in texts(channel) for text in page) == 1
    night(services, "wednesday", listing(place), HERE[:1])
    assert alive_links(channel, world) == len(HERE)


def test_the_link_that_cannot_be_shown_fails_alone(
    place: SlackPlace, channel: Channel, services: Services, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slack_message, "_MAX_TEXT", 600)
    items = mint(services, "monday", HERE).items
    params = EmbedParams.parse({HERE[2]: "help=" + "1" * 400}, "params")
    result = Publisher(services, RunContext("dag/a/publish/-1"), listing(place), params=params).publish(items)
    assert [failure["model_id"] for failure in result.failed] == [HERE[2]]
    assert "shorten params" in result.failed[0]["reason"]
    assert alive_links(channel, world) == len(HERE) - 1


@pytest.mark.parametrize("before", ["list", "message"])
def test_a_space_whose_new_link_cannot_be_shown_keeps_its_former_link_while_that_link_is_alive(
    place: SlackPlace, channel: Channel, services: Services, world: World, monkeypatch: pytest.MonkeyPatch, before: str
) -> None:
    monkeypatch.setattr(slack_message, "_MAX_TEXT", 600)
    night(services, "monday", listing(place, before))
    (former,) = (issued.token for issued in world.alive() if issued.model_id == HERE[2])
    params = EmbedParams.parse({HERE[2]: "help=" + "1" * 400}, "params")
    items = mint(services, "tuesday", HERE).items
    result = Publisher(services, RunContext("dag/tuesday/publish/-1"), listing(place), params=params).publish(items)
    assert [failure["model_id"] for failure in result.failed] == [HERE[2]]
    assert re.search(r"shorten params; the former link stays shown until \S+Z$", result.failed[0]["reason"])
    assert alive_links(channel, world) == len(HERE)
    assert sum(former in url for url in links_in(channel)) == 1
    with services.database.write(RunContext("leak")) as tx:
        flags.flag(tx, "leaked", models=HERE[2:3])
    sweep(services)
    items = mint(services, "wednesday", HERE).items
    result = Publisher(services, RunContext("dag/wednesday/publish/-1"), listing(place), params=params).publish(items)
    assert result.failed[0]["reason"].endswith("shorten params")
    assert alive_links(channel, world) == len(HERE) - 1
    night(services, "thursday", listing(place))
    assert alive_links(channel, world) == len(HERE)


def test_parameters_and_names_of_links_that_stay_are_kept(
    place: SlackPlace, channel: Channel, services: Services
) -> None:
    params = EmbedParams.parse("play=1", "params")
    for name, models in (("monday", HERE), ("tuesday", HERE[:1])):
        items = mint(services, name, models).items
        Publisher(services, RunContext(f"dag/{name}/publish/-1"), listing(place), params=params).publish(items)
    assert all("play=1" in url for url in links_in(channel))
    retire = Publisher(services, RunContext("dag/wednesday/publish/-1"), listing(place))
    retire.retire_others("intranet", HERE[1:])
    assert len(links_in(channel)) == len(HERE) - 1
    assert all("play=1" in url for url in links_in(channel))


@pytest.mark.parametrize(("first", "then", "messages"), [("message", "list", 1), ("list", "message", len(HERE))])
def test_moving_between_layouts_leaves_nothing_behind(
    place: SlackPlace, channel: Channel, services: Services, world: World, first: str, then: str, messages: int
) -> None:
    items = mint(services, "monday", HERE).items
    publish(services, "monday", listing(place, first), items)
    assert list(publish(services, "again", listing(place, then), items).failed) == []
    assert len(channel.messages) == messages
    assert alive_links(channel, world) == len(HERE)
    night(services, "tuesday", listing(place, then))
    assert len(channel.messages) == messages
    assert alive_links(channel, world) == len(HERE)
    Publisher(services, RunContext("dag/last/publish/-1"), listing(place, then)).retire_others("intranet", [])
    assert channel.messages == {}


def test_a_post_whose_confirmation_was_lost_is_found_and_not_posted_twice(
    place: SlackPlace, channel: Channel, services: Services, world: World
) -> None:
    answer = channel.answer

    def answering(method: str, arguments: dict[str, object]) -> dict[str, object]:
        place.break_it({"lost_after": float(method == "chat.postMessage")})
        return answer(method, arguments)

    channel.answer = answering  # type: ignore[method-assign]
    night(services, "monday", listing(place))
    assert channel.calls.count("chat.postMessage") == 1
    channel.answer = answer  # type: ignore[method-assign]
    place.break_it({})
    night(services, "tuesday", listing(place))
    assert len(channel.messages) == 1
    assert alive_links(channel, world) == len(HERE)


def test_messages_that_slack_finds_too_long_are_split(
    place: SlackPlace, channel: Channel, services: Services, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = channel._message

    def limited(ts: str, arguments: dict[str, object]) -> dict[str, object]:
        blocks = arguments["blocks"]
        if len(json.loads(blocks) if isinstance(blocks, str) else blocks) > 4:  # type: ignore[arg-type]
            channel._refuse("msg_blocks_too_long")
        return message(ts, arguments)

    monkeypatch.setattr(channel, "_message", limited)
    night(services, "monday", listing(place))
    assert alive_links(channel, world) == len(HERE)
    assert 3 <= len(channel.messages) <= len(HERE)


def test_another_apps_copy_of_the_message_costs_a_new_one_and_the_old_link_no_grace(
    place: SlackPlace, channel: Channel, services: Services, world: World
) -> None:
    night(services, "monday", listing(place))
    channel.locked = set(channel.messages)
    night(services, "tuesday", listing(place))
    sweep(services)
    assert len(channel.messages) == 2
    assert len(world.alive()) == len(HERE)


def test_a_bot_that_may_not_read_the_channel_still_edits_its_list(
    place: SlackPlace, channel: Channel, services: Services, world: World
) -> None:
    channel.may_read = False
    night(services, "monday", listing(place))
    night(services, "tuesday", listing(place))
    assert alive_links(channel, world) == len(HERE)
    assert len(channel.messages) == 1


def test_a_list_that_somebody_emptied_is_noticed_and_written_again(
    place: SlackPlace, channel: Channel, services: Services, world: World
) -> None:
    night(services, "monday", listing(place))
    (ts,) = channel.messages
    shown = at(services, listing(place))
    check = listing(place).check_shown(shown)
    assert check is not None
    assert check.lost == []
    channel.messages[ts]["blocks"] = []
    check = listing(place).check_shown(shown)
    assert check is not None
    assert len(check.lost) == len(HERE)


def test_an_unknown_layout_is_refused(place: SlackPlace) -> None:
    with pytest.raises(PMEInputError, match="layout: give message or list"):
        listing(place, "table")


@pytest.mark.parametrize(
    ("count", "finding"), [(1, "1 spaces are listed in 1 message."), (99, "99 spaces are listed in 3 messages.")]
)
def test_a_check_says_how_many_messages_a_list_has(place: SlackPlace, count: int, finding: str) -> None:
    items = [{"model_id": f"M{number}", "audience": "intranet"} for number in range(count)]
    *_, last = listing(place).check(items)
    assert (last.check, last.finding) == ("list", finding)
    assert [result.check for result in listing(place, "message").check(items)].count("list") == 0
