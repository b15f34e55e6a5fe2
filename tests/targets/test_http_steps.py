"""Slots that take several requests: later ones use what earlier ones answered, and no edit is overwritten."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs

import pytest
import requests

from pme_airflow.checks import Verdict
from pme_airflow.errors import SlotError
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.lifecycle.publish import Publisher
from pme_airflow.lifecycle.services import Services
from pme_airflow.recipes import recipe_of
from pme_airflow.secrets import SecretStr
from pme_airflow.targets import web
from pme_airflow.targets.http_steps import HttpStepsTarget
from tests.conftest import MODELS
from tests.recipes.examples import versioned
from tests.support.links import TOKEN_A, TOKEN_B, shown_link
from tests.support.rooms import mint, publish
from tests.support.web import Received, Reply, WebServer, serving_web

ONE, TWO = list(MODELS)[:2]
SECRET = "the-connection's-password"


class Versions:
    """Entries with a version that a write must name, and that readers see once they are published.

    :ivar edits: how many times an editor changes an entry right after it was read.
    """

    def __init__(self, server: WebServer) -> None:
        self.server = server
        self.entries: dict[str, dict[str, Any]] = {ONE: {"version": 1, "note": "mine", "url": None}}
        self.public: dict[str, dict[str, Any]] = {}
        self.edits = 0
        server.reply = self.answer

    def answer(self, request: Received) -> Reply:
        kind, _, rest = request.path.strip("/").partition("/")
        model, _, published = rest.partition("/")
        entry = (self.public if kind == "public" else self.entries).get(model)
        if entry is None:
            return Reply(404)
        if request.method == "GET":
            return self._read(entry)
        if request.headers.get("X-Version") != str(entry["version"]):
            return Reply(409)
        if published:
            self.public[model] = dict(entry)
        else:
            entry |= {**json.loads(request.body)["fields"], "version": entry["version"] + 1}
        return self._reply(entry)

    def _read(self, entry: dict[str, Any]) -> Reply:
        reply = self._reply(entry)
        if self.edits and entry in self.entries.values():
            self.edits -= 1
            entry |= {"version": entry["version"] + 1, "note": f"edited {self.edits}"}
        return reply

    def _reply(self, entry: dict[str, Any]) -> Reply:
        fields = {key: value for key, value in entry.items() if key != "version"}
        return Reply(200, json.dumps({"sys": {"version": entry["version"]}, "fields": fields}).encode())


@pytest.fixture
def cms() -> Iterator[Versions]:
    with serving_web() as server:
        yield Versions(server)


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web.time, "sleep", lambda seconds: None)


def target(cms: Versions, **changed: Any) -> HttpStepsTarget:
    recipe = recipe_of(versioned(**changed))
    session = requests.Session()
    session.headers.update({"Authorization": "Bearer of-the-connection", "X-API-Key": "of-the-connection"})
    return HttpStepsTarget(
        session, cms.server.address, "http:cms", recipe, timeout=5, login="editor", password=SecretStr(SECRET)
    )


def single(cms: Versions, **step: Any) -> HttpStepsTarget:
    """A target with one step."""
    steps = [{"method": "POST", "endpoint": "entries/{{ model_id }}", "json": {"url": "{{ link }}"}, **step}]
    return target(cms, steps=steps, read_back=None, take_away=None)


# ------------------------------------------------------------------------ publishing


def test_steps_use_the_version_that_was_answered(services: Services, cms: Versions) -> None:
    assert publish(services, "monday", target(cms), mint(services, "monday", [ONE]).items).failed == []
    assert [(r.method, r.headers.get("X-Version")) for r in cms.server.received] == [
        ("GET", None), ("PUT", "1"), ("PUT", "2"), ("GET", None),
    ]  # fmt: skip
    assert cms.public[ONE]["note"] == "mine"
    assert ONE in cms.public[ONE]["url"]


def test_entry_that_is_edited_meanwhile_is_read_again_and_never_overwritten(services: Services, cms: Versions) -> None:
    cms.edits = 2
    assert publish(services, "monday", target(cms), mint(services, "monday", [ONE]).items).failed == []
    assert cms.public[ONE]["note"] == "edited 0"


def test_entry_that_is_edited_at_every_look_is_a_temporary_failure(services: Services, cms: Versions) -> None:
    cms.edits = 99
    (failed,) = publish(services, "monday", target(cms), mint(services, "monday", [ONE]).items).failed
    assert not failed["permanent"]
    assert failed["reason"].startswith("step write: HTTP 409")
    assert cms.entries[ONE]["url"] is None
    assert cms.public == {}


def test_attempts_with_another_body_have_another_idempotency_key(cms: Versions) -> None:
    cms.edits = 1
    shown = target(cms)
    with pytest.raises(SlotError):
        shown.put("slot", shown_link(), {})
    shown.put("slot", shown_link(), {})
    shown.put("slot", shown_link(), {})
    keys = [r.headers["Idempotency-Key"] for r in cms.server.received if r.method == "PUT" and r.body]
    assert keys[0] != keys[1] == keys[2]


def test_reader_sends_no_credentials(cms: Versions) -> None:
    shown = target(cms)
    shown._web._session.cookies.set("session", "signed-in")
    shown.put("slot", shown_link(), {})
    shown.read_back("slot", shown_link(), {})
    sent = cms.server.received
    known = [{"Authorization", "X-API-Key", "Cookie"} & set(r.headers) for r in sent]
    assert [len(headers) for headers in known] == [3, 3, 3, 0]


def test_link_that_readers_do_not_get_is_a_temporary_failure(cms: Versions) -> None:
    shown = target(cms)
    shown.put("slot", shown_link(TOKEN_A), {})
    with pytest.raises(SlotError, match="read_back does not show the new link") as failure:
        shown.read_back("slot", shown_link(TOKEN_B), {})
    assert not failure.value.permanent


def test_slot_is_cleared_by_its_own_steps(services: Services, cms: Versions) -> None:
    shown = target(cms)
    publish(services, "monday", shown, mint(services, "monday", [ONE]).items)
    cms.edits = 1
    Publisher(services, RunContext("dag/tuesday/publish/-1"), shown).retire_others("intranet", [])
    assert cms.entries[ONE] == {"version": 4, "note": "edited 0", "url": None}


@pytest.mark.parametrize("keeps_old", [True, False])
def test_place_that_keeps_old_versions_says_so(cms: Versions, keeps_old: bool) -> None:
    shown = target(cms, keeps_old=keeps_old)
    assert shown.put("slot", shown_link(), {}).old_link_remains is keeps_old
    assert shown.take_away("slot", {"model_id": ONE}).old_link_remains is keeps_old


def test_slot_without_clearing_steps_says_so(cms: Versions) -> None:
    with pytest.raises(SlotError, match="cannot be cleared without take_away"):
        target(cms, take_away=None).take_away("slot", {"model_id": ONE})
    with pytest.raises(SlotError, match="recorded by another task"):
        target(cms).take_away("slot", {})


def test_slot_that_somebody_changed_is_found(services: Services, cms: Versions) -> None:
    shown = target(cms)
    items = mint(services, "monday", [ONE]).items
    publish(services, "monday", shown, items)
    cms.public[ONE]["url"] = "https://elsewhere.example"
    assert publish(services, "keeper", shown, items).published.total == 1
    assert ONE in cms.public[ONE]["url"]


# ------------------------------------------------------------------------ one request


def test_form_is_encoded_and_names_of_the_connection_are_filled_in(cms: Versions) -> None:
    cms.server.reply = lambda request: Reply(200)
    form = {
        "url": "{{ link }}",
        "user": "{{ connection.login }}",
        "password": "{{ connection.password }}",
        "t": "{{ name }}",
    }
    steps = [{"method": "POST", "endpoint": "x/{{ model_id }}", "form": form}]
    shown = target(cms, steps=steps, read_back=None, take_away=None)
    assert shown.shows_names
    details = shown.put("slot", shown_link(), {}).details
    sent = cms.server.received[-1]
    assert sent.headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert parse_qs(sent.body.decode()) == {
        "url": [shown_link().url.reveal()], "user": ["editor"], "password": [SECRET], "t": ["Hall"],
    }  # fmt: skip
    assert "fingerprint" in details
    assert TOKEN_A not in json.dumps(details)
    assert SECRET not in json.dumps(details)


def test_condition_leaves_a_request_out(cms: Versions) -> None:
    steps = [
        {"name": "find", "endpoint": "entries/{{ model_id }}", "expected_statuses": [200, 404],
         "keep": {"version": {"path": "sys.version", "default": None}}},
        {"method": "POST", "endpoint": "new/{{ model_id }}", "when": "{{ find.version is none }}"},
        {"method": "PUT", "endpoint": "old/{{ model_id }}", "when": "{{ find.version is not none }}"},
    ]  # fmt: skip
    shown = target(cms, steps=steps, read_back=None, take_away=None)
    cms.server.reply = lambda request: cms.answer(request) if request.method == "GET" else Reply(201)
    shown.put("slot", shown_link(model_id=ONE), {})
    shown.put("slot", shown_link(model_id=TWO), {})
    assert [r.path for r in cms.server.received if r.method != "GET"] == [f"/old/{ONE}", f"/new/{TWO}"]


@pytest.mark.parametrize(
    ("step", "answer", "reason", "permanent"),
    [
        ({"conflict": {"answer": {"error.code": ["editconflict"]}}}, (200, {"error": {"code": "editconflict"}}), "conflict", False),
        ({"conflict": 423}, (423, {}), "HTTP 423", False),
        ({}, (200, {"error": {"code": "badtoken", "info": TOKEN_A}}), r"reports an error \(badtoken\)", True),
        ({}, (200, {"error": {"code": TOKEN_A}}), "reports an error$", True),
        ({"expected_answer": {"edit.result": "Success"}}, (200, {"edit": {"result": "Failure"}}), "edit.result of the", True),
        ({"expected_statuses": 201}, (200, {}), r"HTTP 200 instead of \[201\]", True),
        ({"keep": "data.id"}, (200, {"data": {}}), "the answer has no data.id", True),
        ({"keep": "data"}, (200, {"data": "x" * 1_100_000}), "keep more than", True),
    ],
)  # fmt: skip
def test_answer_is_judged_by_what_the_step_expects(
    cms: Versions, step: dict[str, Any], answer: tuple[int, Any], reason: str, permanent: bool
) -> None:
    cms.server.reply = lambda request: Reply(answer[0], json.dumps(answer[1]).encode())
    with pytest.raises(SlotError, match=reason) as failure:
        single(cms, **step).put("slot", shown_link(), {})
    assert failure.value.permanent is permanent
    assert TOKEN_A not in str(failure.value)
    assert str(failure.value).startswith("step step_1: ")


@pytest.mark.parametrize("value", ["", ".", ".."])
def test_answer_cannot_lead_to_another_place(cms: Versions, value: str) -> None:
    """An empty id makes the address that of the whole collection."""
    steps = [
        {"name": "find", "endpoint": "entries", "keep": "id"},
        {"method": "PATCH", "endpoint": "entries/{{ find.id }}", "json": {}},
    ]
    cms.server.reply = lambda request: Reply(200, json.dumps({"id": value}).encode())
    with pytest.raises(SlotError, match="another place would be addressed"):
        target(cms, steps=steps).put("slot", shown_link(), {})
    assert cms.server.methods == ["GET"]


def test_answer_stays_one_part_of_the_path_and_no_host(cms: Versions) -> None:
    steps = [
        {"name": "find", "endpoint": "entries", "keep": "next"},
        {"method": "PUT", "endpoint": "{{ find.next }}", "json": {"u": "{{ link }}"}},
    ]
    with serving_web() as other:
        there = f"{other.address}/a?b#c"
        cms.server.reply = lambda request: Reply(200, json.dumps({"next": there}).encode())
        target(cms, steps=steps).put("slot", shown_link(), {})
        assert other.received == []
    assert cms.server.received[-1].path == "/" + requests.utils.quote(there, safe="")


def test_header_is_one_line_and_left_out_when_it_is_empty(cms: Versions) -> None:
    steps = [
        {"name": "find", "endpoint": "entries", "keep": {"a": "a", "nothing": {"path": "b", "default": None}}},
        {"method": "PUT", "endpoint": "x", "headers": {"X-A": "{{ find.a }}", "If-Match": "{{ find.nothing }}"}},
    ]
    cms.server.reply = lambda request: Reply(200, b'{"a": "v"}')
    target(cms, steps=steps).put("slot", shown_link(), {})
    assert (cms.server.received[-1].headers["X-A"], "If-Match" in cms.server.received[-1].headers) == ("v", False)
    cms.server.reply = lambda request: Reply(200, b'{"a": "v\\r\\nX-B: w"}')
    with pytest.raises(SlotError, match="header X-A would have a line break"):
        target(cms, steps=steps).put("slot", shown_link(), {})


def test_number_that_json_does_not_have_is_a_permanent_failure(cms: Versions) -> None:
    steps = [
        {"name": "find", "endpoint": "entries", "keep": "n"},
        {"method": "PUT", "endpoint": "x", "json": {"n": "{{ find.n }}", "u": "{{ link }}"}},
    ]
    cms.server.reply = lambda request: Reply(200, b'{"n": NaN}')
    with pytest.raises(SlotError, match="a number that JSON does not have") as failure:
        target(cms, steps=steps).put("slot", shown_link(), {})
    assert failure.value.permanent


def test_no_failure_contains_what_was_sent_or_answered(cms: Versions) -> None:
    secret = "a-token-that-was-kept"
    steps = [
        {"name": "find", "endpoint": "entries", "keep": "token"},
        {"method": "PUT", "endpoint": "x/{{ find.token }}", "json": {"u": "{{ find.token.missing + link }}"}},
    ]
    cms.server.reply = lambda request: Reply(200, json.dumps({"token": secret}).encode())
    with pytest.raises(SlotError) as failure:
        target(cms, steps=steps).put("slot", shown_link(), {})
    assert "find.token.missing" in str(failure.value)
    cms.server.reply = lambda request: Reply(
        200 if request.method == "GET" else 400, json.dumps({"token": secret}).encode()
    )
    steps[1]["json"] = {}
    with pytest.raises(SlotError) as refused:
        target(cms, steps=steps).put("slot", shown_link(), {})
    for error in (failure.value, refused.value):
        assert secret not in str(error)
        assert TOKEN_A not in str(error)


# ------------------------------------------------------------------------ checks


def test_doctor_reads_by_the_recipes_own_steps(cms: Versions) -> None:
    (found,) = target(cms, check=[{"endpoint": "entries/{{ model_id }}"}]).check([{"model_id": ONE, "audience": "a"}])
    assert found.verdict is Verdict.GOOD
    assert [r.path for r in cms.server.received] == [f"/entries/{ONE}"]


def test_doctor_says_that_nothing_is_read_back(cms: Versions) -> None:
    (found,) = target(cms, read_back=None).check([{"model_id": ONE, "audience": "a"}])
    assert (found.verdict, "read_back" in found.cure) == (Verdict.WARNING, True)


def test_slots_are_not_checked_where_reading_needs_the_link(cms: Versions) -> None:
    read = [{"endpoint": "public?url={{ link }}"}]
    assert target(cms, read_back=read).check_shown([]) is None
    assert target(cms, read_back=[{"endpoint": "x"}], texts={"f": "{{ link }}"}).check_shown([]) is not None
    named = [{"endpoint": "x?u={{ f }}"}]
    assert target(cms, read_back=named, texts={"f": "{{ link }}"}).check_shown([]) is None


def test_a_slot_under_another_name_is_not_cleared_by_its_steps(services: Services, cms: Versions) -> None:
    publish(services, "monday", target(cms, slot="/spaces/{{ model_id }}"), mint(services, "monday", [ONE]).items)
    renamed = target(cms, slot="spaces/{{ model_id }}")
    publisher = Publisher(services, RunContext.of_task("dag", "tuesday", "publish"), renamed)
    publisher.publish(mint(services, "tuesday", [ONE]).items)
    assert publisher.retire_moved().removed.total == 1
    assert cms.entries[ONE]["url"] is not None
