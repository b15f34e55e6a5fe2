"""JSON APIs over HTTP: one request for a slot, read back, without overwriting what somebody edits meanwhile."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
import requests

from pme_airflow.dev.emulator import World
from pme_airflow.errors import PMEInputError, SlotError
from pme_airflow.ledger import publications
from pme_airflow.ledger.publications import Publication
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.lifecycle.former_names import move_former_publications
from pme_airflow.lifecycle.publish import Publisher
from pme_airflow.lifecycle.services import Services
from pme_airflow.sealing import fingerprint
from pme_airflow.secrets import AccessToken, SecretStr
from pme_airflow.targets import http_requests, http_steps, web
from pme_airflow.targets.base import ShownLink, SlotCheck
from pme_airflow.targets.http_json import HttpJsonTarget, http_target_name
from tests.conftest import MODELS
from tests.support.entries import JSON, Entries, serving_entries
from tests.support.links import TOKEN_A, TOKEN_B, TOKEN_C, shown_link
from tests.support.rooms import mint, publish, rename
from tests.support.web import Received, Reply

ONE, TWO = list(MODELS)[:2]


@pytest.fixture
def cms() -> Iterator[Entries]:
    """A CMS with an empty entry for a model."""
    with serving_entries() as entries:
        entries.entries[f"spaces/{ONE}"] = {"url": None}
        yield entries


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web.time, "sleep", lambda seconds: None)


def http_target(cms: Entries, **changed: Any) -> HttpJsonTarget:
    arguments: dict[str, Any] = {
        "method": "patch", "endpoint": "spaces/{model_id}", "json": {"url": "{link}"}, "headers": {},
        "expected": [200], "read_endpoint": "spaces/{model_id}", "clear_json": {"url": None}, "timeout": 5,
    }  # fmt: skip
    return HttpJsonTarget(requests.Session(), cms.address, "http:cms", **{**arguments, **changed})


def put(target: HttpJsonTarget, shown: ShownLink, previous: dict[str, Any] | None = None) -> dict[str, Any]:
    (slot,) = target.slots({"model_id": shown.model_id, "audience": shown.audience})
    result = target.put(slot, shown, previous or {})
    target.read_back(slot, shown, result.details)
    return result.details


def test_slot_is_the_method_and_the_endpoint(cms: Entries) -> None:
    target = http_target(cms, endpoint="{audience}/spaces/{model_id}")
    assert target.slots({"model_id": ONE, "audience": "intranet"}) == [f"PATCH intranet/spaces/{ONE}"]


def test_every_field_of_a_link_can_be_a_template_at_any_depth(cms: Entries) -> None:
    body = {"a": ["{link}", {"b": "{access_token} {valid_until}"}], "c": ("{model_id}", 7, None), "{model_id}": True}
    details = put(
        http_target(cms, json=body, headers={"X-Space": "{model_id}/{link_id}/{audience}"}, read_endpoint=None),
        shown_link(),
    )
    sent = cms.server.received[-1]
    assert json.loads(sent.body) == {
        "a": [shown_link().url.reveal(), {"b": f"{TOKEN_A} 2026-11-27T02:00:00Z"}],
        "c": [ONE, 7, None],
        "{model_id}": True,
    }
    assert sent.headers["X-Space"] == f"{ONE}/link-1/intranet"
    known = {"endpoint": f"spaces/{ONE}", "model_id": ONE, "audience": "intranet"}
    assert details == {**known, "puts": 1, "fingerprint": fingerprint(AccessToken(TOKEN_A))}


def test_details_for_the_ledger_hold_no_token_although_the_endpoint_does(cms: Entries) -> None:
    target = http_target(cms, endpoint="spaces/{model_id}?t={access_token}", read_endpoint=None, method="PUT")
    assert put(target, shown_link())["endpoint"] == f"spaces/{ONE}?t={{access_token}}"
    assert cms.server.received[-1].path == f"/spaces/{ONE}?t={TOKEN_A}"


def test_idempotency_key_is_of_the_link_and_the_slot(cms: Entries) -> None:
    """A server that replays a known key would otherwise answer tomorrow's request with today's response."""
    target = http_target(cms)
    put(target, shown_link(TOKEN_A, "link-1"))
    put(target, shown_link(TOKEN_A, "link-1"))
    put(target, shown_link(TOKEN_B, "link-2"))
    keys = [request.headers["Idempotency-Key"] for request in cms.server.received if request.method == "PATCH"]
    assert keys[0] == keys[1] != keys[2]
    assert TOKEN_B in cms.entries[f"spaces/{ONE}"]["url"]
    cms.entries[f"spaces/{TWO}"] = {}
    put(target, shown_link(TOKEN_C, "link-1", TWO))
    assert cms.server.received[-2].headers["Idempotency-Key"] not in keys


def test_link_that_is_put_again_has_a_new_idempotency_key(cms: Entries) -> None:
    """Somebody took the link out; a server that replays known keys would not write it again."""
    target = http_target(cms)
    details = put(target, shown_link())
    cms.entries[f"spaces/{ONE}"] = {"url": None}
    again = put(target, shown_link(), details)
    assert (details["puts"], again["puts"]) == (1, 2)
    assert TOKEN_A in cms.entries[f"spaces/{ONE}"]["url"]


def test_idempotency_key_of_a_users_own_is_kept(cms: Entries) -> None:
    put(http_target(cms, headers={"Idempotency-Key": "{link_id}"}), shown_link())
    assert [r.headers["Idempotency-Key"] for r in cms.server.received if r.method == "PATCH"] == ["link-1"]


def test_strong_etag_is_sent_back_and_a_weak_one_is_not(cms: Entries) -> None:
    strong = cms.etag(f"spaces/{ONE}")
    put(http_target(cms), shown_link())
    assert [r.method for r in cms.server.received] == ["GET", "PATCH", "GET"]
    assert cms.server.received[1].headers["If-Match"] == strong
    cms.weak = True
    put(http_target(cms), shown_link(TOKEN_B, "link-2"))
    assert TOKEN_B in cms.entries[f"spaces/{ONE}"]["url"]


def test_no_etag_is_sent_where_another_endpoint_is_read(cms: Entries) -> None:
    target = http_target(cms, read_endpoint="spaces/{model_id}?public=1")
    target.put("slot", shown_link(), {})
    assert [(r.method, r.headers.get("If-Match")) for r in cms.server.received] == [("PATCH", None)]


def test_if_match_of_a_users_own_is_kept(cms: Entries) -> None:
    own = cms.etag(f"spaces/{ONE}")
    http_target(cms, headers={"If-Match": own}).put("slot", shown_link(), {})
    assert [(r.method, r.headers.get("If-Match")) for r in cms.server.received] == [("PATCH", own)]


def test_entry_that_does_not_exist_yet_is_created(cms: Entries) -> None:
    cms.entries.clear()
    put(http_target(cms, method="PUT"), shown_link())
    assert TOKEN_A in cms.entries[f"spaces/{ONE}"]["url"]


def test_entry_that_is_edited_between_reading_and_writing_is_not_overwritten(services: Services, cms: Entries) -> None:
    cms.edits = 1
    assert publish(services, "monday", http_target(cms), mint(services, "monday", [ONE]).items).failed == []
    writes = [r.method for r in cms.server.received].count("PATCH")
    assert writes == 2  # the first was refused with 412


@pytest.mark.parametrize("status", [409, 412])
def test_conflict_is_temporary(cms: Entries, status: int) -> None:
    cms.server.reply = lambda request: Reply(status if request.method == "PATCH" else 404)
    with pytest.raises(SlotError) as failure:
        put(http_target(cms), shown_link())
    assert not failure.value.permanent


@pytest.mark.parametrize(
    ("status", "advice"),
    [(400, "HTTP 400 instead of"), (401, "credentials"), (403, "Grant it"), (404, "Create the entry"), (405, "method"),
     (415, "does not accept JSON"), (202, "HTTP 202 instead of [200]")],
)  # fmt: skip
def test_refused_write_is_permanent_and_says_what_to_do(cms: Entries, status: int, advice: str) -> None:
    cms.server.reply = lambda request: Reply(status, b'{"url": "%s"}' % request.body)
    with pytest.raises(SlotError) as failure:
        put(http_target(cms), shown_link())
    assert advice in str(failure.value)
    assert failure.value.permanent
    assert TOKEN_A not in str(failure.value)


@pytest.mark.parametrize("body", [{"errors": [{"message": "no"}]}, {"error": "no"}, {"ok": False}])
def test_error_in_the_body_of_a_success_is_a_failure(cms: Entries, body: Any) -> None:
    cms.server.reply = lambda request: Reply(200, json.dumps(body).encode(), JSON)
    with pytest.raises(SlotError, match="reports an error"):
        put(http_target(cms), shown_link())


@pytest.mark.parametrize("body", [b"", b"done", b"[]", b'{"errors": [], "error": null, "ok": true}'])
def test_success_without_an_error_in_its_body_is_one(cms: Entries, body: bytes) -> None:
    cms.server.reply = lambda request: Reply(200, body, JSON)
    http_target(cms, read_endpoint=None).put("slot", shown_link(), {})


def test_redirect_to_a_login_page_is_not_followed(services: Services, cms: Entries) -> None:
    """A client that follows it sends the link on, or takes the login page's 200 for a success."""
    with serving_entries() as login:
        login.entries["login"] = {}
        login.server.reply = lambda request: Reply(200, b"{}", JSON)
        cms.server.reply = lambda request: Reply(307, b"", {"Location": f"{login.address}/login"})
        (failed,) = publish(services, "monday", http_target(cms), mint(services, "monday", [ONE]).items).failed
        assert "redirect" in failed["reason"]
        assert failed["permanent"]
        assert login.server.received == []


def test_confirmed_write_that_is_not_shown_is_a_temporary_failure(cms: Entries) -> None:
    target = http_target(cms)
    with pytest.raises(SlotError, match="does not show the new link") as failure:
        target.read_back("slot", shown_link(), {})
    assert not failure.value.permanent


def test_another_link_of_the_model_in_the_same_entry_is_a_permanent_failure(cms: Entries) -> None:
    both = [shown_link(TOKEN_A).url.reveal(), shown_link(TOKEN_B).url.reveal()]
    cms.entries[f"spaces/{ONE}"] = {"links": both}
    with pytest.raises(SlotError, match="another link of the same model") as failure:
        http_target(cms).read_back("slot", shown_link(TOKEN_B), {})
    assert failure.value.permanent


def test_link_of_another_model_in_the_same_entry_is_none_of_our_business(cms: Entries) -> None:
    both = [shown_link(TOKEN_A, model_id=TWO).url.reveal(), shown_link(TOKEN_B).url.reveal()]
    cms.entries[f"spaces/{ONE}"] = {"links": both}
    http_target(cms).read_back("slot", shown_link(TOKEN_B), {})


def test_nothing_is_read_back_without_a_read_endpoint(cms: Entries) -> None:
    http_target(cms, read_endpoint=None).read_back("slot", shown_link(), {})
    assert cms.server.received == []


def test_slot_is_cleared_with_its_body(services: Services, cms: Entries, world: World) -> None:
    target = http_target(cms)
    publish(services, "monday", target, mint(services, "monday", [ONE]).items)
    assert next(iter(world.tokens)) in cms.entries[f"spaces/{ONE}"]["url"]
    Publisher(services, RunContext("dag/tuesday/publish/-1"), target).retire_others("intranet", [])
    assert cms.entries[f"spaces/{ONE}"] == {"url": None}


def test_slot_without_a_clearing_body_fails_permanently(cms: Entries) -> None:
    with pytest.raises(SlotError, match="clear_json") as failure:
        http_target(cms, clear_json=None).take_away("slot", {"endpoint": f"spaces/{ONE}"})
    assert failure.value.permanent
    assert cms.server.received == []


def test_write_that_times_out_is_tried_three_times_by_the_publisher(services: Services, cms: Entries) -> None:
    sent: list[str] = []

    class Silent(requests.Session):
        def request(self, method: str, url: str, **named: Any) -> requests.Response:  # type: ignore[override]
            sent.append(method)
            raise requests.ReadTimeout

    target = HttpJsonTarget(
        Silent(), cms.address, "http:cms", method="PATCH", endpoint="x", json={}, headers={}, expected=[200],
        read_endpoint=None, clear_json=None, timeout=5,
    )  # fmt: skip
    (failed,) = publish(services, "monday", target, mint(services, "monday", [ONE]).items).failed
    assert "no response within 5 s" in failed["reason"]
    assert not failed["permanent"]
    assert sent == ["PATCH"] * 3


def test_slot_is_cleared_where_its_link_was_written(cms: Entries) -> None:
    http_target(cms).take_away("PATCH spaces/renamed", {"endpoint": f"spaces/{ONE}"})
    assert [request.path for request in cms.server.received] == [f"/spaces/{ONE}"]


def test_slot_that_another_task_recorded_is_cleared_by_its_name(cms: Entries) -> None:
    http_target(cms).take_away(f"PATCH spaces/{ONE}", {})
    assert cms.entries[f"spaces/{ONE}"] == {"url": None}


@pytest.mark.parametrize(
    "value", ["../admin", "a/b", "a?b=c", "a&b=c", "a#b", "a b", "%2e%2e", "a%2Fb", "a=b", "a\\b", "ü"]
)
def test_value_stays_one_part_of_the_path(cms: Entries, value: str) -> None:
    target = http_target(cms, endpoint="{audience}/spaces/{model_id}?for={audience}", method="PUT", read_endpoint=None)
    target.put("slot", replace(shown_link(), model_id=value, audience=value), {})
    path, _, query = cms.server.received[-1].path.partition("?")
    assert [unquote(part) for part in path.split("/")] == ["", value, "spaces", value]
    assert unquote(query) == f"for={value}"


def test_whole_link_can_be_a_value_of_the_query(cms: Entries) -> None:
    http_target(cms, endpoint="update?url={link}", method="PUT", read_endpoint=None).put("slot", shown_link(), {})
    assert parse_qs(urlsplit(cms.server.received[-1].path).query) == {"url": [shown_link().url.reveal()]}


def test_link_of_another_scheme_is_not_sent(cms: Entries) -> None:
    link = replace(shown_link(), url=SecretStr("javascript:alert(1)"))
    with pytest.raises(SlotError, match="not an https address"):
        http_target(cms).put("slot", link, {})
    assert cms.server.received == []


# ------------------------------------------------------------------------ names


def test_name_is_of_the_address_and_the_endpoint() -> None:
    assert (
        http_target_name("https://cms.example/api/", "/spaces/{model_id}")
        == "http:https://cms.example/api/spaces/{model_id}"
    )
    assert (
        http_target_name("https://cms.example/api", "spaces/{model_id}")
        == "http:https://cms.example/api/spaces/{model_id}"
    )


def test_publications_of_an_earlier_version_are_taken_over(services: Services, cms: Entries) -> None:
    target = http_target(cms, former_names=["http:old"])
    items = mint(services, "monday", [ONE]).items
    publish(services, "monday", target, items)
    rename(services, target.name, "http:old")
    other = HttpJsonTarget(
        requests.Session(), cms.address, "http:other", former_names=["http:old"], method="PATCH", endpoint="tours/{model_id}",
        json={}, headers={}, expected=[200], read_endpoint=None, clear_json=None, timeout=5,
    )  # fmt: skip
    run_context = RunContext("dag/tuesday/publish/-1")
    assert move_former_publications(services, run_context, other) == 0
    assert move_former_publications(services, run_context, target) == 1
    assert publish(services, "tuesday", target, items).unchanged.total == 1


# --------------------------------------------------------- is the link still shown


def entry(target: HttpJsonTarget, link: ShownLink, details: dict[str, Any] | None = None) -> Publication:
    """What the ledger holds for a slot after it was put."""
    (slot,) = target.slots({"model_id": link.model_id, "audience": link.audience})
    when = datetime(2026, 11, 26, 2, tzinfo=timezone.utc)
    found = details if details is not None else put(target, link)
    return Publication("key", target.name, slot, link.link_id, 1, link.model_id, link.audience, when, "run", found)


def test_entry_is_read_once_and_then_only_asked_whether_it_changed(cms: Entries) -> None:
    target = http_target(cms)
    known = entry(target, shown_link())
    first = target.check_shown([known])
    assert first is not None
    assert first.lost == []
    again = target.check_shown([replace(known, details=first.details[known.slot])])
    assert again is not None
    assert again.lost == []
    assert cms.server.received[-1].headers["If-None-Match"] == cms.etag(f"spaces/{ONE}")
    assert again.details[known.slot]["etag"] == cms.etag(f"spaces/{ONE}")


@pytest.mark.parametrize(
    "content",
    [{"url": None}, {}, [], "", {"url": shown_link(TOKEN_B).url.reveal()}, {"token": TOKEN_B}, {"url": TOKEN_A[:-1]}],
)
def test_entry_with_another_content_is_a_lost_slot(cms: Entries, content: Any) -> None:
    target = http_target(cms)
    known = entry(target, shown_link())
    first = target.check_shown([known])
    assert first is not None
    cms.entries[f"spaces/{ONE}"] = content
    for details in (known.details, first.details[known.slot]):
        check = target.check_shown([replace(known, details=details)])
        assert check is not None
        assert check.lost == [known.slot]


@pytest.mark.parametrize("status", [404, 410])
def test_entry_that_is_gone_is_a_lost_slot(cms: Entries, status: int) -> None:
    target = http_target(cms)
    known = entry(target, shown_link())
    cms.server.reply = lambda request: Reply(status, b"{}", JSON)
    check = target.check_shown([known])
    assert check is not None
    assert check.lost == [known.slot]


@pytest.mark.parametrize(
    "body",
    [
        {"url": "{link}"},
        {"token": "{access_token}"},
        {"html": '<iframe src="{link}"></iframe>'},
        {"html": "&lt;iframe src=&quot;{link}&quot;&gt;"},
        {"nested": [{"a": "{link}"}, "{valid_until}"]},
    ],
)
def test_link_is_recognised_in_any_form_that_is_sent(cms: Entries, body: Any) -> None:
    target = http_target(cms, json=body)
    known = entry(target, shown_link())
    check = target.check_shown([known])
    assert check is not None
    assert check.lost == []
    cms.entries[f"spaces/{ONE}"] = {"url": None}
    check = target.check_shown([known])
    assert check is not None
    assert check.lost == [known.slot]


def test_link_in_a_form_that_is_not_recognised_is_never_called_lost(cms: Entries) -> None:
    target = http_target(cms, json={"token": "x{access_token}x"}, read_endpoint="spaces/{model_id}")
    known = entry(target, shown_link())
    assert "fingerprint" not in known.details
    cms.entries[f"spaces/{ONE}"] = {"url": None}
    check = target.check_shown([known])
    assert check is not None
    assert check.lost == []


@pytest.mark.parametrize(
    "read_endpoint", [None, "spaces?url={link}", "spaces?t={access_token}", "spaces?v={valid_until}"]
)
def test_entries_that_cannot_be_read_without_their_link_are_not_checked(
    cms: Entries, read_endpoint: str | None
) -> None:
    target = http_target(cms, read_endpoint=read_endpoint)
    assert target.check_shown([entry(target, shown_link(), {})]) is None
    assert cms.server.received == []


def test_at_most_fifty_entries_are_read_and_those_first_that_were_not_for_longest(cms: Entries) -> None:
    target = http_target(cms)
    entries = []
    for number in range(60):
        model_id = f"Entry{number:06d}"
        cms.entries[f"spaces/{model_id}"] = {}
        read_at = f"2026-11-26T02:{59 - number % 60:02d}:00+00:00"
        entries.append(entry(target, shown_link(model_id=model_id), {"read_at": read_at}))
    check = target.check_shown(entries)
    assert check is not None
    assert set(check.details) == {found.slot for found in entries[10:]}
    assert all(details["read_at"] > "2026-11-26T03" for details in check.details.values())


def test_check_ends_with_its_time(cms: Entries, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_steps, "_CHECK_SECONDS", 0.0)
    target = http_target(cms)
    assert target.check_shown([entry(target, shown_link(), {})]) == SlotCheck([], {})
    assert cms.server.received == []


@pytest.mark.parametrize(("status", "permanent"), [(401, True), (500, False)])
def test_check_that_fails_says_so(cms: Entries, status: int, permanent: bool) -> None:
    target = http_target(cms)
    known = entry(target, shown_link())
    cms.server.reply = lambda request: Reply(status, b"{}", JSON)
    with pytest.raises(SlotError) as failure:
        target.check_shown([known])
    assert failure.value.permanent is permanent


def test_lost_entry_is_put_again_at_the_next_run(services: Services, cms: Entries) -> None:
    target = http_target(cms)
    items = mint(services, "monday", [ONE]).items
    publish(services, "monday", target, items)
    cms.entries[f"spaces/{ONE}"] = {"url": "https://elsewhere.example"}
    assert publish(services, "keeper", target, items).published.total == 1
    assert ONE in cms.entries[f"spaces/{ONE}"]["url"]


def test_response_that_is_not_modified_though_nothing_was_asked_is_an_error(cms: Entries) -> None:
    cms.server.reply = lambda request: Reply(304, b"")
    with pytest.raises(SlotError, match=r"HTTP 304 instead of \[200\]"):
        http_target(cms).read_back("slot", shown_link(), {})


def test_a_body_that_is_nested_too_deep_reports_no_error() -> None:
    response = requests.Response()
    response.status_code, response._content = 200, b"[" * 100_000
    assert http_requests._json_of(response) is None


def test_entries_are_checked_several_at_a_time(cms: Entries) -> None:
    together = threading.Barrier(4)
    models = [f"M{number}" for number in range(4)]
    target = http_target(cms)
    for model_id in models:
        cms.entries[f"spaces/{model_id}"] = {"url": None}
    known = [entry(target, shown_link(model_id=model_id)) for model_id in models]
    answer = cms.server.reply

    def all_together(request: Received) -> Reply:
        together.wait(30)
        return answer(request)

    cms.server.reply = all_together
    check = target.check_shown(known)
    assert check is not None
    assert set(check.details) == {f"PATCH spaces/{model_id}" for model_id in models}
    assert http_target(cms, at_once=1).at_once == 1
    with pytest.raises(PMEInputError, match="at_once"):
        http_target(cms, at_once=0)


@pytest.mark.parametrize("changed", [{"method": "PUT"}, {"endpoint": "/spaces/{model_id}"}], ids=["method", "slash"])
def test_an_entry_whose_slot_has_another_name_now_keeps_its_new_link(
    services: Services, cms: Entries, world: World, changed: dict[str, Any]
) -> None:
    publish(services, "monday", http_target(cms), mint(services, "monday", [ONE]).items)
    publisher = Publisher(services, RunContext.of_task("dag", "tuesday", "publish"), http_target(cms, **changed))
    publisher.publish(mint(services, "tuesday", [ONE]).items)
    result = publisher.retire_moved()
    assert (result.failed.total, result.removed.total) == (0, 1)
    assert list(world.tokens)[1] in cms.entries[f"spaces/{ONE}"]["url"]
    with services.database.read() as tx:
        (shown,) = publications.shown_at(tx, "http:cms")
    assert shown.slot in http_target(cms, **changed).slots({"model_id": ONE, "audience": "intranet"})


HEADERS = {
    "Content-Type": "application/vnd.api+json", "Notion-Version": "2022-06-28", "X-Space": "{model_id}/{audience}",
    "X-Link": "{link_id}", "X-Until": "{valid_until}", "X-Token": "{access_token}", "X-Url": "{link}",
}  # fmt: skip
OF_SLOT = {"Notion-Version": "2022-06-28", "X-Space": f"{ONE}/intranet"}


def sent(cms: Entries) -> list[tuple[str, dict[str, str]]]:
    """The requests that were sent, each with those of its headers that the target was given."""
    return [(r.method, {name: r.headers[name] for name in HEADERS if name in r.headers}) for r in cms.server.received]


def test_reading_has_the_headers_that_need_no_link(cms: Entries) -> None:
    target = http_target(cms, headers=HEADERS)
    details = put(target, shown_link())
    target.check([{"model_id": ONE, "audience": "intranet"}])
    (before, write, back, checked) = sent(cms)
    assert before == back == checked == ("GET", OF_SLOT)
    assert set(write[1]) == set(HEADERS)
    cms.server.received.clear()
    target.check_shown([entry(target, shown_link(), details)])
    assert sent(cms) == [("GET", OF_SLOT)]


def test_clearing_has_the_headers_that_need_no_link_and_is_filled_in(cms: Entries) -> None:
    clear = {"data": {"id": "{model_id}", "url": None, "of": ["{audience}", 1]}}
    target = http_target(cms, headers=HEADERS, clear_json=clear)
    details = put(target, shown_link())
    target.take_away(*target.slots({"model_id": ONE, "audience": "intranet"}), details)
    assert sent(cms)[-1] == ("PATCH", {**OF_SLOT, "Content-Type": HEADERS["Content-Type"]})
    assert json.loads(cms.server.received[-1].body) == {"data": {"id": ONE, "url": None, "of": ["intranet", 1]}}


def test_a_slot_of_an_earlier_version_is_cleared_as_far_as_it_is_known(cms: Entries) -> None:
    recorded = {"endpoint": f"spaces/{ONE}"}
    http_target(cms, headers=HEADERS).take_away("slot", recorded)
    assert sent(cms)[-1] == ("PATCH", {name: HEADERS[name] for name in ("Content-Type", "Notion-Version")})
    with pytest.raises(SlotError, match="clear_json cannot be filled in"):
        http_target(cms, clear_json={"id": "{model_id}"}).take_away("slot", recorded)


def test_if_match_of_a_users_own_is_kept_in_any_case_of_letters(cms: Entries) -> None:
    http_target(cms, headers={"if-match": "*"}).put("slot", shown_link(), {})
    assert [r.method for r in cms.server.received] == ["PATCH"]
