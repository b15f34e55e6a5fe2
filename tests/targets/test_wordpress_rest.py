"""The REST API of a WordPress site: its two addresses, and its errors in words."""

from __future__ import annotations

import json

import pytest
import requests

from pme_airflow.errors import SlotError
from pme_airflow.targets.wordpress_rest import WordPressApi, filters_iframes, source_of
from tests.support.fake_wordpress import SITE, FakeWordPress, Request, link, response


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


@pytest.mark.parametrize(
    ("status", "code", "words"),
    [
        (404, "rest_no_route", "no such type"),
        (404, "rest_post_invalid_id", "no such page"),
        (410, "rest_post_trashed", "no such page"),
        (401, "incorrect_password", "application password is refused"),
        (401, "rest_forbidden_context", "pass on the Authorization header"),
        (403, "rest_cannot_edit", "may not edit this page"),
        (403, "rest_forbidden_context", "may not edit this page"),
        (403, "itsec_rest_api_access_restricted", "a plugin of the site refuses"),
        (400, "rest_invalid_param", "HTTP 400"),
    ],
)
def test_an_error_of_wordpress_says_what_to_do(status: int, code: str, words: str) -> None:
    site = FakeWordPress(p1="text")
    site.faults.append(lambda asked: response(status, f'{{"code": "{code}", "message": "secret words"}}'))
    with pytest.raises(SlotError, match=words) as raised:
        api_of(site).page("pages/1")
    assert "secret" not in str(raised.value)
    assert raised.value.permanent
    assert len(site.seen) == 1


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (403, "<html>Forbidden</html>", "in front of WordPress"),
        (403, "", "in front of WordPress"),
        (403, '{"error": "blocked", "code": 1020}', "in front of WordPress"),
        (403, '{"code": "Bearer secret"}', "in front of WordPress"),
        (401, "Unauthorized", "in front of WordPress"),
        (405, "", "in front of WordPress"),
        (406, "Not Acceptable", "in front of WordPress"),
        (404, "<html>Not found</html>", "WordPress' REST API does not answer there"),
        (301, "", "redirect"),
        (200, "<html>Log in</html>", "not answer with JSON"),
        (200, "", "not answer with JSON"),
    ],
)
def test_an_error_of_something_in_front_is_not_taken_for_missing_rights(status: int, body: str, words: str) -> None:
    site = FakeWordPress(p1="text")
    site.faults.append(lambda asked: response(status, body, "text/html"))
    with pytest.raises(SlotError, match=words) as raised:
        api_of(site).page("pages/1")
    assert "secret" not in str(raised.value)
    assert "may not edit" not in str(raised.value)
    assert [asked.form for asked in site.seen] == ["rest_route", "wp-json", "index.php"]


@pytest.mark.parametrize("status", [200, 301, 401, 403, 404, 405, 406, 410, 451])
@pytest.mark.parametrize("blocked", [{"rest_route"}, {"rest_route", "wp-json"}, {"wp-json", "index.php"}])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_blocked_address_is_gone_round(status: int, blocked: set[str], method: str) -> None:
    site = FakeWordPress(p1="text")

    def firewall(asked: Request) -> requests.Response | None:
        stopped = asked.form in blocked and asked.method == method
        return response(status, "<html>Blocked</html>", "text/html") if stopped else None

    site.faults.append(firewall)
    api = api_of(site)
    assert source_of(api.page("pages/1")) == "text"
    api.write("pages/1", "more")
    if (status, method) != (200, "POST"):  # what was answered to a write is known once it is read back
        assert site.content() == "more"
        first = len(site.seen)
        api.page("pages/1")
        api.write("pages/1", "most")
        assert len(site.seen) == first + 2


def test_visitors_that_are_refused_do_not_change_the_address() -> None:
    site = FakeWordPress(p1="text")
    site.faults.append(lambda asked: response(403, "") if asked.anonymous else None)
    api = api_of(site)
    with pytest.raises(SlotError):
        api.output("pages/1", anonymous=True)
    api.page("pages/1")
    assert site.seen[-1].form == "rest_route"


def test_the_error_that_says_most_is_raised() -> None:
    site = FakeWordPress(p1="text")

    def mixed(asked: Request) -> requests.Response:
        return response(403 if asked.form == "wp-json" else 404, "<html></html>", "text/html")

    site.faults.append(mixed)
    with pytest.raises(SlotError, match="HTTP 403"):
        api_of(site).page("pages/1")


NOTICE = "<br />\n<b>Warning</b>:  Undefined array key [0] in <b>/wp-content/x.php</b> on line <b>12</b> {x}<br />\n"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("\ufeff", ""),
        ("", "\ufeff"),
        (NOTICE, ""),
        ("", NOTICE),
        (f"\ufeff{NOTICE}", NOTICE),
        ("[] {} ", " []"),
        ("\n\n", "<!-- cached -->"),
        ("<script>if (a[0] < b) {}</script>", ""),
    ],
)
@pytest.mark.parametrize("kind", ["application/json", "text/html; charset=UTF-8"])
def test_json_is_read_whatever_stands_around_it(before: str, after: str, kind: str) -> None:
    site = FakeWordPress(p1="text")
    site.pages["pages/1"].revisions = {3: "old"}
    site.dress = lambda text: (before + text + after).encode()
    site.kind = kind
    api = api_of(site)
    assert source_of(api.page("pages/1")) == "text"
    assert [source_of(entry) for entry in api.history("pages/1")] == ["old"]
    api.write("pages/1", "more")
    assert site.content() == "more"


@pytest.mark.parametrize(("broken", "found"), [(49, True), (50, False)])
def test_json_is_looked_for_at_fifty_places(broken: int, found: bool) -> None:
    site = FakeWordPress(p1="text")
    site.dress = lambda text: ('{" ' * broken + text).encode()
    if found:
        assert source_of(api_of(site).page("pages/1")) == "text"
    else:
        with pytest.raises(SlotError, match="not answer with JSON"):
            api_of(site).page("pages/1")


def test_a_code_is_read_whatever_stands_around_it() -> None:
    site = FakeWordPress()
    site.dress = lambda text: (NOTICE + text).encode()
    with pytest.raises(SlotError, match="no such page"):
        api_of(site).page("pages/1")


def test_json_is_asked_for_so_that_notices_are_not_printed() -> None:
    site = FakeWordPress(p1="text")
    api = api_of(site)
    api.page("pages/1")
    api.write("pages/1", "more")
    api.output("pages/1", anonymous=True)
    assert {asked.accept for asked in site.seen} == {"application/json"}


@pytest.mark.parametrize("body", ["[" * 100_000, "{" * 100_000, '{"a":' * 50_000, "[ [ " * 50_000, '["' * 50_000])
def test_hostile_answers_are_no_json(body: str) -> None:
    site = FakeWordPress(p1="text")
    site.faults.append(lambda asked: response(200, body))
    with pytest.raises(SlotError):
        api_of(site).page("pages/1")


@pytest.mark.parametrize(
    "body",
    ["[]", "3", "null", '"text"', '{"id": 2}', '{"id": "1"}', '{"id": true}', "{}", '{"id": null}', '{"id": "1/../2"}'],
)
def test_another_page_than_the_one_asked_for_is_refused(body: str) -> None:
    site = FakeWordPress(p1="text")
    site.faults.append(lambda asked: response(200, body))
    with pytest.raises(SlotError):
        api_of(site).page("pages/1")


@pytest.mark.parametrize("entry", ['"x"', "3", "null", "{}", '{"id": "../../pages/5"}', '{"id": -1}', '{"id": true}'])
def test_a_revision_without_a_number_is_refused(entry: str) -> None:
    site = FakeWordPress(p1="text")
    site.faults.append(lambda asked: response(200, f"[{entry}]") if "revisions" in asked.path else None)
    with pytest.raises(SlotError):
        list(api_of(site).history("pages/1"))
    with pytest.raises(SlotError):
        api_of(site).delete_revision("pages/1", {"id": "../../pages/5"})


def test_pages_are_listed_in_one_request() -> None:
    site = FakeWordPress(p1="one", p2="two", p3="three")
    site.pages["pages/2"].status = "trash"
    site.pages["pages/3"].status = "private"
    found = api_of(site).pages("pages", [1, 2, 3, 4], "id,modified_gmt")
    assert sorted(found) == [1, 3]
    assert found[1] == {"id": 1, "modified_gmt": "2026-11-01T00:00:00"}
    assert len(site.seen) == 1
    assert {"include": "1,2,3,4", "per_page": "100", "status": "any"}.items() <= site.seen[0].query.items()


def test_a_list_that_is_none_is_refused() -> None:
    site = FakeWordPress(p1="one")
    site.faults.append(lambda asked: response(200, '{"id": 1}'))
    with pytest.raises(SlotError, match="not a list"):
        api_of(site).pages("pages", [1], "id")


def test_pages_that_were_not_asked_for_are_left_out() -> None:
    site = FakeWordPress(p1="one")
    site.faults.append(lambda asked: response(200, '[{"id": 1}, {"id": 7}, "x"]'))
    assert sorted(api_of(site).pages("pages", [1], "id")) == [1]


@pytest.mark.parametrize(
    ("link", "path"),
    [
        (f"{SITE}/page-1/", "page-1/"),
        ("https://elsewhere.example/page-1/?x=1", "page-1/"),
        ("//elsewhere.example/page-1/", "page-1/"),
        ("https://elsewhere.example//page-1/", "page-1/"),
    ],
)
def test_the_public_page_is_read_at_the_sites_own_host_without_credentials(link: str, path: str) -> None:
    site = FakeWordPress(p1="<p>text</p>")
    assert "<p>text</p>" in api_of(site).html_for_visitors(link)
    (asked,) = site.seen
    assert (asked.path, asked.anonymous, asked.accept) == (path, True, "text/html")
    assert site.hosts == {"cms.example"}


@pytest.mark.parametrize("status", [401, 403, 404, 503])
def test_a_public_page_that_visitors_are_refused_is_named(status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pme_airflow.targets.web.time.sleep", lambda _: None)
    site = FakeWordPress(p1="<p>text</p>")
    site.faults.append(lambda asked: response(status, "<html></html>", "text/html"))
    with pytest.raises(SlotError, match=f"HTTP {status}"):
        api_of(site).html_for_visitors(f"{SITE}/page-1/")


def test_all_revisions_are_read_in_pages_of_a_hundred() -> None:
    site = FakeWordPress(p1="text")
    site.pages["pages/1"].revisions = {number: f"old {number}" for number in range(1, 251)}
    found = [source_of(revision) for revision in api_of(site).history("pages/1")]
    assert found == [f"old {number}" for number in range(1, 251)]
    assert [asked.query["offset"] for asked in site.seen if "revisions" in asked.path] == ["0", "100", "200"]


def test_long_revisions_are_read_in_smaller_parts() -> None:
    site = FakeWordPress(p1="text")
    site.pages["pages/1"].revisions = dict.fromkeys(range(1, 51), "x" * 900)
    site.max_body = 10_000
    assert len(list(api_of(site).history("pages/1"))) == 50
    assert [asked.query["per_page"] for asked in site.seen[:5]] == ["100", "50", "25", "12", "6"]
    site.max_body = 500
    with pytest.raises(SlotError, match="too long"):
        list(api_of(site).history("pages/1"))


def test_long_pages_are_listed_in_halves() -> None:
    site = FakeWordPress(**{f"p{number}": "x" * 900 for number in range(1, 51)})
    site.max_body = 30_000
    numbers = list(range(1, 51))
    assert sorted(api_of(site).pages("pages", numbers, "id,content.raw")) == numbers
    assert len(site.seen) == 3
    site.max_body = 500
    with pytest.raises(SlotError, match="too long"):
        api_of(site).pages("pages", numbers, "id,content.raw")


def test_nothing_is_rendered_to_read_a_source() -> None:
    site = FakeWordPress(p1="text")
    site.pages["pages/1"].revisions = {3: "old"}
    api = api_of(site)
    api.page("pages/1")
    list(api.history("pages/1"))
    assert {asked.query["_fields"] for asked in site.seen} == {"id,status,link,content.raw,_links", "id,content"}


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
    assert api_of(site).delete_revision("pages/1", {"id": 3}) is gone


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


def test_code_that_repeats_a_token_is_masked() -> None:
    site = FakeWordPress(p1="x")
    site.faults.append(lambda request: response(403, json.dumps({"code": "k3f9s8d7q2m4x6z1b5n0c8v7y"})))
    with pytest.raises(SlotError) as refused:
        site.target().put("pages/1", link(), {})
    assert "k3f9" not in str(refused.value)


@pytest.mark.parametrize("links", [1, "x", [], True, [1]])
def test_links_of_another_type_are_none(links: object) -> None:
    assert not filters_iframes({"_links": links})


def test_a_choice_of_responses_is_no_success() -> None:
    site = FakeWordPress(p1="text")
    site.faults.append(lambda asked: response(300, "{}"))
    with pytest.raises(SlotError, match="HTTP 300"):
        api_of(site).page("pages/1")


@pytest.mark.parametrize("call", ["delete_revision", "may_delete"])
def test_a_revision_whose_deletion_fails_otherwise_is_an_error(call: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    site = FakeWordPress(p1="text")
    site.faults.append(lambda asked: response(418, "{}") if asked.method == "DELETE" else None)
    with pytest.raises(SlotError, match="HTTP 418"):
        getattr(api_of(site), call)("pages/1", {"id": 3})


def test_revisions_that_cannot_be_read_are_an_error() -> None:
    site = FakeWordPress(p1="text")
    site.faults.append(lambda asked: response(418, "{}") if "revisions" in asked.path else None)
    with pytest.raises(SlotError, match="HTTP 418"):
        list(api_of(site).revisions("pages/1"))
