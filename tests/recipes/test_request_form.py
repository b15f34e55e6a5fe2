"""A single request of ``kind: http`` is checked before a link is minted for it."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from pme_airflow.recipes.fields import Fields
from pme_airflow.recipes.request_form import check_request

GOOD: dict[str, Any] = {"endpoint": "spaces/{model_id}", "json": {"url": "{link}"}}
GROUP: dict[str, Any] = {"group": True, "endpoint": "pages/{audience}", "json": ["{audience}", "{spaces}"]}


def problems(options: dict[str, Any]) -> list[str]:
    fields = Fields()
    check_request(options, fields)
    return [f"{key}: {problem}" for key, problem in fields.problems]


@pytest.mark.parametrize(
    "options",
    [
        GOOD,
        {**GOOD, "json": {"a": [1, None, True, 0.5, ("{access_token}",)]}},
        {**GOOD, "json": {}, "headers": {"X-Link": "{link}"}},
        {**GOOD, "json": None, "endpoint": "x?t={access_token}"},
        {**GOOD, "json": {"url": "{link}", "text": "{{ title }} and {other}"}},
        {**GOOD, "method": "put", "timeout": 0.5, "expected_statuses": 201, "read_endpoint": None, "headers": None},
        {**GOOD, "expected_statuses": [200, 204], "clear_json": {"id": "{model_id} {audience}"}},
        {"endpoint": "x"},
        GROUP,
        {**GROUP, "each": "{name}: {access_token}"},
    ],
)
def test_a_request_that_can_be_sent(options: dict[str, Any]) -> None:
    assert problems(options) == []


NO_LINK = "has no {link} or {access_token} in it"


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"json": {"url": "{url}"}}, f"json: {NO_LINK}, or in endpoint or headers, so that no link would be shown"),
        ({"json": {"url": "{link_id}"}, "read_endpoint": "{link}"}, f"json: {NO_LINK}"),
        ({"json": {"url": "{{ link }}"}}, "json.url: {{ link }} is not filled in without steps; write {link}"),
        ({"endpoint": "x/{{model_id}}"}, "endpoint: {{ model_id }} is not filled in"),
        ({"headers": {"X": "{{ link | upper }}"}}, "headers.X: {{ link }} is not filled in"),
        ({"endpoint": None}, "endpoint: a NoneType is no text; put it in quotes"),
        ({"endpoint": 5}, "endpoint: a int is no text"),
        ({"read_endpoint": ["x"]}, "read_endpoint: a list is no text"),
        ({"method": "GET"}, "method: give one of POST, PUT, PATCH, DELETE"),
        ({"method": None}, "method: give one of"),
        ({"headers": {"Notion-Version": date(2022, 6, 28)}}, "headers.Notion-Version: a date is no text; put it in quotes"),
        ({"headers": {1: "x"}}, "headers: give a mapping with texts as its keys"),
        ({"headers": ["X: y"]}, "headers: give a mapping with texts as its keys"),
        ({"headers": {"X\nY": "x"}}, "headers: names a header that is none, or that cannot be set"),
        ({"headers": {"Host": "x"}}, "headers: names a header that is none, or that cannot be set"),
        ({"expected_statuses": "200"}, "expected_statuses: give statuses from 200 to 499"),
        ({"expected_statuses": [True]}, "expected_statuses: give statuses from 200 to 499"),
        ({"timeout": "30s"}, "timeout: give seconds as a number, over 0 and at most 3600"),
        ({"timeout": 0}, "timeout: give seconds"),
        ({"timeout": True}, "timeout: give seconds"),
        ({"timeout": float("nan")}, "timeout: give seconds"),
        ({"timeout": None}, "timeout: give seconds"),
        ({"json": {"url": "{link}", "on": date(2022, 6, 28)}}, "json.on: a date is no JSON; put it in quotes"),
        ({"json": {"url": "{link}", True: 1}}, "json: give a mapping with texts as its keys"),
        ({"clear_json": {"url": "{link}"}}, "clear_json: {link} is not filled in there; name {model_id} and {audience} alone"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(changed: dict[str, Any], problem: str) -> None:
    (found,) = problems({**GOOD, **changed})
    assert found.startswith(problem)


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"each": {"name": "{name}"}}, f"each: {NO_LINK}, so that no link would be shown"),
        ({"endpoint": "x/{model_id}"}, "endpoint: names one model"),
        ({"json": {"url": "{link}", "all": "{spaces}"}}, "json: names one model"),
        ({"headers": {"X": "{link}"}}, "headers: names one model"),
        ({"json": {"all": "{spaces} "}}, "json: has no text {spaces}, in whose place the list of spaces is sent"),
    ],
)
def test_what_is_wrong_with_a_list_is_named(changed: dict[str, Any], problem: str) -> None:
    (found,) = problems({**GROUP, **changed})
    assert found.startswith(problem)


def test_a_body_of_aliases_is_not_read_to_its_end() -> None:
    body: Any = ["{link}"] * 10
    for _ in range(15):
        body = [body] * 10
    assert [found.partition(":")[0].partition("[")[0] for found in problems({**GOOD, "json": body})] == ["json"]
