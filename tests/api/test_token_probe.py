"""What responses say of a token."""

from __future__ import annotations

import json
from typing import Any

import pytest
from graphql import parse

from pme_airflow.api.outcomes import Exchange, HttpResponse, NoResponse
from pme_airflow.api.token_probe import Liveness, judge_page, judge_query, probe_query


def response(status: int, body: Any = None) -> HttpResponse:
    return HttpResponse(status, {}, b"<html>" if body is None else json.dumps(body).encode())


@pytest.mark.parametrize(
    ("exchange", "expected"),
    [
        (response(200, {"data": {"model": {"id": "x"}}}), Liveness.ALIVE),
        (response(200, {"data": {"model": {}}, "errors": [{"path": ["model", "id"], "httpStatus": 500}]}), Liveness.ALIVE),
        (response(401), Liveness.DEAD),
        (response(403, {}), Liveness.DEAD),
        (response(400, {"error": "invalid_grant"}), Liveness.DEAD),
        (response(200, {"data": {"model": None}, "errors": [{"path": ["model"], "httpStatus": 404}]}), Liveness.DEAD),
        (response(200, {"data": {"model": None}, "errors": [{"path": ["model"], "httpStatus": 500}]}), Liveness.UNKNOWN),
        (response(200, {"data": {"model": None}}), Liveness.UNKNOWN),
        (response(400, {"errors": [{"message": "Cannot query field", "locations": []}]}), Liveness.UNKNOWN),
        (response(429), Liveness.UNKNOWN),
        (response(502), Liveness.UNKNOWN),
        (NoResponse(True, "timeout"), Liveness.UNKNOWN),
    ],
)  # fmt: skip
def test_a_query_is_judged(exchange: Exchange, expected: Liveness) -> None:
    assert judge_query(exchange) is expected


@pytest.mark.parametrize(
    ("exchange", "expected"),
    [(response(200), Liveness.ALIVE), (response(401), Liveness.DEAD), (response(404), Liveness.DEAD),
     (response(302), Liveness.UNKNOWN), (response(503), Liveness.UNKNOWN), (NoResponse(False, "x"), Liveness.UNKNOWN)],
)  # fmt: skip
def test_a_page_is_judged(exchange: Exchange, expected: Liveness) -> None:
    assert judge_page(exchange) is expected


def test_the_query_is_one_of_graphql() -> None:
    assert parse(probe_query('a"b'))
