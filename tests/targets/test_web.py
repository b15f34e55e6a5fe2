"""Requests to a target's web API: no redirects, retries of what can be repeated, errors without secrets."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import requests

from pme_airflow.errors import SlotError, TargetUnavailableError
from pme_airflow.targets import web
from pme_airflow.targets.host_limits import host_limiter
from pme_airflow.targets.web import WebApi, WebRefusal
from tests.support.web import Received, Reply, WebServer, serving_web
from tests.targets.conftest import SkippingClock


@pytest.fixture
def server() -> Iterator[WebServer]:
    with serving_web() as serving:
        yield serving


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses between tries, which the test does not wait for."""
    pauses: list[float] = []
    monkeypatch.setattr(web.time, "sleep", pauses.append)
    return pauses


def api(server: WebServer, timeout: float = 5.0) -> WebApi:
    session = requests.Session()
    session.auth = ("bot", "secret")
    return WebApi(session, f"{server.address}/base/", timeout)


def accept(response: requests.Response) -> SlotError | None:
    return None


def refuse(response: requests.Response) -> SlotError | None:
    return None if response.ok else WebRefusal("refused by the test", response.status_code)


@pytest.mark.parametrize("method", ["GET", "PUT", "POST", "PATCH", "DELETE"])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirect_is_refused_and_the_other_host_sees_no_request(server: WebServer, method: str, status: int) -> None:
    with serving_web() as elsewhere:
        server.reply = lambda request: Reply(status, b"", {"Location": f"{elsewhere.address}/stolen"})
        with pytest.raises(WebRefusal, match="redirect") as failure:
            api(server).request(method, "spaces/1", accept, body={"url": "https://my.matterport.com/show?auth=x"})
        assert (failure.value.status, failure.value.permanent) == (status, True)
        assert (server.methods, elsewhere.received) == ([method], [])


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE"])
def test_repeatable_request_is_tried_four_times(server: WebServer, method: str, slept: list[float]) -> None:
    server.reply = lambda request: Reply(502, b"")
    with pytest.raises(WebRefusal, match="HTTP 502") as failure:
        api(server).request(method, "spaces/1", accept)
    assert not failure.value.permanent
    assert server.methods == [method] * 4
    assert len(slept) == 3
    assert all(pause <= 2 for pause in slept)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_write_is_sent_once(server: WebServer, method: str, slept: list[float]) -> None:
    server.reply = lambda request: Reply(503, b"", {"Retry-After": "7"})
    with pytest.raises(WebRefusal) as failure:
        api(server).request(method, "spaces/1", accept, body={})
    assert (failure.value.retry_after, failure.value.permanent) == (7.0, False)
    assert (server.methods, slept) == ([method], [])


@pytest.mark.parametrize("status", [408, 425, 429, 500, 503])
def test_temporary_status_is_retried_until_it_ends(server: WebServer, status: int, slept: list[float]) -> None:
    server.reply = lambda request: Reply(status, b"") if len(server.received) < 3 else Reply(200, b'{"ok": 1}')
    assert api(server).request("GET", "x", accept).json() == {"ok": 1}
    assert len(server.received) == 3


@pytest.mark.parametrize(
    ("status", "unavailable"), [(502, True), (503, True), (504, True), (408, False), (429, False), (500, False)]
)
def test_a_site_that_says_it_is_out_of_service_is_unavailable(
    server: WebServer, status: int, unavailable: bool
) -> None:
    server.reply = lambda request: Reply(status, b"")
    with pytest.raises(WebRefusal) as failure:
        api(server).request("PUT", "x", accept, body={})
    assert isinstance(failure.value, TargetUnavailableError) is unavailable
    assert (failure.value.status, failure.value.permanent) == (status, False)


@pytest.mark.parametrize(("retry_after", "pause"), [("5", 5.0), ("30", 30.0), ("31", 30.0), ("86400", 30.0)])
def test_retry_after_is_respected_up_to_30_seconds(
    server: WebServer, slept: list[float], retry_after: str, pause: float
) -> None:
    server.reply = lambda request: Reply(429, b"", {"Retry-After": retry_after})
    with pytest.raises(WebRefusal):
        api(server).request("GET", "x", accept)
    assert slept == [pause] * 3


def test_permanent_status_is_not_retried(server: WebServer, slept: list[float]) -> None:
    server.reply = lambda request: Reply(404)
    with pytest.raises(WebRefusal, match="refused by the test"):
        api(server).request("GET", "x", refuse)
    assert len(server.received) == 1


def test_timeout_is_not_retried_at_once(server: WebServer, slept: list[float]) -> None:
    released = threading.Event()

    def late(request: Received) -> Reply:
        released.wait(10)
        return Reply()

    server.reply = late
    with pytest.raises(TargetUnavailableError, match=r"no response within 0\.2 s") as failure:
        api(server, timeout=0.2).request("GET", "x", accept)
    released.set()
    assert not failure.value.permanent
    assert (len(server.received), slept) == (1, [])


def test_broken_connection_is_temporary_and_names_neither_query_nor_host(slept: list[float]) -> None:
    closed = WebApi(requests.Session(), "http://127.0.0.1:9", 5)
    with pytest.raises(TargetUnavailableError) as failure:
        closed.request("GET", "x", accept, params={"auth": "topsecret"})
    assert not failure.value.permanent
    assert str(failure.value) == "the connection failed (ConnectionError)"
    assert failure.value.__cause__ is None
    assert failure.value.__context__ is None  # requests' own error has the whole address


@pytest.mark.parametrize(
    "reply",
    [
        Reply(200, b"<p>Log in</p>", {"Content-Type": "text/html; charset=utf-8"}),
        Reply(200, b"  <!DOCTYPE html><p>Log in</p>", {"Content-Type": "application/json"}),
        Reply(201, b"<HTML>", {}),
    ],
)
def test_html_in_place_of_json_is_a_permanent_error(server: WebServer, reply: Reply) -> None:
    server.reply = lambda request: reply
    with pytest.raises(WebRefusal, match="login page") as failure:
        api(server).request("PATCH", "x", accept, body={})
    assert failure.value.permanent


def test_empty_success_is_no_html(server: WebServer) -> None:
    server.reply = lambda request: Reply(204, b"", {"Content-Type": "text/html"})
    assert api(server).request("PATCH", "x", accept, body={}).status_code == 204


def test_html_of_an_error_is_left_to_the_check(server: WebServer) -> None:
    server.reply = lambda request: Reply(404, b"<html>", {"Content-Type": "text/html"})
    with pytest.raises(WebRefusal, match="refused by the test"):
        api(server).request("GET", "x", refuse)


def test_credentials_are_sent_unless_the_request_is_anonymous(server: WebServer) -> None:
    api(server).request("GET", "/x", accept, params={"a": "b"}, headers={"X-Extra": "1"})
    api(server).request("GET", "x", accept, anonymous=True)
    known, visitor = server.received
    assert (known.path, known.headers["X-Extra"]) == ("/base/x?a=b", "1")
    assert known.headers["Authorization"].startswith("Basic ")
    assert "Authorization" not in visitor.headers


def test_anonymous_request_drops_a_token_among_the_sessions_headers(server: WebServer) -> None:
    session = requests.Session()
    session.headers["Authorization"] = "Bearer secret"
    WebApi(session, server.address, 5).request("GET", "x", accept, anonymous=True)
    assert "Authorization" not in server.received[0].headers


def test_body_is_sent_as_json(server: WebServer) -> None:
    api(server).request("PUT", "x", accept, body={"url": "ü"})
    (request,) = server.received
    assert isinstance(request, Received)
    assert request.body == b'{"url": "\\u00fc"}'
    assert request.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize("location", ["http://[", "http://a:99999/", "https://xn--\u00e9/", "\u00e9", "http://%", "//"])
def test_redirect_to_what_is_no_address_is_refused_like_any_other(server: WebServer, location: str) -> None:
    server.reply = lambda request: Reply(302, b"", {"Location": location})
    with pytest.raises(WebRefusal, match="HTTP 302, a redirect"):
        api(server).request("POST", "spaces/1", accept, body={})


def test_retry_after_of_one_request_keeps_all_requests_to_the_host_waiting(
    server: WebServer, slept: list[float], host_clock: SkippingClock
) -> None:
    server.reply = lambda request: Reply(429, b"", {"Retry-After": "12"})
    first, second = api(server), api(server)
    with pytest.raises(WebRefusal):
        first.request("PATCH", "x/1", accept, body={})
    server.reply = lambda request: Reply()
    second.request("PATCH", "x/2", accept, body={})
    assert host_clock.skipped == pytest.approx(12, abs=0.5)


def test_a_host_that_refuses_requests_gets_fewer_at_once(server: WebServer, slept: list[float]) -> None:
    wide = WebApi(requests.Session(), server.address, 5, 8)
    server.reply = lambda request: Reply(429, b"") if request.path.endswith("/refused") else Reply()
    with pytest.raises(WebRefusal):
        wide.request("POST", "refused", accept, body={})
    assert host_limiter(server.address, 8).at_once == 4
