"""The REST API of a WordPress site: its two addresses, and its errors in words."""

from __future__ import annotations

import pytest
import requests

from pme_airflow.errors import SlotError
from pme_airflow.targets.wordpress_rest import WordPressApi, filters_iframes, source_of
from tests.support.fake_wordpress import SITE, FakeWordPress, Request, response


def api_of(site: FakeWordPress) -> WordPressApi:
    session = requests.Session()
    session.auth = ("admin", "application password")
    session.mount("https://", site)
    return WordPressApi(session, SITE, 5.0)


def test_a_site_without_rest_route_is_read_at_wp_json() -> None:
    site = FakeWordPress(p1="text")
    site.faults.append(
        lambda asked: response(404, "<html></html>", "text/html") if asked.form == "rest_route" else None
    )
    api = api_of(site)
    assert source_of(api.page("pages/1")) == "text"
    api.write("pages/1", "more")
    assert site.content() == "more"
    assert [asked.form for asked in site.seen] == ["rest_route", "wp-json", "wp-json"]


def test_an_error_that_wordpress_names_is_not_asked_for_twice() -> None:
    site = FakeWordPress()
    with pytest.raises(SlotError, match="no such page"):
        api_of(site).page("pages/7")
    assert len(site.seen) == 1


@pytest.mark.parametrize(
    ("status", "code", "words"),
    [
        (404, "rest_no_route", "no such type"),
        (404, "rest_post_invalid_id", "no such page"),
        (410, "rest_post_trashed", "no such page"),
        (401, "incorrect_password", "application password"),
        (403, "rest_cannot_edit", "may not edit this page"),
        (400, "rest_invalid_param", "HTTP 400"),
    ],
)
def test_an_error_says_what_to_do(status: int, code: str, words: str) -> None:
    site = FakeWordPress(p1="text")
    site.faults.append(lambda asked: response(status, f'{{"code": "{code}", "message": "secret words"}}'))
    with pytest.raises(SlotError, match=words) as raised:
        api_of(site).page("pages/1")
    assert "secret" not in str(raised.value)
    assert raised.value.permanent


def test_a_code_that_is_no_code_is_not_repeated() -> None:
    site = FakeWordPress(p1="text")
    site.faults.append(lambda asked: response(400, '{"code": "Bearer secret"}'))
    with pytest.raises(SlotError, match="no code"):
        api_of(site).page("pages/1")


def test_all_revisions_are_read_in_pages_of_a_hundred() -> None:
    site = FakeWordPress(p1="text")
    site.pages["pages/1"].revisions = {number: f"old {number}" for number in range(1, 251)}
    found = [source_of(revision) for revision in api_of(site).history("pages/1")]
    assert found == [f"old {number}" for number in range(1, 251)]
    assert [asked.query["offset"] for asked in site.seen if "revisions" in asked.path] == ["0", "100", "200"]


def test_revisions_that_a_type_does_not_keep_are_none() -> None:
    site = FakeWordPress(p1="text")

    def without(asked: Request) -> requests.Response | None:
        return response(404, '{"code": "rest_no_route"}') if asked.path.count("/") > 1 else None

    site.faults.append(without)
    assert list(api_of(site).history("pages/1")) == []


def test_an_offset_behind_the_last_revision_ends_the_list() -> None:
    site = FakeWordPress(p1="text")
    site.pages["pages/1"].revisions = dict.fromkeys(range(1, 101), "old")

    def strict(asked: Request) -> requests.Response | None:
        behind = asked.query.get("offset") == "100"
        return response(400, '{"code": "rest_revision_invalid_offset_number"}') if behind else None

    site.faults.append(strict)
    assert len(list(api_of(site).history("pages/1"))) == 100


@pytest.mark.parametrize(
    ("status", "gone"), [(200, True), (404, True), (410, True), (401, False), (403, False), (405, False), (501, False)]
)
def test_a_revision_is_gone_or_may_not_be_deleted(status: int, gone: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pme_airflow.targets.web.time.sleep", lambda _: None)  # 501 is tried again
    site = FakeWordPress(p1="text")
    site.faults.append(lambda asked: response(status, '{"code": "rest_any"}'))
    assert api_of(site).delete_revision("pages/1", 3) is gone


def test_a_source_that_is_not_shown_is_named() -> None:
    for page in ({}, {"content": {"rendered": "x"}}, {"content": "x"}, {"content": {"raw": 3}}):
        with pytest.raises(SlotError, match="right to edit"):
            source_of(page)


@pytest.mark.parametrize(
    ("links", "filtered"),
    [
        ({}, False),
        ({"self": []}, False),
        ({"wp:action-publish": []}, True),
        ({"https://api.w.org/action-publish": []}, True),
        ({"wp:action-publish": [], "wp:action-unfiltered-html": []}, False),
        ({"https://api.w.org/action-unfiltered-html": []}, False),
    ],
)
def test_filtering_is_known_by_the_actions_that_wordpress_lists(links: dict[str, object], filtered: bool) -> None:
    assert filters_iframes({"_links": links}) is filtered
