"""The requests of a recipe's section: what each sends, and how its answer is judged and kept."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, cast

import pytest
import requests

from pme_airflow.errors import SlotError
from pme_airflow.recipes.answers import Expectation, Keep
from pme_airflow.recipes.model import BodyKind, Recipe, Section, Step
from pme_airflow.recipes.templates import Template
from pme_airflow.targets import http_requests
from pme_airflow.targets.http_requests import StepRun, path_part
from pme_airflow.targets.web import WebApi, WebRefusal
from tests.support.recorded_web import Web, answer


def step(name: str = "", method: str = "GET", endpoint: str = "entries/{{ model_id }}", **fields: Any) -> Step:
    if "when" in fields:
        fields["when"] = Template(fields["when"])
    fields["headers"] = {key: Template(text) for key, text in fields.get("headers", {}).items()}
    return Step(name, method, Template(endpoint), **fields)


def run(web: Web, *steps: Step, texts: Mapping[str, str] | None = None, **values: Any) -> StepRun:
    templates = {name: Template(text) for name, text in (texts or {}).items()}
    recipe = Recipe(Template("slot"), {Section.PUT: steps}, templates)
    return StepRun(cast(WebApi, web), recipe, Section.PUT, {"model_id": "m/1", "link": "L", **values})


def problem_of(response: requests.Response, **fields: Any) -> WebRefusal:
    with pytest.raises(WebRefusal) as failure:
        run(Web(response), step(**fields)).send()
    return failure.value


# ------------------------------------------------------------------------ sending


@pytest.mark.parametrize(
    ("kind", "json_body", "form"),
    [
        (BodyKind.JSON, {"url": "L", "count": 3, "by": "n 3"}, None),
        (BodyKind.FORM, None, {"url": "L", "count": "3", "by": "n 3"}),
        (BodyKind.NONE, None, None),
    ],
)
def test_a_request_is_sent_as_its_step_says(kind: BodyKind, json_body: Any, form: Any) -> None:
    body = {"url": Template("{{ link }}"), "count": Template("{{ n }}"), "by": Template("n {{ n }}")}
    web = Web(answer())
    sending = run(web, step("w", "PUT", body_kind=kind, body=body, headers={"X-A": "{{ link }}", "X-B": ""}), n=3)
    assert sending.send().status_code == 200
    (sent,) = web.sent
    assert (sent.method, sent.path, sent.headers) == ("PUT", "entries/m%2F1", {"X-A": "L"})
    assert (sent.body, sent.form, sent.anonymous, sent.allow_html) == (json_body, form, False, False)
    assert [json.loads(text) for text in sending.bodies] == [each for each in (json_body or form,) if each]


def test_a_step_of_a_reader_is_sent_without_credentials_and_may_be_answered_with_text() -> None:
    web = Web(answer(text=b'{"error": "part of a page"}'))
    run(web, step(anonymous=True, accepts_text=True)).send()
    assert (web.sent[0].anonymous, web.sent[0].allow_html) == (True, True)


def test_texts_that_the_section_names_are_filled_in_and_others_are_not_rendered() -> None:
    texts = {"frame": "<b>{{ link }}</b>", "unused": "{{ valid_until }}"}
    web = Web(answer())
    body = {"html": Template("{{ frame }}")}
    run(web, step(method="PUT", body_kind=BodyKind.JSON, body=body), texts=texts, link="a & b").send()
    assert web.sent[0].body == {"html": "<b>a &amp; b</b>"}


def test_the_last_answer_is_returned_and_further_headers_go_with_the_last_request_alone() -> None:
    web = Web(answer(201), answer(304))
    last = run(web, step("a"), step("b", headers={"Accept": "x"})).send(last_headers={"If-None-Match": "e"})
    assert last.status_code == 304
    assert [sent.headers for sent in web.sent] == [{}, {"Accept": "x", "If-None-Match": "e"}]


def test_an_unchanged_entry_is_an_answer_only_where_it_was_asked_for() -> None:
    assert str(problem_of(answer(304))) == "HTTP 304 instead of [200, 201, 202, 204]"
    with pytest.raises(SlotError, match="HTTP 304 instead of"):
        run(Web(answer(304), answer()), step("a"), step("b")).send(last_headers={"If-None-Match": "e"})
    with pytest.raises(SlotError, match="HTTP 412"):
        run(Web(answer(412)), step("a")).send(last_headers={"If-None-Match": "e"})


@pytest.mark.parametrize(
    ("value", "sent"),
    [("", False), ("false", False), ("0", False), (0, False), (None, False), ([], False),
     ("no", True), ("00", True), (1, True), ("False", True)],
)  # fmt: skip
def test_a_step_is_left_out_where_its_condition_is_empty_or_false(value: Any, sent: bool) -> None:
    web = Web(answer(201), answer(202))
    assert run(web, step("a"), step("b", when="{{ v }}"), v=value).send().status_code == (202 if sent else 201)
    assert len(web.sent) == 1 + sent


def test_a_section_whose_steps_were_all_left_out_is_an_error() -> None:
    with pytest.raises(SlotError, match="no step was sent, since no condition under when held") as failure:
        run(Web(), step("a", when="{{ v }}"), v="").send()
    assert failure.value.permanent


def test_a_failure_names_its_step_if_it_has_a_name() -> None:
    for name, start in (("write", "step write: HTTP 500"), ("", "HTTP 500")):
        assert str(problem_of(answer(500), name=name)).startswith(start)
    with pytest.raises(SlotError, match=r"^step a: .*missing"):
        run(Web(), step("a", when="{{ missing }}")).send()


# ------------------------------------------------------------------------ idempotency


def test_a_request_that_writes_has_a_key_of_its_slot_its_step_and_its_body() -> None:
    web = Web(*(answer() for _ in range(3)))
    write = step("w", "PUT", body_kind=BodyKind.JSON, body={"u": Template("{{ link }}")})
    run(web, step("r"), write, step("d", "DELETE")).send(key="target\nslot")
    keys = [sent.headers.get("Idempotency-Key") for sent in web.sent]
    digests = [hashlib.sha256(f"target\nslot\n{rest}".encode()).hexdigest() for rest in ('w\n{"u": "L"}', "d\nnull")]
    assert keys == [None, *digests]


@pytest.mark.parametrize(
    ("key", "headers"), [("", {}), ("k", {"idempotency-KEY": "own"}), ("k", {"Idempotency-Key": "own"})]
)
def test_no_key_is_made_where_none_is_wanted_or_the_recipe_has_one(key: str, headers: dict[str, str]) -> None:
    web = Web(answer())
    run(web, step("w", "PUT", headers=headers)).send(key=key)
    assert web.sent[0].headers == headers


def test_another_header_does_not_stand_for_the_key() -> None:
    web = Web(answer())
    run(web, step("w", "PUT", headers={"X-Key": "own"})).send(key="k")
    assert set(web.sent[0].headers) == {"X-Key", "Idempotency-Key"}


# ------------------------------------------------------------------------ limits


def test_a_body_may_be_as_long_as_the_limit_and_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_requests, "MAX_BODY", 100)
    for length, fits in ((91, True), (92, False)):  # 8 for the object, 1 for its key
        sending = run(Web(answer()), step(method="PUT", body_kind=BodyKind.JSON, body={"k": "x" * length}))
        if fits:
            sending.send()
            continue
        with pytest.raises(SlotError, match="the body is longer than") as failure:
            sending.send()
        assert failure.value.permanent


def test_a_body_of_8_mib_is_the_limit() -> None:
    with pytest.raises(SlotError, match=r"longer than 8 MiB"):
        run(Web(), step(method="PUT", body_kind=BodyKind.JSON, body={"k": "x" * (8 << 20)})).send()


def test_all_steps_together_may_keep_as_much_as_the_limit_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_requests, "MAX_KEPT", 100)
    keep = (Keep(("k",), ("v",)),)
    for length, fits in ((41, True), (42, False)):  # each step keeps 8 for the object, 1 for its key, and the value
        web = Web(answer(body={"v": "x" * 41}), answer(body={"v": "x" * length}))
        sending = run(web, step("a", keep=keep), step("b", keep=keep))
        if fits:
            sending.send()
            continue
        with pytest.raises(SlotError, match="step b: the steps keep more than 100 characters"):
            sending.send()


@pytest.mark.parametrize("text", ["a\nb", "a\r\nX: y", "\x00"])
def test_a_header_with_a_control_character_is_refused(text: str) -> None:
    with pytest.raises(SlotError, match="header X-A would have a line break or control character"):
        run(Web(), step(headers={"X-A": "{{ v }}"}), v=text).send()


# ------------------------------------------------------------------------ keeping


def test_later_steps_use_what_an_answer_had() -> None:
    web = Web(answer(body={"id": 7}, ETag="e1"), answer())
    keep = (Keep(("id",), ("id",)), Keep(("etag",), header="ETag"))
    run(
        web, step("find", keep=keep), step("b", endpoint="x/{{ find.id }}", headers={"If-Match": "{{ find.etag }}"})
    ).send()
    assert (web.sent[1].path, web.sent[1].headers) == ("x/7", {"If-Match": "e1"})


@pytest.mark.parametrize(("status", "kept"), [(200, "of the answer"), (399, "of the answer"), (400, "default")])
def test_nothing_but_defaults_is_kept_of_a_refusal(status: int, kept: str) -> None:
    web = Web(answer(status, body={"v": "of the answer"}), answer())
    find = step("find", expected=frozenset({status}), keep=(Keep(("v",), ("v",), default="default"),))
    run(web, find, step("b", headers={"X": "{{ find.v }}"})).send()
    assert web.sent[1].headers == {"X": kept}


def test_a_step_that_is_optional_may_be_refused_and_keeps_its_defaults() -> None:
    keep = (Keep(("v",), ("v",), default="default"),)
    web = Web(answer(404), answer(201))
    last = run(web, step("a", keep=keep, optional=True), step("b", headers={"X": "{{ a.v }}"})).send()
    assert (last.status_code, web.sent[1].headers) == (201, {"X": "default"})
    for optional, status in ((True, 409), (False, 404)):
        with pytest.raises(WebRefusal):
            run(Web(answer(status), answer()), step("a", keep=keep, optional=optional), step("b")).send()


# ------------------------------------------------------------------------ judging


@pytest.mark.parametrize(
    ("status", "advice"),
    [
        (400, ""), (401, ": check the credentials of the connection"),
        (403, ": the account has no right to write there. Grant it"),
        (404, ": nothing exists at the endpoint. Create the entry first, or correct endpoint"),
        (405, ": the endpoint does not accept this method. Correct method"),
        (409, ": somebody changed the entry meanwhile. It is read again and tried"),
        (412, ": somebody changed the entry meanwhile. It is read again and tried"),
        (415, ": the endpoint does not accept JSON. Correct endpoint"),
    ],
)  # fmt: skip
def test_an_unexpected_status_is_a_failure_with_advice(status: int, advice: str) -> None:
    error = problem_of(answer(status))
    assert str(error) == f"HTTP {status} instead of [200, 201, 202, 204]{advice}"
    assert error.status == status
    assert error.permanent is (status not in (409, 412))


def test_a_conflict_that_the_recipe_names_is_tried_again() -> None:
    conflict = Expectation(("code",), ("edited",))
    error = problem_of(answer(400, {"code": "edited"}), conflicts=(Expectation(("x",), (1,)), conflict))
    assert str(error).startswith("HTTP 400 with a conflict that the recipe names: somebody changed")
    assert (error.status, error.permanent) == (400, False)
    assert problem_of(answer(400, {"code": "other"}), conflicts=(conflict,)).permanent
    assert not problem_of(answer(200), conflict_statuses=frozenset({200})).permanent
    run(Web(answer(400, {"error": "x"})), step(expected=frozenset({400}))).send()


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"errors": ["no"]}, ""),
        ({"error": "not_allowed"}, "not_allowed"),
        ({"error": {"code": "not-allowed", "info": "x"}}, "not-allowed"),
        ({"error": {"message": "x"}, "ok": True}, ""),
        ({"error": True}, ""),
        ({"error": "L 1"}, ""),
        ({"error": "a" * 40}, "a" * 40),
        ({"error": "a" * 41}, ""),
        ({"ok": False}, ""),
        ({"ok": False, "error": ""}, ""),
    ],
)
def test_an_error_in_the_body_of_a_success_is_a_failure_with_its_code(body: Any, named: str) -> None:
    error = problem_of(answer(202, body))
    assert str(error) == f"HTTP 202, but the response's body reports an error{f' ({named})' if named else ''}"
    assert (error.status, error.code, error.permanent) == (202, named, True)
    assert problem_of(answer(399, body), expected=frozenset({399})).code == named


@pytest.mark.parametrize("body", [{"error": None}, {"errors": []}, {"ok": True}, {"ok": 0}, ["error"], "error", None])
def test_a_body_without_an_error_is_a_success(body: Any) -> None:
    assert run(Web(answer(200, body)), step()).send().status_code == 200


@pytest.mark.parametrize("text", [b"done", b"[" * 100_000, b"{"])
def test_a_body_that_is_no_json_is_a_success_without_values(text: bytes) -> None:
    keep = (Keep(("v",), ("v",), default="default"),)
    web = Web(answer(text=text), answer())
    run(web, step("a", keep=keep), step("b", headers={"X": "{{ a.v }}"})).send()
    assert web.sent[1].headers == {"X": "default"}


def test_an_answer_must_have_every_value_that_is_required() -> None:
    required = (Expectation(("edit", "result"), ("Success",)), Expectation(("n", 0), (1, 2)))
    run(Web(answer(200, {"edit": {"result": "Success"}, "n": [2]})), step(required=required)).send()
    error = problem_of(answer(201, {"edit": {"result": "Success"}, "n": [3]}), required=required)
    assert str(error) == "HTTP 201, but n.0 of the answer is not what expected_answer names"
    assert (error.status, error.permanent) == (201, True)


# ------------------------------------------------------------------------ paths


@pytest.mark.parametrize(("value", "part"), [("a/b?c#d", "a%2Fb%3Fc%23d"), ("...", "..."), (7, "7"), ("é", "%C3%A9")])
def test_a_value_is_one_part_of_a_path(value: Any, part: str) -> None:
    assert path_part(value) == part


@pytest.mark.parametrize("value", ["", ".", ".."])
def test_a_value_that_would_address_another_place_is_refused(value: str) -> None:
    with pytest.raises(SlotError, match="another place would be addressed"):
        path_part(value)
