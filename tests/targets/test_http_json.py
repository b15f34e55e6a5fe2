"""JSON APIs over HTTP: one request for a slot, read back, without overwriting what somebody edits meanwhile."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from pme_airflow.dev.emulator import World
from pme_airflow.errors import SlotError
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.lifecycle.publish import Publisher
from pme_airflow.lifecycle.services import Services
from pme_airflow.targets import web
from pme_airflow.targets.base import ShownLink
from pme_airflow.targets.http_json import HttpJsonTarget
from tests.conftest import MODELS
from tests.support.entries import JSON, Entries, serving_entries
from tests.support.links import TOKEN_A, TOKEN_B, TOKEN_C, shown_link
from tests.support.rooms import mint, publish
from tests.support.web import Reply

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


def put(target: HttpJsonTarget, shown: ShownLink) -> dict[str, Any]:
    (slot,) = target.slots({"model_id": shown.model_id, "audience": shown.audience})
    result = target.put(slot, shown, {})
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
    assert details == {"endpoint": f"spaces/{ONE}"}


def test_details_for_the_ledger_hold_no_token_although_the_endpoint_does(cms: Entries) -> None:
    target = http_target(cms, endpoint="spaces/{model_id}?t={access_token}", read_endpoint=None, method="PUT")
    assert put(target, shown_link()) == {"endpoint": f"spaces/{ONE}?t={{access_token}}"}


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
