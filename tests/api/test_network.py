"""Sending a client's requests: the limiter's turn, what it learns, and the server's time."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest

from pme_airflow.api.limiter import Limiter
from pme_airflow.api.network import Network
from pme_airflow.api.outcomes import Exchange, HttpResponse, NoResponse
from pme_airflow.secrets import SecretStr
from tests.support.clocks import FakeClock

NOON = {"Date": "Fri, 01 May 2026 12:00:00 GMT"}


class ScriptedTransport:
    """Gives one exchange, or raises it, however it is called."""

    host = "https://api.example.test"

    def __init__(self, exchange: Exchange | BaseException) -> None:
        self.exchange = exchange
        self.is_closed = False

    def post_form(self, *_: Any) -> Exchange:
        if isinstance(self.exchange, BaseException):
            raise self.exchange
        return self.exchange

    post_json = get = post_form

    def close(self) -> None:
        self.is_closed = True


class RecordingLimiter(Limiter):
    def __init__(self, clock: FakeClock) -> None:
        super().__init__(1, 1, clock)
        self.results: list[tuple[int | None, float | None, object]] = []

    def ended(self, started: float, status: int | None, retry_after: float | None = None, kind: object = None) -> None:
        self.results.append((status, retry_after, kind))
        super().ended(started, status, retry_after, kind)


def network(exchange: Exchange | BaseException) -> tuple[Network, RecordingLimiter]:
    clock = FakeClock()
    limiter = RecordingLimiter(clock)
    return Network(ScriptedTransport(exchange), limiter, clock), limiter  # type: ignore[arg-type]


def test_the_limiter_learns_the_status_and_retry_after_of_each_request() -> None:
    sent, limiter = network(HttpResponse(429, {"Retry-After": "3"}, b""))
    sent.post_form("/token", SecretStr(""))
    sent.post_json("/graph", SecretStr(""), SecretStr(""), kind="mint")
    assert limiter.results == [(429, 3.0, "/token"), (429, 3.0, "mint")]


def test_a_request_without_a_response_frees_its_place() -> None:
    for failure in (NoResponse(True, "x"), MemoryError("x")):
        sent, limiter = network(failure)
        for _ in range(3):
            if isinstance(failure, BaseException):
                with pytest.raises(MemoryError):
                    sent.post_form("/token", SecretStr(""))
            else:
                assert sent.post_form("/token", SecretStr("")) is failure
        assert limiter.results == [(None, None, "/token")] * 3


def test_the_servers_time_is_taken_from_every_response_of_the_api_and_of_no_other_host() -> None:
    for send in ("post_form", "post_json", "get"):
        sent, _ = network(HttpResponse(200, NOON, b""))
        arguments: dict[str, tuple[Any, ...]] = {
            "post_form": ("/", SecretStr("")),
            "post_json": ("/", SecretStr(""), SecretStr(""), None),
            "get": (SecretStr("https://x"),),
        }
        assert not sent.server_clock.known
        getattr(sent, send)(*arguments[send])
        assert sent.server_clock.known is (send != "get"), send
        assert sent.server_clock.now() == datetime(2026, 5, 1, 12, tzinfo=timezone.utc)


def test_a_link_is_requested_outside_of_the_limits() -> None:
    sent, limiter = network(HttpResponse(200, {}, b""))
    sent.get(SecretStr("https://x"))
    assert limiter.results == []


def test_headers_about_rate_limits_are_kept_until_others_come() -> None:
    transport = ScriptedTransport(
        HttpResponse(200, {"RateLimit": "limit=5", "X-RateLimit-Reset": "17", "Server": "9"}, b"")
    )
    clock = FakeClock()
    sent = Network(transport, Limiter(1, 1, clock), clock)  # type: ignore[arg-type]
    assert sent.rate_limit_headers == {}
    sent.post_form("/token", SecretStr(""))
    assert sent.rate_limit_headers == {"RateLimit": "limit=5", "X-RateLimit-Reset": "17"}
    for headers in ({}, {"RateLimit": "x" * 81}, {"X-RateLimit-Reset": "<b>"}):
        transport.exchange = HttpResponse(200, headers, b"")
        sent.post_form("/token", SecretStr(""))
        assert len(sent.rate_limit_headers) == 2
    transport.exchange = HttpResponse(429, {"Retry-After": "3"}, b"")
    sent.post_form("/token", SecretStr(""))
    assert sent.rate_limit_headers == {"Retry-After": "3"}


def test_the_connections_are_closed() -> None:
    transport = ScriptedTransport(NoResponse(True, "x"))
    clock = FakeClock()
    Network(transport, Limiter(1, 1, clock), clock).close()  # type: ignore[arg-type]
    assert transport.is_closed
