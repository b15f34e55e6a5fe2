"""Calls of Slack's API: no redirects, bounded responses and pauses, and errors that name what they mean."""

from __future__ import annotations

import json
import ssl
import threading
import tracemalloc
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import pytest
from slack_sdk import WebClient
from slack_sdk.http_retry.builtin_handlers import RateLimitErrorRetryHandler

from pme_airflow.errors import SlotError
from pme_airflow.targets import slack_client
from pme_airflow.targets.slack_client import BoundedWebClient, RateLimitHandler, Refusal, SlackApi, SlackRefusal
from tests.support.certificates import Authority
from tests.support.links import TOKEN_A
from tests.support.web import Reply, WebServer, serving_web
from tests.targets.conftest import SkippingClock

JSON = {"Content-Type": "application/json"}
HTML = {"Content-Type": "text/html; charset=iso-8859-1"}
MIB = 1024 * 1024


@pytest.fixture
def server() -> Iterator[WebServer]:
    with serving_web() as serving:
        yield serving


def api(server: WebServer, **arguments: Any) -> SlackApi:
    return SlackApi(WebClient(token="xoxb-secret", base_url=f"{server.address}/api/", retry_handlers=[], **arguments))


def post(server: WebServer, **arguments: Any) -> Any:
    return api(server, **arguments).call("chat_postMessage", channel="#tours", text=f"link {TOKEN_A}")


def answer(status: int, body: Any, headers: dict[str, str] | None = None) -> Reply:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Reply(status, raw, {**JSON, **(headers or {})})


def test_call_is_sent_with_the_bots_token(server: WebServer) -> None:
    server.reply = lambda request: answer(200, {"ok": True, "ts": "1.2"})
    assert post(server)["ts"] == "1.2"
    (request,) = server.received
    assert (request.method, request.path) == ("POST", "/api/chat.postMessage")
    assert request.headers["Authorization"] == "Bearer xoxb-secret"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``ca.pem`` and a certificate for ``localhost``."""
    authority = Authority.in_folder(tmp_path_factory.mktemp("certificates"))
    authority.issue("localhost")
    return authority.folder


def test_https_is_spoken_with_the_clients_certificates_alone(authority: Path) -> None:
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    served.load_cert_chain(authority / "localhost.pem", authority / "localhost.key")
    with serving_web(served) as server:
        server.reply = lambda request: answer(200, {"ok": True, "ts": "1.2"})
        assert post(server, ssl=ssl.create_default_context(cafile=str(authority / "ca.pem")))["ts"] == "1.2"
        with pytest.raises(SlotError, match="connection to Slack failed") as failure:
            post(server)
        assert not failure.value.permanent
        assert len(server.received) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirect_is_refused_and_the_other_host_gets_neither_link_nor_token(server: WebServer, status: int) -> None:
    """urllib's own handler sends a redirected POST on as a GET, with the bot's token in its headers."""
    with serving_web() as elsewhere:
        server.reply = lambda request: Reply(status, b"", {"Location": f"{elsewhere.address}/stolen"})
        with pytest.raises(SlackRefusal, match=f"HTTP {status}"):
            post(server)
        assert elsewhere.received == []


@pytest.mark.parametrize(
    ("code", "meaning", "permanent"),
    [
        ("ratelimited", Refusal.TEMPORARY, False),
        ("internal_error", Refusal.TEMPORARY, False),
        ("message_not_found", Refusal.GONE, True),
        ("cant_update_message", Refusal.LOCKED, True),
        ("cant_delete_message", Refusal.LOCKED, True),
        ("edit_window_closed", Refusal.LOCKED, True),
        ("channel_not_found", Refusal.NO_ACCESS, True),
        ("not_in_channel", Refusal.NO_ACCESS, True),
        ("is_archived", Refusal.NO_ACCESS, True),
        ("msg_too_long", Refusal.OTHER, True),
        ("invalid_auth", Refusal.OTHER, True),
        ("never_heard_of", Refusal.OTHER, True),
    ],
)
def test_error_code_has_a_meaning(server: WebServer, code: str, meaning: Refusal, permanent: bool) -> None:
    server.reply = lambda request: answer(200, {"ok": False, "error": code})
    with pytest.raises(SlackRefusal) as failure:
        post(server)
    error = failure.value
    assert (error.code, error.meaning, error.permanent) == (code, meaning, permanent)
    assert f"Slack refused chat_postMessage ({code}): " in str(error)


@pytest.mark.parametrize("code", [f"token {TOKEN_A}", "x" * 61, "", None, 5, {"a": 1}, "two words"])
def test_error_that_is_no_code_is_not_repeated(server: WebServer, code: Any) -> None:
    server.reply = lambda request: answer(200, {"ok": False, "error": code})
    with pytest.raises(SlotError) as failure:
        post(server)
    assert TOKEN_A not in str(failure.value)
    assert "two words" not in str(failure.value)


@pytest.mark.parametrize(
    ("status", "permanent"),
    [(200, False), (400, True), (403, True), (404, True), (429, False), (500, False), (502, False)],
)
def test_html_page_in_place_of_a_response_is_an_error(server: WebServer, status: int, permanent: bool) -> None:
    page = f"<html><body>Stra\xdfe {TOKEN_A}</body></html>".encode("latin-1")
    server.reply = lambda request: Reply(status, page, HTML)
    with pytest.raises(SlotError) as failure:
        post(server)
    assert failure.value.permanent is permanent
    assert TOKEN_A not in str(failure.value)


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b'"text"', b"7", b"[" * 100_000, b'{"ok": true' + b"[" * 100_000, b"\xff\xfe"]
)
def test_body_that_is_no_response_is_an_error_without_its_text(server: WebServer, body: bytes) -> None:
    server.reply = lambda request: answer(200, body)
    for handlers in ([], [RateLimitHandler(max_retry_count=1)]):
        client = WebClient(token="xoxb-a", base_url=f"{server.address}/api/", retry_handlers=handlers)
        with pytest.raises(SlotError):
            SlackApi(client).call("auth_test")


def test_unknown_charset_is_read_all_the_same(server: WebServer) -> None:
    server.reply = lambda request: Reply(
        200, b'{"ok": true, "a": "\xc3\xbc"}', {"Content-Type": "application/json; charset=x-none"}
    )
    assert post(server)["a"] == "ü"


@pytest.mark.parametrize("status", [200, 500])
def test_response_of_a_gibibyte_is_not_read_whole(server: WebServer, status: int) -> None:
    def endless(stream: IO[bytes]) -> None:
        with suppress(OSError):
            for _ in range(1024):
                stream.write(b" " * MIB)

    server.reply = lambda request: Reply(status, headers=JSON, stream=endless)
    tracemalloc.start()
    with pytest.raises(SlotError, match="connection to Slack failed"):
        post(server)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 48 * MIB


@pytest.mark.parametrize("status", [200, 500])
def test_response_that_arrives_byte_by_byte_ends_with_the_time_limit(server: WebServer, status: int) -> None:
    ended = threading.Event()

    def dribble(stream: IO[bytes]) -> None:
        with suppress(OSError):
            while not ended.wait(0.05):
                stream.write(b" ")
                stream.flush()

    server.reply = lambda request: Reply(status, headers=JSON, stream=dribble)
    with pytest.raises(SlotError, match="connection to Slack failed") as failure:
        post(server, timeout=1)
    ended.set()
    assert not failure.value.permanent


def test_broken_connection_is_temporary() -> None:
    client = WebClient(token="xoxb-a", base_url="http://127.0.0.1:9/", retry_handlers=[])
    with pytest.raises(SlotError, match=r"connection to Slack failed \(URLError\)") as failure:
        SlackApi(client).call("auth_test")
    assert not failure.value.permanent
    assert failure.value.__context__ is None


def test_error_carries_no_response_in_its_context(server: WebServer) -> None:
    server.reply = lambda request: answer(200, {"ok": False, "error": "no_text", "echo": TOKEN_A})
    with pytest.raises(SlackRefusal) as failure:
        post(server)
    assert failure.value.__context__ is None
    assert failure.value.__cause__ is None


# ------------------------------------------------------------------- rate limits


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    pauses: list[float] = []
    monkeypatch.setattr(slack_client.time, "sleep", pauses.append)
    return pauses


def limited(server: WebServer, headers: dict[str, str], times: int = 100) -> SlackApi:
    def reply(request: object) -> Reply:
        refused = len(server.received) <= times
        return answer(429, {"ok": False, "error": "ratelimited"}, headers) if refused else answer(200, {"ok": True})

    server.reply = reply
    handlers = [RateLimitHandler(max_retry_count=3)]
    return SlackApi(WebClient(token="xoxb-a", base_url=f"{server.address}/api/", retry_handlers=handlers))


@pytest.mark.parametrize(("headers", "pause"), [({"Retry-After": "30"}, 30.0), ({"retry-after": "1"}, 1.0), ({}, 1.0)])
def test_retry_after_is_waited_for(
    server: WebServer, slept: list[float], headers: dict[str, str], pause: float
) -> None:
    assert limited(server, headers, times=2).call("auth_test")["ok"]
    assert slept == [pause, pause]


def test_waiting_ends_after_three_tries(server: WebServer, slept: list[float]) -> None:
    with pytest.raises(SlackRefusal, match="ratelimited") as failure:
        limited(server, {"Retry-After": "1"}).call("auth_test")
    assert not failure.value.permanent
    assert len(server.received) == 4


@pytest.mark.parametrize("retry_after", ["31", "86400", "Fri, 27 Nov 2026 02:00:00 GMT", "soon", "-1"])
def test_long_or_unreadable_retry_after_is_left_to_the_next_task(
    server: WebServer, slept: list[float], retry_after: str
) -> None:
    with pytest.raises(SlackRefusal) as failure:
        limited(server, {"Retry-After": retry_after}).call("auth_test")
    assert not failure.value.permanent
    assert (slept, len(server.received)) == ([], 1)


def test_after_a_refusal_the_calls_of_the_method_keep_to_slacks_tier(
    server: WebServer, slept: list[float], host_clock: SkippingClock
) -> None:
    api = limited(server, {"Retry-After": "1"}, times=1)
    assert api.call("chat_update", channel="C1", ts="1.5", text="x")["ok"]
    for _ in range(10):
        api.call("chat_update", channel="C1", ts="1.5", text="x")
    assert host_clock.skipped == pytest.approx(10 * 60 / 50, rel=0.1)
    skipped = host_clock.skipped
    for _ in range(10):
        api.call("chat_delete", channel="C1", ts="1.5")
    assert host_clock.skipped == skipped


# ----------------------------------------------------------------- which client


def test_settings_of_a_client_are_kept() -> None:
    handler = RateLimitErrorRetryHandler(max_retry_count=2)
    client = WebClient(
        token="xoxb-a", base_url="https://slack.example/api", timeout=7, proxy="http://proxy:3128", team_id="T01",
        headers={"X-Team": "a"}, retry_handlers=[handler],
    )  # fmt: skip
    bounded = BoundedWebClient.of(client)
    assert isinstance(bounded, BoundedWebClient)
    for name in ("token", "base_url", "timeout", "proxy", "ssl", "default_params", "logger", "retry_handlers"):
        assert getattr(bounded, name) == getattr(client, name), name
    assert bounded.headers["X-Team"] == "a"


def test_client_of_another_class_is_used_as_it_is() -> None:
    class Recording:
        base_url, token = "https://slack.com/api/", "xoxb-a"

        def auth_test(self, **arguments: Any) -> dict[str, Any]:
            return {"team_id": "T01", **arguments}

    used = SlackApi(Recording())
    assert used.call("auth_test", a=1) == {"team_id": "T01", "a": 1}
    assert (used.base_url, used.token) == ("https://slack.com/api/", "xoxb-a")
