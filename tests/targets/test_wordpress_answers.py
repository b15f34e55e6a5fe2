"""What a WordPress site answers is read, whatever its plugins print around it."""

from __future__ import annotations

import pytest

from pme_airflow.targets.wordpress_answers import code_of, json_of
from tests.support.fake_wordpress import response
from tests.support.links import TOKEN_A


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ('{"a": 1}', {"a": 1}),
        ("\ufeff[1]", [1]),
        ('<b>Notice</b>: [x] in {y}\n{"a": {"b": [1, 2]}}', {"a": {"b": [1, 2]}}),
        ('{"a": 1}<!-- cached -->', {"a": 1}),
        ('{"a": {"b": 1}}\n{"c": 1}', {"a": {"b": 1}}),
        ('{"a": 1}\n{"b": 1}', {"b": 1}),
        ("<html></html>", None),
        ("", None),
    ],
)
def test_json_is_found(body: str, found: object) -> None:
    assert json_of(response(200, body)) == found


@pytest.mark.parametrize("body", ['{"code": 5}', '{"code": "a b"}', "[]", "<html>", '{"message": "x"}'])
def test_what_is_no_error_of_wordpress_has_no_code(body: str) -> None:
    assert code_of(response(403, body)) == ""


def test_a_code_holds_no_token() -> None:
    assert code_of(response(404, '{"code": "rest_no_route"}')) == "rest_no_route"
    assert TOKEN_A not in code_of(response(403, f'{{"code": "{TOKEN_A}"}}'))
