"""What responses say of a token."""

from __future__ import annotations

import json
from typing import Any

import pytest
from graphql import parse

from pme_airflow.api.outcomes import Exchange, HttpResponse, NoResponse
from pme_airflow.api.token_probe import (
    Liveness,
    ProbeMethod,
    distinguishing,
    judge_page,
    judge_query,
    probe_fact,
    probe_query,
)


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
        (response(200, {"errors": [{"httpStatus": 404}, {"httpStatus": 500}]}), Liveness.UNKNOWN),
        (response(499, {"errors": [{"httpStatus": 404}]}), Liveness.DEAD),
        (response(500, {"errors": [{"httpStatus": 404}]}), Liveness.UNKNOWN),
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
    [(response(403), Liveness.DEAD), (response(410), Liveness.DEAD), (response(402), Liveness.UNKNOWN),
     (response(409), Liveness.UNKNOWN), (response(411), Liveness.UNKNOWN), (response(200), Liveness.ALIVE), (response(401), Liveness.DEAD), (response(404), Liveness.DEAD),
     (response(302), Liveness.UNKNOWN), (response(503), Liveness.UNKNOWN), (NoResponse(False, "x"), Liveness.UNKNOWN)],
)  # fmt: skip
def test_a_page_is_judged(exchange: Exchange, expected: Liveness) -> None:
    assert judge_page(exchange) is expected


def test_the_query_is_one_of_graphql() -> None:
    assert parse(probe_query('a"b'))


ALIVE, DEAD, UNKNOWN = Liveness.ALIVE, Liveness.DEAD, Liveness.UNKNOWN


@pytest.mark.parametrize(
    ("live", "dead", "expected"),
    [
        ((ALIVE, ALIVE), (DEAD, DEAD), ProbeMethod.QUERY),
        ((ALIVE, ALIVE), (ALIVE, DEAD), ProbeMethod.PAGE),
        ((DEAD, UNKNOWN), (DEAD, DEAD), None),
        ((ALIVE, UNKNOWN), (UNKNOWN, DEAD), None),
    ],
)
def test_the_way_that_told_a_live_token_from_a_dead_one_is_believed(
    live: tuple[Liveness, ...], dead: tuple[Liveness, ...], expected: ProbeMethod | None
) -> None:
    found = distinguishing(dict(zip(ProbeMethod, live, strict=True)), dict(zip(ProbeMethod, dead, strict=True)))
    assert found is expected


def test_the_way_is_remembered_by_its_name() -> None:
    assert probe_fact(ProbeMethod.PAGE) == {"token_probe": "page"}
    assert probe_fact(None) == {"token_probe": "none"}
