"""Each key of a step is checked: hosts, methods, headers, bodies, statuses, and what is kept."""

from __future__ import annotations

from typing import Any

import pytest

from pme_airflow.recipes import Section, recipe_of
from pme_airflow.recipes.answers import Expectation, Keep
from pme_airflow.recipes.model import BodyKind, Step
from tests.recipes.examples import problems_of, with_step


def written(**changed: Any) -> Step:
    made = with_step(**changed)
    return recipe_of({**made, "steps": made["steps"][:2]}).steps(Section.PUT)[1]


@pytest.mark.parametrize(
    "endpoint",
    ["https://evil.example/x", "//evil.example/x", "http:x", "\\\\evil.example", " https://evil.example", "a/https://b",
     "HTTPS://evil.example/{{ model_id }}", "file:///etc/passwd", "javascript:alert(1)"],
)  # fmt: skip
def test_another_host_is_refused(endpoint: str) -> None:
    (problem,) = problems_of(with_step(endpoint=endpoint))
    assert problem == "steps[1].endpoint: names another host; give a path below the connection's address"


@pytest.mark.parametrize("endpoint", ["../x", "a/../../x", "a/..", "a/%2e%2E/x", "a/.%2e?x", "a\\b", "a#b"])
def test_a_path_that_leads_out_of_the_address_is_refused(endpoint: str) -> None:
    (problem,) = problems_of(with_step(endpoint=endpoint))
    assert "no path below the connection's address" in problem


@pytest.mark.parametrize(
    "endpoint", ["a/b..c", "a?x=https://b", "{{ model_id }}", "a?filter[x][$eq]={{ model_id }}", "..a", "a:b/c"]
)
def test_a_path_below_the_address_is_accepted(endpoint: str) -> None:
    found = problems_of(with_step(endpoint=endpoint))
    assert found == ([] if endpoint != "a:b/c" else found[:1])


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"endpoint": None}, "steps[1].endpoint: is missing"), ({"endpoint": ["x"]}, "steps[1].endpoint: give a text"),
        ({"endpoint": "a b"}, "steps[1].endpoint: has a space"), ({"method": "TRACE"}, "steps[1].method: give one of"),
        ({"method": "GET"}, "steps[1].method: GET has no body"), ({"method": None}, "steps[1].method: give one of"),
        ({"bdy": 1}, "steps[1].bdy: is unknown; the keys are anonymous"),
        ({"name": "Read"}, "steps[1].name: give a name"), ({"name": "link"}, "steps[1].name: give a name"),
        ({"name": "not"}, "steps[1].name: give a name"), ({"name": 5}, "steps[1].name: give a name"),
        ({"form": {}}, "steps[1]: has both json and form"), ({"headers": {"Host": "x"}}, "steps[1].headers: names a header"),
        ({"headers": {"a b": "x"}}, "steps[1].headers: names a header"), ({"headers": {"X": None}}, "steps[1].headers.X: give"),
        ({"headers": ["x"]}, "steps[1].headers: give a mapping"), ({"expected_statuses": []}, "steps[1].expected_statuses"),
        ({"expected_statuses": [500]}, "steps[1].expected_statuses: give statuses"), ({"expected_statuses": True}, "steps[1].exp"),
        ({"expected_statuses": "200"}, "steps[1].expected_statuses"), ({"keep": 5}, "steps[1].keep: give a path"),
        ({"keep": ["a..b"]}, "steps[1].keep: has an empty part"), ({"keep": [""]}, "steps[1].keep: has an empty part"),
        ({"keep": {"a": {"path": "x", "header": "y"}}}, "steps[1].keep.a: give a path in the answer, or a header"),
        ({"keep": {"a": {}}}, "steps[1].keep.a: give a path"), ({"keep": {"A b": "x"}}, "steps[1].keep: give each value a name"),
        ({"keep": {"a": {"path": "x", "default": []}}}, "steps[1].keep.a.default: give a text"),
        ({"keep": ["a", "a.b"]}, "steps[1].keep: a.b stands below a"), ({"keep": ["a", "a"]}, "steps[1].keep: a stands below a"),
        ({"keep": [f"k{n}" for n in range(21)]}, "steps[1].keep: names more than 20"),
        ({"anonymous": "yes"}, "steps[1].anonymous: give true or false"), ({"answer": "xml"}, "steps[1].answer: give json"),
        ({"answer": "text", "expected_answer": {"a": 1}}, "steps[1].answer: is text"),
        ({"answer": "text", "keep": "a.b"}, "steps[1].answer: is text"),
        ({"conflict": {"status": 1}}, "steps[1].conflict.status: is unknown"), ({"conflict": "x"}, "steps[1].conflict: give statuses"),
        ({"conflict": {"answer": {"a": {}}}}, "steps[1].conflict.answer.a: give a value"),
        ({"expected_answer": {"a..b": 1}}, "steps[1].expected_answer.a..b: has an empty part"),
        ({"when": "{% if %}"}, "steps[1].when: is no template"), ({"json": {"u": "{link}"}}, "steps[1].json.u: {link} is not filled in here"),
        ({"json": {"u": {1: "x"}}}, "steps[1].json.u: give a mapping"), ({"json": {"u": {1, 2}}}, "steps[1].json.u: a set is no JSON"),
        ({"json": [0] * 2001}, "steps[1].json[1999]: has more than 2000 values"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(changed: dict[str, Any], expected: str) -> None:
    found = problems_of(with_step(**changed))
    assert any(problem.startswith(expected) for problem in found), found


def test_aliases_that_make_a_billion_values_are_refused_at_once() -> None:
    bomb: Any = ["x"]
    for _ in range(30):
        bomb = [bomb, bomb]
    found = problems_of(with_step(json=bomb))
    assert len(found) == 1
    assert "has more than 2000 values, or more than 20 levels" in found[0]


def test_a_step_is_read() -> None:
    step = written(
        method="patch",
        expected_statuses=[200, 404],
        keep={"etag": {"header": "ETag", "default": ""}, "rev": "data.0._rev", "odd": {"path": ["@odata.etag"]}},
        conflict={"statuses": 423, "answer": {"error.code": ["a", "b"]}},
        expected_answer={"edit.result": "Success"},
        headers={"If-Match": "{{ read.sys.version }}"},
    )
    assert (step.method, step.body_kind, step.expected) == ("PATCH", BodyKind.JSON, frozenset({200, 404}))
    assert step.keep == (
        Keep(("etag",), header="ETag", default=""),
        Keep(("rev",), ("data", 0, "_rev")),
        Keep(("odd",), ("@odata.etag",)),
    )
    assert step.conflict_statuses == {409, 412, 423}
    assert step.conflicts == (Expectation(("error", "code"), ("a", "b")),)
    assert step.required == (Expectation(("edit", "result"), ("Success",)),)
    assert step.writes


def test_conflicts_are_statuses_or_values() -> None:
    assert written(conflict=[423]).conflict_statuses == {409, 412, 423}
    assert written().conflict_statuses == {409, 412}
