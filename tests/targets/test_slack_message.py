"""A message names its space, shows one link, and is recognised by the ids of its blocks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pme_airflow.errors import SlotError
from pme_airflow.secrets import SecretStr
from pme_airflow.targets.slack_message import (
    CLEARED,
    block_id_of,
    block_ids,
    message_of,
    owner_id,
    slot_id,
    text_without_link,
)
from tests.support.links import TOKEN_A, TOKEN_B, shown_link

SLOT = "intranet/Model000000"


def text_of(message: dict[str, Any]) -> str:
    (block,) = message["blocks"]
    return str(block["text"]["text"])


def test_a_message_shows_the_link_in_its_text_and_nothing_that_a_click_sends_to_the_app() -> None:
    message = message_of(SLOT, shown_link())
    shown = f"<https://my.matterport.com/show?m=Model000000&amp;auth=Bearer+{TOKEN_A}|Open the space>"
    assert text_of(message).splitlines()[2:] == [shown]
    (block,) = message["blocks"]
    assert set(block) == {"type", "block_id", "text"}
    assert TOKEN_A not in message["text"]
    assert (message["parse"], message["link_names"]) == ("none", False)


def test_a_text_is_told_from_its_link() -> None:
    (block,) = message_of(SLOT, shown_link(name="<https://x.test|here>"))["blocks"]
    text = text_without_link(block)
    assert TOKEN_A not in text
    assert text.splitlines() == block["text"]["text"].splitlines()[:2]


def test_a_text_of_3000_characters_is_shown_and_a_longer_one_refused() -> None:
    room = 3000 - len(text_of(message_of(SLOT, shown_link(name=""))))
    assert len(text_of(message_of(SLOT, shown_link(name="n" * room)))) == 3000
    with pytest.raises(SlotError, match="longer than the 3000 characters of Slack") as caught:
        message_of(SLOT, shown_link(name="n" * (room + 1)))
    assert TOKEN_A not in str(caught.value)


def test_a_message_says_which_space_for_whom_and_until_when_in_the_readers_time() -> None:
    text = text_of(message_of(SLOT, shown_link(name="Hall")))
    assert "Hall" in text
    assert "`Model000000` for intranet" in text
    assert "<!date^1795744800^{date_short_pretty}, {time}|2026-11-27 02:00 UTC>" in text


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("<!channel>", "&lt;!channel&gt;"),
        ("<https://x.test|here>", "&lt;https\u200b://x.test|here&gt;"),
        ("a & b", "a &amp; b"),
        ("&lt;", "&amp;lt;"),
        ("*bold* _it_ ~no~ `c` :x:", "\u200b*bold\u200b* \u200b_it\u200b_ \u200b~no\u200b~ \u200b`c\u200b` \u200b:x\u200b:"),
    ],
)  # fmt: skip
def test_nothing_in_a_name_is_read_as_markup(name: str, shown: str) -> None:
    message = message_of(SLOT, shown_link(name=name))
    assert f"*\u2068{shown}\u2069*" in text_of(message)
    assert message["text"] == f"Private space {shown}"


@pytest.mark.parametrize(
    "address", ["http://my.matterport.com/x", "javascript:alert(1)", "x", "https://x.test/?a|b", "https://x.test/>"]
)
def test_a_link_that_is_no_https_address_is_refused(address: str) -> None:
    with pytest.raises(SlotError) as caught:
        message_of(SLOT, replace(shown_link(), url=SecretStr(address)))
    assert address not in str(caught.value)


def test_the_ids_of_a_slots_blocks_begin_alike_whichever_link_they_show() -> None:
    first, second = (block_id_of(SLOT, link_id) for link_id in ("lnk_" + "a" * 32, "lnk_" + "b" * 32))
    assert first != second
    assert owner_id(first) == owner_id(second) == slot_id(SLOT)
    assert slot_id("brokers/Model000000") != slot_id(SLOT)
    assert len(first) <= 255
    assert TOKEN_B not in first


@pytest.mark.parametrize(
    ("message", "ids"),
    [
        ({"blocks": [{"block_id": "a"}, {}, "x", {"block_id": None}, {"block_id": "b"}]}, ["a", "", "", "b"]),
        ({"blocks": {"block_id": "a"}}, []),
        ({"blocks": None}, []),
        ({}, []),
        (CLEARED, []),
    ],
)
def test_a_message_of_any_form_is_read(message: Any, ids: list[str]) -> None:
    assert block_ids(message) == ids


def test_a_message_is_recognised_by_what_it_is_sent_with() -> None:
    assert block_ids(message_of(SLOT, shown_link(link_id="link-1"))) == [block_id_of(SLOT, "link-1")]
