"""Clients for Slack connections: their address is checked, and they neither log links nor post twice."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

import pytest

from pme_airflow.errors import PMEInputError
from pme_airflow.hooks.slack import slack_client
from pme_airflow.targets.slack_client import RateLimitHandler

Define = Callable[..., None]


@pytest.fixture
def define(monkeypatch: pytest.MonkeyPatch) -> Define:
    """Define the connection ``chat``."""
    fields = {"conn_type": "slack", "password": "xoxb-test"}
    return lambda **extra: monkeypatch.setenv("AIRFLOW_CONN_CHAT", json.dumps({**fields, "extra": extra}))


@pytest.mark.parametrize(
    "extra",
    [
        {},
        {"base_url": "https://slack.example/api/"},
        {"base_url": "http://127.0.0.1:8080/api/"},
        {"base_url": "http://slack.internal/api/", "allow_http": True},
        {"extra__slack__base_url": "https://slack.example/api/"},
    ],
)
def test_address_is_accepted(define: Define, extra: dict[str, Any]) -> None:
    define(**extra)
    client = slack_client("chat")
    assert client.base_url == (next((v for k, v in extra.items() if "base_url" in k), "https://slack.com/api/"))
    assert client.token == "xoxb-test"


@pytest.mark.parametrize(
    "extra",
    [
        {"base_url": "http://slack.example/api/"},
        {"extra__slack__base_url": "http://slack.example/api/"},
        {"base_url": "http://127.0.0.1.evil.example/api/"},
        {"base_url": "file:///etc/passwd"},
        {"base_url": "https://a:b@slack.example/api/"},
        {"base_url": "http://slack.example/api/", "allow_http": "false"},
    ],
)
def test_address_that_would_send_links_in_clear_is_refused(define: Define, extra: dict[str, Any]) -> None:
    define(**extra)
    with pytest.raises(PMEInputError, match="connection chat, base_url in Extra"):
        slack_client("chat")


def test_client_waits_for_rate_limits_and_repeats_nothing_else(define: Define) -> None:
    define()
    (handler,) = slack_client("chat").retry_handlers
    assert type(handler) is RateLimitHandler
    assert handler.max_retry_count == 3


def test_client_logs_only_what_is_critical(define: Define) -> None:
    define()
    assert slack_client("chat").logger.getEffectiveLevel() == logging.CRITICAL
