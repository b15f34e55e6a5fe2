"""The WordPress target against a site in memory: what it writes, what it reads back, and what it says."""

from __future__ import annotations

import base64
import html
import logging
import re
from collections.abc import Callable

import pytest
import requests

from pme_airflow.errors import PMEInputError, SlotError
from pme_airflow.sealing import fingerprint
from pme_airflow.targets.base import SlotResult
from tests.support.fake_wordpress import MODEL, OTHER, FakeWordPress, Page, Request, link, response

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
    result = target.put(SLOT, link(), {})
    target.read_back(SLOT, link(), result.details)
    assert link().token.reveal() in site.content()
    assert result.details == {"path": "pages/1", "model_id": MODEL, "fingerprint": fingerprint(link().token)}
    assert not result.old_link_remains


def test_a_slot_is_the_models_page() -> None:
    target = FakeWordPress().target({MODEL: "12", OTHER: 7}, kind="tours")
    assert target.slots({"model_id": MODEL}) == [f"tours/12#{MODEL}"]
    with pytest.raises(SlotError, match="pages has no entry"):
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
    with pytest.raises(SlotError, match="page was edited while it was being written") as raised:
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


@pytest.mark.parametrize(
    "page", [0, -1, True, 4.0, None, "mill-street", "42/../7", "https://cms.example/?p=42", "", "٤"]
)
def test_what_is_no_number_of_a_page_is_refused(page: object) -> None:
    with pytest.raises(PMEInputError, match=f"{MODEL}: is not a page's number"):
        FakeWordPress().target({MODEL: page})


@pytest.mark.parametrize("kind", ["../users", "Pages", "", "pages/1", "pages?x", None, "-x", "a" * 62])
def test_what_is_no_type_is_refused(kind: object) -> None:
    with pytest.raises(PMEInputError, match="type: is not a REST base"):
        FakeWordPress().target(kind=kind)


@pytest.mark.parametrize("model_id", ["a b", "<x>", "", 5, "-->"])
def test_what_is_no_model_is_refused(model_id: object) -> None:
    with pytest.raises(PMEInputError, match="is not a model id"):
        FakeWordPress().target({model_id: 1})


def test_a_write_whose_answer_cannot_be_read_counts_by_what_is_read_back() -> None:
    site = FakeWordPress(p1="before")
    kept = site.dress
    site.after = lambda asked: setattr(site, "dress", kept)
    site.faults.append(
        lambda asked: setattr(site, "dress", lambda text: b"Fatal error") if asked.method == "POST" else None
    )
    target = site.target()
    target.read_back(SLOT, link(), target.put(SLOT, link(), {}).details)
    assert site.count("POST") == 1


# ---------------------------------------------------------------------- what visitors are shown


def shown_by(site: FakeWordPress) -> None:
    """Put a link and read it back."""
    target = site.target()
    target.read_back(SLOT, link(), target.put(SLOT, link(), {}).details)


@pytest.mark.parametrize(("status", "code"), [(400, "rest_invalid_param"), (418, ""), (302, ""), (503, ""), (429, "")])
def test_a_visitors_error_is_no_success_although_the_page_itself_would_show_the_link(
    monkeypatch: pytest.MonkeyPatch, status: int, code: str
) -> None:
    monkeypatch.setattr("pme_airflow.targets.web.time.sleep", lambda _: None)
    site = FakeWordPress(p1="before")
    body = f'{{"code": "{code}"}}'
    site.faults.append(lambda asked: response(status, body) if asked.anonymous and asked.form else None)
    with pytest.raises(SlotError) as caught:
        shown_by(site)
    assert caught.value.permanent is (status < 429)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (401, '{"code": "rest_not_logged_in"}'),
        (403, '{"code": "rest_login_required"}'),
        (403, ""),
        (404, ""),
        (200, ""),
    ],
)
def test_a_rest_api_that_is_closed_to_visitors_is_gone_round_by_the_page_itself(status: int, body: str) -> None:
    site = FakeWordPress(p1="before")
    site.faults.append(lambda asked: response(status, body) if asked.anonymous and asked.form else None)
    shown_by(site)
    assert [asked.path for asked in site.seen if asked.anonymous and not asked.form] == ["page-1/"]
    site.render = lambda raw: "<p>something else</p>"
    with pytest.raises(SlotError, match="does not show it to readers"):
        shown_by(site)


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_page_that_visitors_are_refused_is_no_success(status: int) -> None:
    site = FakeWordPress(p1="before")
    site.faults.append(lambda asked: response(status, "<html></html>", "text/html") if asked.anonymous else None)
    with pytest.raises(SlotError, match=f"the page is refused to visitors .HTTP {status}"):
        shown_by(site)


def test_a_page_without_an_address_is_read_as_the_account() -> None:
    site = FakeWordPress(p1="before")
    site.pages["pages/1"].link = ""
    site.faults.append(lambda asked: response(403, "") if asked.anonymous else None)
    shown_by(site)


@pytest.mark.parametrize("answer", ["{}", '{"content": 3}', '{"content": {"rendered": null}}', '{"content": {}}'])
def test_a_visitors_answer_without_content_is_no_success_by_itself(answer: str) -> None:
    site = FakeWordPress(p1="before")
    body = answer.replace("{", '{"id": 1, ', 1).replace(", }", "}")
    site.faults.append(lambda asked: response(200, body) if asked.anonymous and asked.form else None)
    shown_by(site)
    site.render = lambda raw: ""
    with pytest.raises(SlotError):
        shown_by(site)


def test_a_page_that_is_shown_as_it_was_is_no_success_yet() -> None:
    site = FakeWordPress(p1="before")
    former = old_block()
    site.render = lambda raw: f"<p>{former}</p>"
    with pytest.raises(SlotError, match="empty the page cache") as raised:
        shown_by(site)
    assert not raised.value.permanent


def test_a_page_that_does_not_show_what_it_holds_is_no_success() -> None:
    site = FakeWordPress(p1="before")
    site.render = lambda raw: "<p>what a page builder made</p>"
    with pytest.raises(SlotError, match="does not show it to readers"):
        shown_by(site)


REWRITES: dict[str, Callable[[str], str]] = {
    "data-src": lambda raw: raw.replace(" src=", ' src="about:blank" data-src='),
    "lazy": lambda raw: raw.replace("<iframe", '<iframe loading="lazy"'),
    "noscript": lambda raw: (
        raw.replace("<iframe", "<iframe data-lazy").replace(" src=", " data-lazy-src=") + f"<noscript>{raw}</noscript>"
    ),
    "base64": lambda raw: f"<script type='text/template'>{base64.b64encode(raw.encode()).decode()}</script>",
    "facade": lambda raw: f'<div class="lite-tour" data-id="{MODEL}"></div>',
    "nothing but its place": lambda raw: re.sub(r"<iframe.*?</iframe>", "<div class=consent></div>", raw),
    "entities": lambda raw: raw.replace("&amp;", "&#038;"),
}


@pytest.mark.parametrize("plugin", REWRITES)
def test_an_iframe_that_a_plugin_rewrites_on_output_does_not_fail_for_ever(
    plugin: str, caplog: pytest.LogCaptureFixture
) -> None:
    site = FakeWordPress(p1="before")
    site.render = REWRITES[plugin]
    with caplog.at_level(logging.WARNING):
        shown_by(site)
    assert ("a plugin rewrites the iframe" in caplog.text) is (plugin in ("base64", "facade", "nothing but its place"))
    assert link().token.reveal() not in caplog.text


def test_an_iframe_that_wordpress_takes_out_is_named() -> None:
    site = FakeWordPress(p1="before")
    site.store = lambda raw: re.sub(r"</?iframe[^>]*>", "", raw)
    with pytest.raises(SlotError, match="unfiltered_html") as raised:
        shown_by(site)
    assert raised.value.permanent


def test_a_block_that_a_plugin_writes_otherwise_is_shown_all_the_same() -> None:
    site = FakeWordPress(p1="before")
    site.store = lambda raw: (
        raw.replace("&amp;", "&#038;").replace("<iframe", '<iframe class="x"').replace("<!-- pme:", "<!--pme:")
    )
    shown_by(site)
    site.target().put(SLOT, link("n" * 25), {})
    assert site.content().count("<iframe") == 1


def test_a_page_that_shows_another_link_of_the_model_too_is_no_success() -> None:
    site = FakeWordPress(p1="before")
    former = old_block()
    site.render = lambda raw: raw + former
    target = site.target()
    details = target.put(SLOT, link(), {}).details
    with pytest.raises(SlotError, match="another link of model"):
        target.read_back(SLOT, link(), details)


def test_a_page_that_lost_the_link_is_no_success() -> None:
    site = FakeWordPress(p1="before")
    target = site.target()
    details = target.put(SLOT, link(), {}).details
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
    target.read_back(SLOT, link(), target.put(SLOT, link(), {}).details)


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
    result = site.target().put(SLOT, link(), {})
    assert page.revisions == {1: "no link"}
    assert not result.old_link_remains


def test_revisions_that_cannot_be_deleted_are_named(caplog: pytest.LogCaptureFixture) -> None:
    site = FakeWordPress(p1=old_block())
    site.revisions_deletable = False
    with caplog.at_level(logging.WARNING):
        result = site.target().put(SLOT, link(), {})
    assert result.old_link_remains
    assert "1 revisions keep old links" in caplog.text
    assert OLD not in caplog.text


@pytest.mark.parametrize("deletable", [True, False])
def test_a_slot_that_is_taken_away_says_what_is_left_behind(deletable: bool) -> None:
    site = FakeWordPress(p1="before")
    site.revisions_deletable = deletable
    target = site.target()
    cleared = target.take_away(SLOT, target.put(SLOT, link(), {}).details)
    assert cleared.old_link_remains is not deletable
    assert site.content() == f"before\n\n<!-- pme:{MODEL} --><!-- /pme:{MODEL} -->"
    assert link().token.reveal() not in site.content()


@pytest.mark.parametrize("status", [404, 410])
def test_a_slot_of_a_page_that_is_gone_is_taken_away(status: int) -> None:
    site = FakeWordPress()
    site.faults.append(lambda asked: response(status, '{"code": "rest_post_invalid_id"}'))
    assert site.target().take_away(SLOT, {"path": "pages/1", "model_id": MODEL}) == SlotResult()


def test_a_slot_that_cannot_be_read_is_not_taken_away() -> None:
    site = FakeWordPress(p1="before")

    def refuse(asked: Request) -> requests.Response:
        return response(403, '{"code": "rest_cannot_edit"}')

    site.faults.append(refuse)
    with pytest.raises(SlotError, match="may not edit"):
        site.target().take_away(SLOT, {"path": "pages/1", "model_id": MODEL})


# ---------------------------------------------------------------------- reusable blocks

REUSABLE = '<!-- wp:block {"ref":7} /-->'


def with_block(content: str, page: str = REUSABLE) -> FakeWordPress:
    site = FakeWordPress(p1=page)
    site.pages["blocks/7"] = Page(content)
    return site


@pytest.mark.parametrize(
    "content", [f"[pme model={MODEL}]", f'<iframe src="https://my.matterport.com/show/?m={MODEL}"></iframe>']
)
def test_a_place_in_a_reusable_block_is_found(content: str) -> None:
    site = with_block(content)
    target = site.target()
    site.render = lambda raw: raw.replace(REUSABLE, site.pages["blocks/7"].raw)
    for token in ("a" * 25, "b" * 25):
        details = target.put(SLOT, link(token), {}).details
        target.read_back(SLOT, link(token), details)
        assert details["path"] == "blocks/7"
        assert site.content() == REUSABLE
        assert site.pages["blocks/7"].raw.count(token) == 1
    target.take_away(SLOT, details)
    assert site.pages["blocks/7"].raw == f"<!-- pme:{MODEL} --><!-- /pme:{MODEL} -->"


def test_a_place_in_a_reusable_block_in_another_is_found() -> None:
    site = with_block('<!-- wp:block {"ref":8} /--><!-- wp:block {"ref":7} /-->')
    site.pages["blocks/8"] = Page(f"[pme model={MODEL}]")
    assert site.target().put(SLOT, link(), {}).details["path"] == "blocks/8"


def test_a_place_in_the_page_wins_over_reusable_blocks() -> None:
    site = with_block(f"[pme model={MODEL}]", f"{REUSABLE}\n\n[pme model={MODEL}]")
    assert site.target().put(SLOT, link(), {}).details["path"] == "pages/1"
    assert site.count("GET", "blocks") == 0


@pytest.mark.parametrize("status", [403, 404])
def test_a_reusable_block_that_cannot_be_read_is_passed_over(status: int) -> None:
    site = FakeWordPress(p1=REUSABLE)
    site.faults.append(lambda asked: response(status, '{"code": "rest_any"}') if "blocks" in asked.path else None)
    assert site.target().put(SLOT, link(), {}).details["path"] == "pages/1"
    assert site.content().startswith(REUSABLE)


def test_a_reusable_block_that_a_firewall_refuses_is_no_success() -> None:
    site = FakeWordPress(p1=REUSABLE)
    site.faults.append(lambda asked: response(403, "") if "blocks" in asked.path else None)
    with pytest.raises(SlotError, match="in front of WordPress"):
        site.target().put(SLOT, link(), {})
    assert site.count("POST") == 0


def test_few_of_many_reusable_blocks_are_read() -> None:
    site = FakeWordPress(p1="".join(f'<!-- wp:block {{"ref":{number}}} /-->' for number in range(7, 200)))
    assert site.target().put(SLOT, link(), {}).details["path"] == "pages/1"
    assert site.count("GET", "blocks") == 20
