"""The requests to the plugin's REST API, and what each answer and each error means."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, cast

import pytest
import requests

from pme_airflow.errors import SlotError
from pme_airflow.targets.web import ResponseCheck, WebRefusal
from pme_airflow.targets.wordpress_plugin import PluginApi, PluginStatus, StoredLink
from pme_airflow.targets.wordpress_rest import WordPressApi
from tests.support.fake_wordpress import MODEL, link, response

STATUS = {"version": "0.1.0", "api": 1, "rule": "everybody", "sealed": True}
FIREWALL = (
    "from something in front of WordPress (a firewall, a security plugin or the web server): let /wp-json/pme/v1/ "
    "through, with GET, PUT and DELETE"
)
UPDATE = "write it with `pme-airflow wordpress-plugin > pme-embed.zip`, and upload it under Plugins > Add New"
Answer = tuple[int, Any]


def error(status: int, code: str) -> Answer:
    return status, {"code": code}


class Site:
    """Answers each request with the next of its answers, and keeps the requests, without what keeps caches away."""

    def __init__(self, *answers: Answer) -> None:
        self._answers = list(answers)
        self.sent: list[tuple[Any, ...]] = []
        self.tags: list[str] = []

    def _answer(self, check: ResponseCheck) -> requests.Response:
        status, body = self._answers.pop(0)
        answer = response(status, body if isinstance(body, str) else json.dumps(body))
        problem = check(answer)
        if problem is not None:
            raise problem
        return answer

    def call(
        self, method: str, namespace: str, path: str, check: ResponseCheck, query: dict[str, Any], body: Any = None
    ) -> Any:
        self.tags.append(query.pop("_"))
        self.sent.append((method, f"{namespace}/{path}", query, body))
        return self._answer(check).json()

    def for_visitors(self, address: str, check: ResponseCheck) -> requests.Response:
        self.sent.append(("visitor", address))
        return self._answer(check)

    @property
    def plugin(self) -> PluginApi:
        return PluginApi(cast(WordPressApi, self))


# ------------------------------------------------------------------ is it there


@pytest.mark.parametrize(
    ("index", "active"),
    [
        ({"namespaces": ["wp/v2", "pme/v1"]}, True), ({"namespaces": ["wp/v2"]}, False), ({"namespaces": "pme/v1"}, False),
        ({}, False), (["pme/v1"], False), (None, False),
    ],
)  # fmt: skip
def test_the_plugin_is_active_if_the_sites_index_names_it(index: Any, active: bool) -> None:
    site = Site((200, index))
    plugin = site.plugin
    assert plugin.is_active is plugin.is_active is active
    assert site.sent == [("GET", "/", {"_fields": "namespaces"}, None)]


@pytest.mark.parametrize(
    ("status", "active"),
    [
        ((200, STATUS), True), (error(403, "pme_may_not_manage"), True), (error(404, "rest_no_route"), False),
        ((403, "<html>"), False),
    ],
)  # fmt: skip
def test_the_plugin_itself_is_asked_where_the_index_is_refused(status: Answer, active: bool) -> None:
    site = Site((403, "<html>"), status)
    assert site.plugin.is_active is active
    assert site.sent[1] == ("GET", "pme/v1/status", {}, None)


def test_a_site_that_does_not_answer_for_now_says_nothing_about_the_plugin() -> None:
    passing = WebRefusal("HTTP 503", 503, passing=True)

    def raising(*_: Any) -> Any:
        raise passing

    for answers in ((), ((403, "<html>"),)):
        site = Site(*answers)
        call = site.call
        site.call = lambda *given, call=call, site=site: call(*given) if site._answers else raising()  # type: ignore[method-assign, misc]
        with pytest.raises(WebRefusal, match="HTTP 503"):
            _ = site.plugin.is_active


def test_every_request_has_an_address_that_no_cache_knows() -> None:
    site = Site((200, STATUS), error(404, "pme_no_link"), (200, []))
    plugin = site.plugin
    _ = plugin.status
    plugin.stored(MODEL)
    plugin.stored_links([MODEL])
    assert len(set(site.tags)) == 3
    assert all(tag.isdecimal() for tag in site.tags)


# ------------------------------------------------------------------ its version


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, PluginStatus("0.1.0", for_everybody=True, sealed=True)),
        ({"rule": "editors", "sealed": 0}, PluginStatus("0.1.0", for_everybody=False, sealed=False)),
        ({"version": "1.2.3.4"}, PluginStatus("1.2.3.4", for_everybody=True, sealed=True)),
        ({"version": "1.2.3.4.5"}, PluginStatus("of an unknown version", for_everybody=True, sealed=True)),
        ({"version": 1}, PluginStatus("of an unknown version", for_everybody=True, sealed=True)),
    ],
)
def test_the_status_is_read_once(changed: dict[str, Any], expected: PluginStatus) -> None:
    plugin = Site((200, {**STATUS, **changed})).plugin
    assert plugin.status == plugin.status == expected


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ({**STATUS, "api": 0}, f"the plugin pme-embed 0.1.0 is older than this pme-airflow: {UPDATE}"),
        ({**STATUS, "api": 2}, "the plugin pme-embed 0.1.0 is newer than this pme-airflow: upgrade pme-airflow"),
        ({**STATUS, "api": "1"}, f"/wp-json/pme/v1/status did not answer as the plugin does: HTTP 200 {FIREWALL}"),
        ([], f"/wp-json/pme/v1/status did not answer as the plugin does: HTTP 200 {FIREWALL}"),
    ],
)
def test_another_version_or_something_else_is_named(answer: Any, message: str) -> None:
    with pytest.raises(SlotError) as failure:
        _ = Site((200, answer)).plugin.status
    assert (str(failure.value), failure.value.permanent) == (message, True)


# ------------------------------------------------------------------ links


def test_a_link_is_stored_with_all_that_the_plugin_shows() -> None:
    site = Site((200, {}))
    site.plugin.store(replace(link(), name="Mill"), "pages/1")
    body = {
        "link": link().url.reveal(), "access_token": link().token.reveal(), "audience": "intranet", "slot": "pages/1",
        "name": "Mill", "valid_until": "2026-12-01T00:00:00Z",
    }  # fmt: skip
    assert site.sent == [("PUT", f"pme/v1/links/{MODEL}", {}, body)]


@pytest.mark.parametrize("status", [403, 405, 501])
def test_a_method_that_something_in_front_refuses_is_sent_as_a_post(status: int) -> None:
    site = Site((status, "<html>"), (200, {}), (status, "<html>"), (200, {}))
    site.plugin.store(link(), "pages/1")
    site.plugin.erase(MODEL, "sha256:x")
    put, posted, deleted, erased = site.sent
    assert (posted[0], posted[1], posted[2], posted[3]) == ("POST", put[1], {"_method": "PUT"}, put[3])
    assert deleted == ("DELETE", f"pme/v1/links/{MODEL}", {"fingerprint": "sha256:x"}, None)
    assert erased == ("POST", deleted[1], {"_method": "DELETE", "fingerprint": "sha256:x"}, None)


@pytest.mark.parametrize(
    "answer", [error(403, "pme_may_not_manage"), error(405, "rest_any"), (404, "<html>"), (401, "")]
)
def test_any_other_refusal_of_a_write_is_raised_at_once(answer: Answer) -> None:
    site = Site(answer)
    with pytest.raises(WebRefusal):
        site.plugin.store(link(), "pages/1")
    assert len(site.sent) == 1


def test_a_link_is_erased_whichever_it_is_where_no_fingerprint_is_given_and_never_without_the_plugin() -> None:
    site = Site((200, {}), error(404, "rest_no_route"), error(403, "pme_may_not_manage"))
    site.plugin.erase(MODEL, "")
    assert site.sent[0][2] == {}
    site.plugin.erase(MODEL, "sha256:x")
    with pytest.raises(WebRefusal):
        site.plugin.erase(MODEL, "sha256:x")


def test_what_is_stored_for_a_model_is_read() -> None:
    record = {"model_id": MODEL, "fingerprint": "sha256:x", "slot": "pages/1"}
    site = Site((200, record), (200, {"model_id": MODEL, "fingerprint": None}), error(404, "pme_no_link"))
    assert site.plugin.stored(MODEL) == StoredLink("sha256:x", "pages/1")
    assert site.sent == [("GET", f"pme/v1/links/{MODEL}", {}, None)]
    assert site.plugin.stored(MODEL) == StoredLink("", "")
    assert site.plugin.stored(MODEL) is None
    with pytest.raises(WebRefusal):
        Site(error(404, "rest_no_route")).plugin.stored(MODEL)
    for other in ([], {"model_id": "Other000000"}, {}):
        with pytest.raises(SlotError, match="did not answer with the model's record: does a cache answer") as failure:
            Site((200, other)).plugin.stored(MODEL)
        assert not failure.value.permanent


def test_links_are_read_a_hundred_at_a_time() -> None:
    names = [f"Model{number:06}" for number in range(201)]
    pages: list[Any] = [[{"model_id": names[0], "fingerprint": "a"}, "x"], [], [{"model_id": names[200], "slot": "b"}]]
    site = Site(*((200, page) for page in pages))
    assert site.plugin.stored_links(names) == {names[0]: StoredLink("a", ""), names[200]: StoredLink("", "b")}
    assert [sent[2] for sent in site.sent] == [
        {"models": ",".join(names[start : start + 100])} for start in (0, 100, 200)
    ]
    with pytest.raises(SlotError, match="did not answer with a list of links: does a cache answer") as failure:
        Site((200, {})).plugin.stored_links([MODEL])
    assert not failure.value.permanent
    assert Site().plugin.stored_links([]) == {}


# ------------------------------------------------------------------ visitors


@pytest.mark.parametrize(
    ("body", "token"),
    [
        ({"access_token": "t0ken"}, "t0ken"),
        ({"access_token": ""}, None),
        ({"access_token": 5}, None),
        ([], None),
        ({}, None),
    ],
)
def test_the_token_that_visitors_read_is_read_as_they_do(body: Any, token: str | None) -> None:
    site = Site((200, body))
    found = site.plugin.token_for_visitors("/wp-json/pme/v1/links/x?post=1")
    assert (found.reveal() if found is not None else None) == token
    assert site.sent == [("visitor", "/wp-json/pme/v1/links/x?post=1")]


@pytest.mark.parametrize(
    ("answer", "message", "permanent"),
    [
        (error(404, "pme_no_link"), "visitors are shown no link although one is stored", False),
        (error(401, "pme_any"), "visitors of the page are refused the link: HTTP 401 (pme_any)", True),
        ((400, "<html>"), f"visitors of the page are refused the link: HTTP 400 {FIREWALL}", True),
    ],
)
def test_visitors_that_are_refused_are_named(answer: Answer, message: str, permanent: bool) -> None:
    with pytest.raises(WebRefusal) as failure:
        Site(answer).plugin.token_for_visitors("/x")
    assert (str(failure.value), failure.value.permanent) == (message, permanent)
    assert failure.value.status == answer[0]
    assert failure.value.code == (answer[1]["code"] if isinstance(answer[1], dict) else "")
    assert Site((399, "{}")).plugin.token_for_visitors("/x") is None


# ------------------------------------------------------------------ errors


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ((403, "<html>"), f"HTTP 403 {FIREWALL}"),
        (error(404, "rest_no_route"), f"the plugin pme-embed is not active on this site, or too old: {UPDATE}, and activate it"),
        (
            error(403, "pme_may_not_manage"),
            "HTTP 403 (pme_may_not_manage): the account may not write links. Give it the role editor or the capability "
            "manage_pme_links, and check its application password",
        ),
        (
            error(409, "pme_other_audience"),
            "HTTP 409 (pme_other_audience): the plugin shows the model to another audience, and a site has one link a "
            "model. Name the model in one placement for this site",
        ),
        (error(400, "pme_ended"), "HTTP 400 (pme_ended): the link has ended by the clock of the site's server: correct that clock"),
        (
            error(400, "pme_invalid_link"),
            "HTTP 400 (pme_invalid_link): the plugin does not show links of this host: add it under Tools > Private spaces",
        ),
        (error(418, "pme_any"), "HTTP 418 (pme_any)"),
        ((300, "{}"), f"HTTP 300 {FIREWALL}"),
    ],
)  # fmt: skip
def test_each_refusal_says_what_to_do(answer: Answer, message: str) -> None:
    with pytest.raises(WebRefusal) as failure:
        _ = Site(answer).plugin.status
    assert (str(failure.value), failure.value.status) == (message, answer[0])
    assert failure.value.code == (answer[1].get("code", "") if isinstance(answer[1], dict) else "")
    assert Site((299, STATUS)).plugin.status.version == "0.1.0"
