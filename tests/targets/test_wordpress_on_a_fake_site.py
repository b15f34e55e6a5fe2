"""The WordPress target against a site in memory: what it writes, what it reads back, and what it says."""

from __future__ import annotations

import html
import logging
import re

import pytest
import requests

from pme_airflow.errors import SlotError
from tests.support.fake_wordpress import MODEL, OTHER, FakeWordPress, Request, link, response

SLOT = f"pages/1#{MODEL}"
OLD = "o" * 25


def old_block(token: str = OLD) -> str:
    """What an earlier run left in the page."""
    site = FakeWordPress(p1="")
    site.target().put(SLOT, link(token), {})
    return site.content()


def test_a_link_is_put_and_read_back() -> None:
    site = FakeWordPress(p1="before")
    target = site.target()
    details = target.put(SLOT, link(), {})
    target.read_back(SLOT, link(), details)
    assert link().token.reveal() in site.content()
    assert (details["path"], details["model_id"]) == ("pages/1", MODEL)
    assert "left_behind" not in details


def test_a_slot_is_the_models_page() -> None:
    target = FakeWordPress().target({MODEL: "12", OTHER: 7}, kind="tours")
    assert target.slots({"model_id": MODEL}) == [f"tours/12#{MODEL}"]
    with pytest.raises(SlotError, match="no page is named"):
        target.slots({"model_id": "NoSuchModel"})


def test_a_link_that_stands_there_already_is_not_written_again() -> None:
    site = FakeWordPress(p1="before")
    site.target().put(SLOT, link(), {})
    site.target().put(SLOT, link(), {})
    assert site.count("POST") == 1


def test_an_edit_between_read_and_write_is_kept() -> None:
    site = FakeWordPress(p1="before")
    reads = []

    def edit(asked: Request) -> None:
        if asked.method == "GET" and asked.path == "pages/1":
            reads.append(asked)
            if len(reads) == 1:
                site.pages["pages/1"].edit("written by an editor")

    site.after = edit
    with pytest.raises(SlotError, match="edited the page just now") as raised:
        site.target().put(SLOT, link(), {})
    assert not raised.value.permanent
    assert site.content() == "written by an editor"


def test_a_page_in_the_trash_is_left_alone() -> None:
    site = FakeWordPress(p1="before")
    site.pages["pages/1"].status = "trash"
    with pytest.raises(SlotError, match="trash"):
        site.target().put(SLOT, link(), {})
    assert site.count("POST") == 0


def test_nothing_is_written_where_iframes_would_be_filtered() -> None:
    site = FakeWordPress(p1="before")
    site.links = {"wp:action-publish": []}
    with pytest.raises(SlotError, match="unfiltered_html") as raised:
        site.target().put(SLOT, link(), {})
    assert raised.value.permanent
    assert site.content() == "before"


@pytest.mark.parametrize(
    "name",
    [
        "[gallery]",
        "[/gallery]",
        "a & b",
        'say "cheese"',
        "it's",
        "<script>alert(1)</script>",
        "--><b>",
        "Café Österreich",
    ],
)
def test_a_name_is_text_and_nothing_else(name: str) -> None:
    site = FakeWordPress(p1="")
    site.target().put(SLOT, link(name=name), {})
    (title,) = re.findall(r'title="([^"]*)"', site.content())
    assert html.unescape(title) == name
    assert not set(title) & set("[]<>'")


# ---------------------------------------------------------------------- what visitors are shown


@pytest.mark.parametrize(("status", "code"), [(400, "rest_invalid_param"), (418, ""), (302, "")])
def test_a_visitors_error_is_no_success(status: int, code: str) -> None:
    site = FakeWordPress(p1="before")
    target = site.target()
    details = target.put(SLOT, link(), {})
    site.faults.append(lambda asked: response(status, f'{{"code": "{code}"}}') if asked.anonymous else None)
    with pytest.raises(SlotError):
        target.read_back(SLOT, link(), details)


def test_a_page_that_does_not_show_what_it_holds_is_no_success() -> None:
    site = FakeWordPress(p1="before")
    site.render = lambda raw: f"<p>{old_block('other' * 5)}</p>"
    target = site.target()
    details = target.put(SLOT, link(), {})
    with pytest.raises(SlotError, match="does not show it to readers"):
        target.read_back(SLOT, link(), details)


def test_a_page_that_shows_another_link_of_the_model_too_is_no_success() -> None:
    site = FakeWordPress(p1="before")
    site.render = lambda raw: raw + old_block()
    target = site.target()
    details = target.put(SLOT, link(), {})
    with pytest.raises(SlotError, match="another link of model"):
        target.read_back(SLOT, link(), details)


def test_a_page_that_lost_the_link_is_no_success() -> None:
    site = FakeWordPress(p1="before")
    target = site.target()
    details = target.put(SLOT, link(), {})
    site.pages["pages/1"].edit("before")
    with pytest.raises(SlotError, match="does not hold the new link") as raised:
        target.read_back(SLOT, link(), details)
    assert not raised.value.permanent


@pytest.mark.parametrize("hidden", ["private", "draft", "protected"])
def test_a_page_that_is_not_public_is_read_as_the_account(hidden: str) -> None:
    site = FakeWordPress(p1="before")
    page = site.pages["pages/1"]
    page.protected, page.status = hidden == "protected", "publish" if hidden == "protected" else hidden
    target = site.target()
    target.read_back(SLOT, link(), target.put(SLOT, link(), {}))


# ---------------------------------------------------------------------- revisions


def test_revisions_that_hold_an_old_link_are_deleted_and_others_kept() -> None:
    site = FakeWordPress(p1=old_block())
    page = site.pages["pages/1"]
    page.revisions = {
        1: "no link",
        2: old_block(),
        3: f"Bearer {OLD}",
        4: f"<!-- pme:{OTHER} -->x<!-- /pme:{OTHER} -->",
    }
    details = site.target().put(SLOT, link(), {})
    assert page.revisions == {1: "no link"}
    assert "left_behind" not in details


def test_revisions_that_cannot_be_deleted_are_named(caplog: pytest.LogCaptureFixture) -> None:
    site = FakeWordPress(p1=old_block())
    site.revisions_deletable = False
    with caplog.at_level(logging.WARNING):
        details = site.target().put(SLOT, link(), {})
    assert details["left_behind"] == 1
    assert "1 revisions keep old links" in caplog.text
    assert OLD not in caplog.text


@pytest.mark.parametrize("deletable", [True, False])
def test_a_slot_that_is_taken_away_says_what_is_left_behind(deletable: bool) -> None:
    site = FakeWordPress(p1="before")
    site.revisions_deletable = deletable
    target = site.target()
    left = target.take_away(SLOT, target.put(SLOT, link(), {}))
    assert left == ({} if deletable else {"left_behind": 1})
    assert link().token.reveal() not in site.content()


@pytest.mark.parametrize("status", [404, 410])
def test_a_slot_of_a_page_that_is_gone_is_taken_away(status: int) -> None:
    site = FakeWordPress()
    site.faults.append(lambda asked: response(status, '{"code": "rest_post_invalid_id"}'))
    assert site.target().take_away(SLOT, {"path": "pages/1", "model_id": MODEL}) == {}


def test_a_slot_that_cannot_be_read_is_not_taken_away() -> None:
    site = FakeWordPress(p1="before")

    def refuse(asked: Request) -> requests.Response:
        return response(403, '{"code": "rest_cannot_edit"}')

    site.faults.append(refuse)
    with pytest.raises(SlotError, match="may not edit"):
        site.target().take_away(SLOT, {"path": "pages/1", "model_id": MODEL})
