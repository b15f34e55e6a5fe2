"""The messages of a list: sorted by name, within Slack's limits, and the same as long as nothing changes."""

from __future__ import annotations

import json

from pme_airflow.targets.base import DocumentSlot
from pme_airflow.targets.slack_channel import Message
from pme_airflow.targets.slack_list_message import ListPage, pages_of
from pme_airflow.targets.slack_message import list_id, owner_id, slot_id
from tests.support.links import TOKEN_A, TOKEN_B, shown_link

HERE = Message("C1", "1.5")


def slot(model_id: str, name: str, *, changed: bool = True, digest: str = "", token: str = TOKEN_A) -> DocumentSlot:
    link = shown_link(token, f"link-{model_id}", model_id, name=name)
    details = {"channel": "C1", "ts": "1.5", "digest": digest, "name": name}
    return DocumentSlot(f"intranet/{model_id}", model_id, link, details, changed)


def pages(*slots: DocumentSlot, entries: int = 49) -> list[ListPage]:
    failed: dict[str, object] = {}
    made = pages_of("intranet/", slots, entries, failed)  # type: ignore[arg-type]
    assert failed == {}
    return made


def test_spaces_are_sorted_by_name_whatever_its_case_and_by_model_where_names_are_alike() -> None:
    (page,) = pages(slot("M3", "beta"), slot("M2", "Alpha"), slot("M1", "beta"), slot("M4", "Gamma"))
    assert [entry.model_id for entry in page.slots] == ["M2", "M1", "M3", "M4"]


def test_a_message_belongs_to_its_list_and_each_entry_to_its_slot() -> None:
    first, second = pages(slot("M1", "a"), slot("M2", "b"), entries=1)
    headings = [page.content["blocks"][0]["block_id"] for page in (first, second)]
    assert {owner_id(heading) for heading in headings} == {list_id("intranet/")}
    assert owner_id(first.content["blocks"][1]["block_id"]) == slot_id("intranet/M1")
    assert list_id("intranet/") != list_id("brokers/")


def test_400_names_of_the_longest_kind_stay_within_slacks_limits() -> None:
    made = pages(*(slot(f"M{number:010}", "<&*" * 40) for number in range(400)))
    assert len(made) == 9
    for page in made:
        blocks = page.content["blocks"]
        assert len(blocks) <= 50
        assert len({block["block_id"] for block in blocks}) == len(blocks)
        assert all(len(block["text"]["text"]) <= 3000 for block in blocks)


def test_a_digest_changes_with_a_link_or_a_name_and_holds_no_token() -> None:
    digest = pages(slot("M1", "a"))[0].digest
    assert pages(slot("M1", "a"))[0].digest == digest
    same = DocumentSlot("intranet/M1", "M1", shown_link(TOKEN_B, slot("M1", "a").link.link_id, "M1", name="a"))
    assert pages(same)[0].digest == digest
    assert pages(slot("M1", "b"))[0].digest != digest
    other = DocumentSlot("intranet/M1", "M1", shown_link(TOKEN_B, "link-other", "M1", name="a"))
    assert pages(other)[0].digest != digest
    assert TOKEN_A not in json.dumps([digest])


def test_a_message_is_left_alone_only_if_nothing_in_it_changes_and_all_of_it_is_there() -> None:
    digest = pages(slot("M1", "a"))[0].digest
    assert pages(slot("M1", "a", changed=False, digest=digest))[0].is_shown_in(HERE)
    assert not pages(slot("M1", "a", digest=digest))[0].is_shown_in(HERE)
    assert not pages(slot("M1", "a", changed=False))[0].is_shown_in(HERE)
    assert not pages(slot("M1", "a", changed=False, digest=digest))[0].is_shown_in(Message("C1", "1.6"))


def test_a_slot_that_is_to_go_is_not_listed_and_a_dark_one_has_no_link() -> None:
    gone = DocumentSlot("intranet/M1", "M1", None, {"name": "a"})
    dark = DocumentSlot("intranet/M2", "M2", None, {"name": "b"}, changed=False)
    (page,) = pages(gone, dark)
    (_, block) = page.content["blocks"]
    assert "https" not in block["text"]["text"]
    assert "no link at the moment" in block["text"]["text"]
    assert pages(gone) == []


def test_a_message_is_sent_again_if_one_of_its_spaces_is_not_recorded_with_it() -> None:
    digest = pages(slot("M1", "a"), slot("M2", "b"))[0].digest
    assert len(digest) == 24
    known, unknown = slot("M1", "a", changed=False, digest=digest), slot("M2", "b", changed=False)
    assert pages(known, slot("M2", "b", changed=False, digest=digest))[0].is_shown_in(HERE)
    assert not pages(known, unknown)[0].is_shown_in(HERE)


def test_a_space_without_a_link_is_sorted_by_the_name_it_was_shown_with_and_else_by_its_model() -> None:
    shown = [
        DocumentSlot("intranet/M1", "M1", None, {"name": "c"}, False),
        DocumentSlot("intranet/M2", "M2", None, {"name": "A"}, False),
        DocumentSlot("intranet/b", "b", None, {}, False),
    ]
    (page,) = pages(*shown)
    assert [entry.model_id for entry in page.slots] == ["M2", "b", "M1"]
