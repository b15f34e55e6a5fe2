"""Parsing GraphQL responses: partial bodies, the two places of an error's facts, and what an error means."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pme_airflow.api.graph_response import GraphError, parse_graph_response
from pme_airflow.api.outcomes import HttpResponse


def error_of(raw: dict[str, Any]) -> GraphError:
    graph = parse_graph_response(HttpResponse(200, {}, json.dumps({"errors": [raw]}).encode()))
    assert graph is not None
    return graph.errors[0]


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"null", b"17", b'"text"', b"\xff\xfe"])
def test_a_body_that_is_no_json_object_is_no_graph_response(body: bytes) -> None:
    assert parse_graph_response(HttpResponse(200, {}, body)) is None


@pytest.mark.parametrize("complete", [True, False])
def test_a_cut_body_is_read_up_to_the_cut_whatever_its_headers_say(complete: bool) -> None:
    body = b'{"data": {"a0": {"accessToken": "whole", "link": "https://my.matter'
    graph = parse_graph_response(HttpResponse(200, {}, body, complete))
    assert graph is not None
    assert graph.value("a0") == {"accessToken": "whole"}


@pytest.mark.parametrize("place", [lambda facts: facts, lambda facts: {"extensions": facts}])
def test_status_and_code_are_read_at_the_top_level_and_in_extensions(place: Any) -> None:
    error = error_of(place({"httpStatus": "404", "code": "model.inactive"}))
    assert (error.status, error.code) == (404, "model.inactive")


@pytest.mark.parametrize("status", [True, 99, 600, "4x4", "٤٠٤", None, [], 4.5, "40000", "00404"])
def test_what_is_no_http_status_is_left_out(status: object) -> None:
    assert error_of({"httpStatus": status}).status is None


@pytest.mark.parametrize("status", [100, "100", 599, "0599"])
def test_every_http_status_is_read(status: object) -> None:
    assert error_of({"httpStatus": status}).status == int(str(status))


def test_locations_that_are_no_numbers_are_left_out() -> None:
    places = [{"line": 1, "column": "x"}, {"line": None, "column": 1}, {"line": 2, "column": 3}, "x", {}]
    assert error_of({"locations": places}).locations == ((2, 3),)
    assert error_of({"locations": "x"}).locations == ()


@pytest.mark.parametrize(("length", "field"), [(500, "link"), (501, None)])
def test_the_first_five_hundred_characters_of_a_message_are_read(length: int, field: str | None) -> None:
    message = 'Cannot query field "link"'
    assert error_of({"message": " " * (length - len(message)) + message}).refused_field == field


@pytest.mark.parametrize(
    "code", ["secret token here", "a" * 5 + "!", 17, None, "x.y.z.a.b.c.d", "abc123", "a" * 25, "a." * 40]
)
def test_a_code_that_is_more_than_a_few_words_is_left_out_since_it_could_repeat_a_secret(code: object) -> None:
    assert error_of({"code": code}).code is None


@pytest.mark.parametrize(
    ("raw", "client", "throttling", "model"),
    [
        ({"httpStatus": 400}, True, False, False),
        ({"httpStatus": 403}, True, False, True),
        ({"httpStatus": 404}, True, False, True),
        ({"httpStatus": 410}, True, False, True),
        ({"httpStatus": 408}, False, True, False),
        ({"httpStatus": 425}, True, True, False),
        ({"httpStatus": 429}, True, True, False),
        ({"httpStatus": 399}, False, False, False),
        ({"httpStatus": 499}, True, False, False),
        ({"httpStatus": 500}, False, False, False),
        ({"httpStatus": 500, "code": "request.invalid"}, False, False, False),
        ({"code": "model.inactive"}, True, False, True),
        ({"code": "request.unsupported"}, True, False, False),
        ({"code": "NOT_FOUND"}, True, False, True),
        ({"code": "RATE_LIMITED"}, True, True, False),
        ({"code": "THROTTLED"}, True, True, False),
        ({"code": "INTERNAL"}, False, False, False),
        ({"code": "notFound"}, True, False, True),
        ({"code": "notfound"}, True, False, True),
        ({"code": "model.notAvailable"}, True, False, True),
        ({"code": "tooManyRequests"}, True, True, False),
        ({"code": "TOO_MANY_REQUESTS"}, True, True, False),
        ({"code": "rateLimitExceeded"}, True, True, False),
        ({"code": "quota.exceeded"}, True, True, False),
        ({"code": "BAD_USER_INPUT"}, True, False, False),
        ({"code": "forbidden"}, True, False, False),
        ({"code": "invalidArgument"}, True, False, False),
        ({"code": "request.timeout"}, False, False, False),
        ({"code": "request.failed"}, False, False, False),
        ({"code": "model.error"}, False, False, False),
        ({"code": "REQUEST_TIMED_OUT"}, False, False, False),
        ({"code": "model.serviceUnavailable"}, False, False, False),
        ({"code": "INTERNAL_SERVER_ERROR"}, False, False, False),
        ({"code": "moderate.failure"}, False, False, False),
        ({"code": "delimiter.missing"}, False, False, False),
        ({"code": "annotation.broken"}, False, False, False),
        ({"code": "badge.broken"}, False, False, False),
        ({"code": "remodel.failure"}, False, False, False),
        ({}, False, False, False),
    ],
)
def test_an_errors_status_decides_and_its_code_where_there_is_none(
    raw: dict[str, Any], client: bool, throttling: bool, model: bool
) -> None:
    error = error_of(raw)
    assert (error.is_client_error, error.is_throttling, error.is_about_model) == (client, throttling, model)


@pytest.mark.parametrize(
    ("raw", "validation"),
    [
        ({"extensions": {"code": "GRAPHQL_VALIDATION_FAILED"}}, True),
        ({"extensions": {"classification": "ValidationError"}}, True),
        ({"classification": "InvalidSyntax"}, True),
        ({"locations": [{"line": 1, "column": 1}]}, True),
        ({"locations": [{"line": 1, "column": 1}], "httpStatus": 422}, True),
        ({"locations": [{"line": 1, "column": 1}], "httpStatus": 399}, False),
        ({"locations": [{"line": 1, "column": 1}], "httpStatus": 400}, True),
        ({"locations": [{"line": 1, "column": 1}], "httpStatus": 499}, True),
        ({"locations": [{"line": 1, "column": 1}], "httpStatus": 500}, False),
        ({"locations": [{"line": 1, "column": 1}], "path": ["a0"]}, False),
        ({"locations": []}, False),
        ({"message": "x"}, False),
    ],
)
def test_an_error_before_execution_is_a_validation_error(raw: dict[str, Any], validation: bool) -> None:
    assert error_of(raw).validation is validation


def test_errors_belong_to_the_alias_that_their_path_begins_with() -> None:
    body = {"errors": [{"path": ["a0", "link"]}, {"path": ["a1"]}, {"path": []}, {"path": "a0"}, {}, 5]}
    graph = parse_graph_response(HttpResponse(200, {}, json.dumps(body).encode()))
    assert graph is not None
    assert [len(graph.errors_at(alias)) for alias in ("a0", "a1", "a2")] == [1, 1, 0]
    assert len(graph.errors) == 6


def test_a_value_anywhere_means_that_the_request_was_executed() -> None:
    def has_value(body: Any) -> bool:
        graph = parse_graph_response(HttpResponse(200, {}, json.dumps(body).encode()))
        assert graph is not None
        return graph.has_value

    assert has_value({"data": {"a0": None, "a1": False}})
    assert not has_value({"data": {"a0": None}})
    assert not has_value({"data": {}})
    assert not has_value({"data": None})
    assert not has_value({"data": [1]})


@pytest.mark.parametrize(
    ("raw", "summary"),
    [
        ({"httpStatus": 404}, "status 404"),
        ({"code": "not.found"}, "code not.found"),
        ({"httpStatus": 404, "code": "not.found"}, "status 404, code not.found"),
        ({}, "no status and no code"),
    ],
)
def test_an_error_is_summed_up_by_its_status_and_code(raw: dict[str, Any], summary: str) -> None:
    assert error_of(raw).summary == summary


def test_a_response_shows_no_text_of_the_server() -> None:
    body = {"data": {"a0": "hunter2"}, "errors": [{"path": ["hunter2"], "message": "hunter2"}], "error": "hunter2"}
    graph = parse_graph_response(HttpResponse(400, {}, json.dumps(body).encode()))
    assert graph is not None
    assert graph.oauth_error == "hunter2"
    assert "hunter2" not in repr(graph)


def test_an_errors_message_is_kept_nowhere() -> None:
    assert "hunter2" not in repr(error_of({"message": "bad secret hunter2", "extensions": {"detail": "hunter2"}}))
    assert error_of({"message": "Cannot query field 'deletePrivateModelAccessToken'"}).names_mutation
    assert not error_of({"message": "Cannot query field 'models'"}).names_mutation
