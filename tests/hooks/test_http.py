"""Addresses of HTTP connections: https, unless the host is this machine or the connection accepts plain http."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from pme_airflow.errors import PMEInputError
from pme_airflow.hooks.http import http_session
from tests.support.web import serving_web

Define = Callable[..., None]


@pytest.fixture
def define(monkeypatch: pytest.MonkeyPatch) -> Define:
    """Define the connection ``cms``."""
    return lambda **fields: monkeypatch.setenv("AIRFLOW_CONN_CMS", json.dumps({"conn_type": "http", **fields}))


@pytest.mark.parametrize(
    ("fields", "base_url"),
    [
        ({"host": "cms.example.com"}, "https://cms.example.com"),
        ({"host": "cms.example.com/api/"}, "https://cms.example.com/api"),
        ({"host": "cms.example.com", "port": 8443}, "https://cms.example.com:8443"),
        ({"host": "cms.example.com/api", "port": 8443}, "https://cms.example.com:8443/api"),
        ({"host": "cms.example.com", "port": 443}, "https://cms.example.com"),
        ({"host": "cms.example.com:8443", "port": 8443}, "https://cms.example.com:8443"),
        ({"host": "cms.example.com", "schema": "https"}, "https://cms.example.com"),
        ({"host": "https://CMS.example.com"}, "https://cms.example.com"),
        ({"host": " https://cms.example.com "}, "https://cms.example.com"),
        ({"host": "127.0.0.1", "port": 8080}, "http://127.0.0.1:8080"),
        ({"host": "localhost:8080"}, "http://localhost:8080"),
        ({"host": "http://[::1]:8080"}, "http://[::1]:8080"),
        ({"host": "127.0.0.1", "schema": "https"}, "https://127.0.0.1"),
        ({"host": "cms.internal", "extra": {"allow_http": True}}, "http://cms.internal"),
        ({"host": "cms.internal", "schema": "https", "extra": {"allow_http": True}}, "https://cms.internal"),
        ({"host": "http://cms.internal", "extra": {"allow_http": "true"}}, "http://cms.internal"),
        ({"host": "cms.internal", "schema": "http", "port": 80, "extra": {"allow_http": True}}, "http://cms.internal"),
    ],
)
def test_address_is_https_unless_plain_http_is_safe_or_accepted(
    define: Define, fields: dict[str, Any], base_url: str
) -> None:
    define(**fields)
    assert http_session("cms")[1] == base_url


@pytest.mark.parametrize(
    "fields",
    [
        {"host": "http://cms.example.com"},
        {"host": "cms.example.com", "schema": "http"},
        {"host": "http://127.0.0.1.evil.example"},
        {"host": "http://127.evil.example"},
        {"host": "http://localhost.evil.example"},
        {"host": "http://2130706433"},
        {"host": "http://127.1"},
        {"host": "http://10.0.0.1"},
        {"host": "http://cms.example.com", "extra": {"allow_http": False}},
        {"host": "http://cms.example.com", "extra": {"allow_http": "false"}},
        {"host": "http://127.0.0.1:80\\@cms.example.com"},
        {"host": "http://127.0.0.1@cms.example.com"},
        {"host": "ftp://cms.example.com"},
        {"host": "javascript://cms.example.com"},
        {"host": "https://user:password@cms.example.com"},
        {"host": "https://cms.example.com?token=1"},
        {"host": ""},
        {},
        {"host": "cms.example.com:1", "port": 2},
        {"host": "http://cms.example.com", "extra": {"allow_http": "perhaps"}},
        {"host": "http://cms.example.com", "extra": {"allow_http": 1}},
    ],
)
def test_address_that_is_unsafe_or_no_base_is_refused(define: Define, fields: dict[str, Any]) -> None:
    define(**fields)
    with pytest.raises(PMEInputError, match="connection cms, "):
        http_session("cms")


def test_refusal_names_how_to_accept_plain_http(define: Define) -> None:
    define(host="http://cms.example.com")
    with pytest.raises(PMEInputError, match=r'Use https://cms\.example\.com\. .*\{"allow_http": true\} into Extra'):
        http_session("cms")


@pytest.mark.parametrize("host", ["ftp://cms.example.com", "https://a:b@cms.example.com"])
def test_refusal_for_another_reason_does_not(define: Define, host: str) -> None:
    define(host=host)
    with pytest.raises(PMEInputError) as failure:
        http_session("cms")
    assert "allow_http" not in str(failure.value)
    assert "a:b" not in str(failure.value)


def test_acceptance_is_not_sent_as_a_header(define: Define) -> None:
    with serving_web() as server:
        define(host=server.address, extra={"allow_http": True, "X-Team": "a"}, login="bot", password="secret")
        session, base_url = http_session("cms")
        session.get(base_url)
        (request,) = server.received
        assert "allow_http" not in {name.lower() for name in request.headers}
        assert request.headers["X-Team"] == "a"
        assert request.headers["Authorization"].startswith("Basic ")


@pytest.mark.parametrize(
    ("given", "verify"),
    [("false", False), ("False", False), (" true", True), (False, False), (True, True), ("/etc/ca.pem", "/etc/ca.pem")],
)
def test_verify_may_be_text_as_the_uri_of_a_connection_has_it(define: Define, given: Any, verify: Any) -> None:
    define(host="cms.example.com", extra={"verify": given})
    assert http_session("cms")[0].verify == verify
