"""How a request to a web API is sent, which responses are errors, and how long the pauses between tries are."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import requests

from pme_airflow.errors import SlotError
from pme_airflow.targets import web
from pme_airflow.targets.bounded_http import MAX_BODY
from pme_airflow.targets.web import WebApi, WebRefusal


class Session(requests.Session):
    """A session that answers by itself.

    :ivar sent: the arguments of each request.
    """

    def __init__(self, answer: Callable[[], requests.Response]) -> None:
        super().__init__()
        self.sent: list[dict[str, Any]] = []
        self._answer = answer

    def request(self, method: str, url: str, **sent: Any) -> requests.Response:  # type: ignore[override]
        self.sent.append({"method": method, "url": url, **sent})
        return self._answer()


def response(status: int = 200, content: bytes = b"{}", **headers: str) -> requests.Response:
    made = requests.Response()
    made.status_code, made._content = status, content
    made.headers.update({name.replace("_", "-"): value for name, value in headers.items()})
    return made


def api(answer: Callable[[], requests.Response], timeout: float = 5.0) -> tuple[WebApi, Session]:
    session = Session(answer)
    return WebApi(session, "https://cms.example/base/", timeout), session


def accept(found: requests.Response) -> SlotError | None:
    return None


def problem(status: int, content: bytes = b"{}", *, allow_html: bool = False, **headers: str) -> SlotError | None:
    """The error of a response to a request that is sent once."""
    try:
        api(lambda: response(status, content, **headers))[0].request("PUT", "x", accept, allow_html=allow_html)
    except SlotError as error:
        return error
    return None


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses between tries, each the longest that may be drawn."""
    made: list[float] = []
    monkeypatch.setattr(web, "time", SimpleNamespace(sleep=made.append, monotonic=time.monotonic))
    monkeypatch.setattr(random, "uniform", lambda low, high: high)
    return made


def test_a_request_is_sent_as_it_is_asked_for() -> None:
    sender, session = api(response, timeout=7)
    assert sender.base_url == "https://cms.example/base"
    sender.request("PUT", "/x/1", accept, params={"a": "b"}, headers={"X-A": "1"}, body={"c": 1}, form={"d": "e"})
    assert session.sent == [
        {
            "method": "PUT", "url": "https://cms.example/base/x/1", "params": {"a": "b"}, "json": {"c": 1},
            "headers": {"Accept-Encoding": "gzip, deflate", "X-A": "1"}, "data": {"d": "e"}, "timeout": 7,
            "allow_redirects": False, "auth": None, "stream": True,
        }
    ]  # fmt: skip


def test_a_request_without_anything_is_sent_with_the_connections_credentials() -> None:
    sender, session = api(response)
    sender.request("GET", "x", accept)
    (sent,) = session.sent
    assert (sent["params"], sent["json"], sent["data"], sent["auth"]) == (None, None, None, None)
    assert sent["headers"] == {"Accept-Encoding": "gzip, deflate"}


def test_an_anonymous_request_drops_every_header_that_names_an_account() -> None:
    sender, session = api(response)
    sender.request("GET", "x", accept, anonymous=True)
    names = ["Authorization", "COOKIE", "X-Redmine-API-Key", "apikey", "X-Auth-Token", "Accept", "X-Key"]
    request = requests.Request("GET", "https://cms.example/x", dict.fromkeys(names, "v")).prepare()
    assert list(session.sent[0]["auth"](request).headers) == ["Accept", "X-Key"]


def test_a_response_is_read_within_twice_the_time_out(monkeypatch: pytest.MonkeyPatch) -> None:
    bounds: list[tuple[float, int]] = []
    monkeypatch.setattr(web, "bound_response", lambda seconds, size: bounds.append((seconds, size)))
    api(response, timeout=7)[0].request("GET", "x", accept)
    assert bounds == [(14, MAX_BODY)]


# ------------------------------------------------------------------ tries


def test_pauses_between_tries_grow(pauses: list[float]) -> None:
    sender, session = api(lambda: response(500))
    with pytest.raises(WebRefusal):
        sender.request("GET", "x", accept)
    assert len(session.sent) == 4
    assert pauses == [0.2, 0.4, 0.8]


def test_no_pause_is_longer_than_two_seconds_without_being_asked_for(
    pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web, "_TRIES", 6)
    with pytest.raises(WebRefusal):
        api(lambda: response(500))[0].request("GET", "x", accept)
    assert pauses == [0.2, 0.4, 0.8, 1.6, 2]


@pytest.mark.parametrize(("asked", "pause"), [("29", 29), ("30", 30), ("31", 30), ("0", 0)])
def test_a_pause_that_is_asked_for_is_kept_up_to_half_a_minute(pauses: list[float], asked: str, pause: float) -> None:
    with pytest.raises(WebRefusal) as failure:
        api(lambda: response(503, Retry_After=asked))[0].request("DELETE", "x", accept)
    assert failure.value.retry_after == float(asked)
    assert pauses == [pause] * 3


def test_an_error_without_a_response_is_tried_again_and_a_permanent_one_is_not(pauses: list[float]) -> None:
    def broken() -> requests.Response:
        raise requests.ConnectionError("https://cms.example/?auth=secret")

    sender, session = api(broken)
    with pytest.raises(SlotError, match=r"^the connection failed \(ConnectionError\)$"):
        sender.request("HEAD", "x", accept)
    assert (len(session.sent), len(pauses)) == (4, 3)
    sender, session = api(response)
    with pytest.raises(SlotError, match="by the check"):
        sender.request("GET", "x", lambda found: SlotError("refused by the check"))
    assert len(session.sent) == 1


# ------------------------------------------------------------------ no response, or not whole


@pytest.mark.parametrize("error", [requests.ReadTimeout(), requests.ConnectTimeout()])
def test_a_time_out_is_named_and_not_tried_again_at_once(pauses: list[float], error: Exception) -> None:
    def late() -> requests.Response:
        raise error

    sender, session = api(late)
    with pytest.raises(SlotError, match=r"^no response within 5 s$") as failure:
        sender.request("GET", "x", accept)
    assert not failure.value.permanent
    assert (len(session.sent), pauses) == (1, [])


@pytest.mark.parametrize(
    ("passed", "message"), [(9.9, "the response broke off"), (10, "no whole response within 10 s")]
)
def test_a_response_that_is_not_whole_broke_off_or_took_too_long(
    monkeypatch: pytest.MonkeyPatch, passed: float, message: str
) -> None:
    now = [0.0]
    monkeypatch.setattr(web, "time", SimpleNamespace(sleep=time.sleep, monotonic=lambda: now[0]))
    monkeypatch.setattr(web, "read_response", lambda found: bool(now.__setitem__(0, passed)))
    with pytest.raises(SlotError, match=message) as failure:
        api(response)[0].request("PUT", "x", accept)
    assert not failure.value.permanent


# ------------------------------------------------------------------ statuses


@pytest.mark.parametrize("status", [200, 299, 304, 400, 407, 409, 426, 428, 430, 499, 501])
def test_what_is_neither_a_redirect_nor_temporary_is_left_to_the_check(status: int) -> None:
    assert problem(status) is None


@pytest.mark.parametrize("status", [300, 303, 305, 399])
def test_a_redirect_is_permanent(status: int) -> None:
    error = problem(status)
    assert isinstance(error, WebRefusal)
    assert (error.permanent, error.status) == (True, status)
    assert str(error) == f"HTTP {status}, a redirect, which is not followed. Give the final address in the connection"


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 599])
def test_a_temporary_status_is_named_alone(status: int) -> None:
    error = problem(status, Retry_After="3")
    assert isinstance(error, WebRefusal)
    assert (str(error), error.status, error.permanent, error.retry_after) == (f"HTTP {status}", status, False, 3.0)


# ------------------------------------------------------------------ HTML


@pytest.mark.parametrize(
    ("content", "headers"),
    [
        (b"x", {"Content_Type": "text/html; charset=utf-8"}),
        (b"\n <!DOCTYPE html>", {}),
        (b"<HTML lang=en>", {"Content_Type": "application/json"}),
        (b" " * 186 + b"<!doctype html>", {}),
    ],
)
def test_a_page_in_place_of_json_is_an_error_unless_pages_are_allowed(content: bytes, headers: dict[str, str]) -> None:
    error = problem(299, content, **headers)
    assert isinstance(error, WebRefusal)
    assert (error.status, error.permanent) == (299, True)
    assert str(error).startswith("HTTP 299 with HTML in place of JSON, perhaps a login page.")
    assert problem(299, content, allow_html=True, **headers) is None
    assert problem(400, content, **headers) is None


@pytest.mark.parametrize(
    ("content", "headers"),
    [
        (b"", {"Content_Type": "text/html"}), (b"<p>", {}), (b"x<html>", {}), (b" " * 187 + b"<!doctype html>", {}),
        (b"{}", {"Content_Type": "text/plain"}),
    ],
)  # fmt: skip
def test_what_is_no_page_is_no_error(content: bytes, headers: dict[str, str]) -> None:
    assert problem(200, content, **headers) is None


@pytest.mark.parametrize("setting", ["verify", "cert"])
def test_a_file_of_the_connection_that_is_not_here_is_a_permanent_error_that_names_the_setting(
    setting: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = requests.Session()
    session.trust_env = False
    setattr(session, setting, "/no/such/file.pem")
    with pytest.raises(
        SlotError, match="verify or cert in the connection's Extra names no file on this worker"
    ) as caught:
        WebApi(session, "https://127.0.0.1:1", 5).request("GET", "x", accept)
    assert caught.value.permanent


def test_another_failure_of_the_system_is_temporary() -> None:
    with pytest.raises(SlotError, match="the connection failed") as caught:
        api(lambda: fail(OSError(24, "Too many open files")))[0].request("PUT", "x", accept)
    assert not caught.value.permanent


def fail(error: Exception) -> requests.Response:
    raise error
