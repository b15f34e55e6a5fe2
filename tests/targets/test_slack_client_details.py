"""What each error of Slack means, how long a rate limit is waited for, and the bounds of a call."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

import pytest
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError

from pme_airflow.errors import SlotError
from pme_airflow.targets import slack_client
from pme_airflow.targets.bounded_http import MAX_BODY
from pme_airflow.targets.slack_client import BoundedWebClient, RateLimitHandler, Refusal, SlackApi, SlackRefusal


@pytest.mark.parametrize(
    ("code", "status", "meaning", "message"),
    [
        ("message_not_found", 200, Refusal.GONE, "(message_not_found): see Slack's list of error codes"),
        ("is_archived", 200, Refusal.NO_ACCESS, "(is_archived): the channel is archived: choose another"),
        ("block_mismatch", 200, Refusal.LOCKED, "(block_mismatch): see Slack's list of error codes"),
        ("invalid_auth", 200, Refusal.OTHER, "(invalid_auth): check the token of the Slack connection"),
        ("invalid_auth", 429, Refusal.TEMPORARY, "(invalid_auth): check the token of the Slack connection"),
        ("invalid_auth", 500, Refusal.OTHER, "(invalid_auth): check the token of the Slack connection"),
        ("fatal_error", 200, Refusal.TEMPORARY, "(fatal_error): see Slack's list of error codes"),
        ("", 399, Refusal.TEMPORARY, "(HTTP 399): check base_url of the connection"),
        ("", 400, Refusal.OTHER, "(HTTP 400): check base_url of the connection"),
        ("", 499, Refusal.OTHER, "(HTTP 499): check base_url of the connection"),
        ("", 500, Refusal.TEMPORARY, "(HTTP 500): check base_url of the connection"),
        ("", 429, Refusal.TEMPORARY, "(HTTP 429): check base_url of the connection"),
    ],
)  # fmt: skip
def test_an_error_has_a_meaning_and_advice(code: str, status: int, meaning: Refusal, message: str) -> None:
    error = SlackRefusal("chat_update", code, status)
    assert (error.code, error.meaning, str(error)) == (code, meaning, f"Slack refused chat_update {message}")
    assert error.permanent is (meaning is not Refusal.TEMPORARY)


# ------------------------------------------------------------------ calls


def called(raised: Exception) -> SlotError:
    def method(**arguments: Any) -> None:
        raise raised

    with pytest.raises(SlotError) as failure:
        SlackApi(SimpleNamespace(chat_update=method)).call("chat_update", a=1)
    assert failure.value.__context__ is None
    return failure.value


@pytest.mark.parametrize(
    ("response", "named"),
    [
        (SimpleNamespace(data={"error": "not_in_channel"}, status_code=200), "(not_in_channel)"),
        (SimpleNamespace(data={"error": "a" * 60}, status_code=200), f"({'a' * 60})"),
        (SimpleNamespace(data={"error": "a" * 61}, status_code=418), "(HTTP 418)"),
        (SimpleNamespace(data={"error": 5}, status_code=418), "(HTTP 418)"),
        (SimpleNamespace(data={}, status_code=None), "(HTTP 0)"),
        (SimpleNamespace(data="text", status_code=404), "(HTTP 404)"),
        ({"status": 403, "body": "html"}, "(HTTP 403)"),
        ({"status": None}, "(HTTP 0)"),
    ],
)
def test_an_error_response_is_named_by_slacks_code_or_its_status(response: Any, named: str) -> None:
    error = called(SlackApiError("a token", response))  # type: ignore[no-untyped-call]
    assert isinstance(error, SlackRefusal)
    assert named in str(error)


@pytest.mark.parametrize(
    ("raised", "message"),
    [
        (ConnectionResetError("x"), "the connection to Slack failed (ConnectionResetError)"),
        (KeyError("x"), "Slack's response to chat_update is unreadable (KeyError)"),
        (RecursionError(), "Slack's response to chat_update is unreadable (RecursionError)"),
    ],
)
def test_a_call_without_a_response_may_be_tried_again(raised: Exception, message: str) -> None:
    error = called(raised)
    assert (str(error), error.permanent) == (message, False)


def test_a_call_is_made_with_its_arguments_and_its_response_returned() -> None:
    api = SlackApi(SimpleNamespace(chat_update=lambda **arguments: arguments, base_url="https://a/", token=None))
    assert api.call("chat_update", channel="C1", ts="1") == {"channel": "C1", "ts": "1"}
    assert (api.base_url, api.token) == ("https://a/", "")
    assert (SlackApi(object()).base_url, SlackApi(object()).token) == ("", "")


# ------------------------------------------------------------------ rate limits


def limited(after: Any = None, status: int = 429) -> Any:
    headers = {} if after is None else {"Retry-AFTER": after}
    return SimpleNamespace(status_code=status, headers={"X": "9", **headers})


@pytest.mark.parametrize(
    ("response", "retried", "seconds"),
    [
        (limited(["30"]), True, 30), (limited("31"), False, 31), (limited([" 2 "]), True, 2), (limited(), True, 1),
        (limited("soon"), False, 31), (limited("1" * 10), False, 31), (limited("0"), True, 0), (limited("1", 503), False, 1),
    ],
)  # fmt: skip
def test_a_rate_limit_is_waited_for_up_to_half_a_minute(
    monkeypatch: pytest.MonkeyPatch, response: Any, retried: bool, seconds: float
) -> None:
    waited: list[float] = []
    monkeypatch.setattr(slack_client, "time", SimpleNamespace(sleep=waited.append))
    handler = RateLimitHandler(max_retry_count=3)
    assert handler._can_retry(response=response) is retried
    tried: list[int] = []
    state = SimpleNamespace(next_attempt_requested=False, increment_current_attempt=lambda: tried.append(1))
    handler.prepare_for_next_attempt(state=state, response=response)
    assert (waited, state.next_attempt_requested, tried) == ([seconds], True, [1])


def test_no_response_is_no_rate_limit() -> None:
    assert RateLimitHandler(max_retry_count=3)._can_retry(response=None) is False


# ------------------------------------------------------------------ the client


def test_a_bounded_client_has_the_settings_of_the_other() -> None:
    logger = logging.getLogger("slack-test")
    handlers = [RateLimitHandler(max_retry_count=1)]
    client = WebClient(
        token="xoxb-a", base_url="https://a.example/api/", timeout=7, proxy="http://p:1", headers={"X": "1"},
        logger=logger, retry_handlers=handlers, team_id="T1",
    )  # fmt: skip
    bounded = BoundedWebClient.of(client)
    assert type(bounded) is BoundedWebClient
    for name in ("token", "base_url", "timeout", "ssl", "proxy", "headers", "retry_handlers", "default_params"):
        assert getattr(bounded, name) == getattr(client, name), name
    assert bounded._logger is logger
    assert BoundedWebClient.of(bounded) is bounded


@pytest.mark.parametrize(("size", "fits"), [(MAX_BODY, True), (MAX_BODY + 1, False)])
def test_a_response_is_read_within_twice_the_time_out_and_8_mib(
    monkeypatch: pytest.MonkeyPatch, size: int, fits: bool
) -> None:
    bounds: list[Any] = []
    monkeypatch.setattr(slack_client, "bound_response", lambda *given: bounds.append(given))
    client = BoundedWebClient(token="xoxb-a", timeout=7)
    read: list[int] = []

    class Response:
        code, headers = 200, {"A": "1"}

        def __enter__(self) -> Response:
            return self

        def __exit__(self, *_: object) -> None:
            return None

        def read(self, most: int) -> bytes:
            read.append(most)
            return b"x" * min(size, most)

    opened: list[Any] = []
    opener = SimpleNamespace(open=lambda request, timeout: opened.append((request, timeout)) or Response())
    monkeypatch.setattr(client, "_opener", lambda: opener)
    request: Any = object()
    if fits:
        found = client._perform_urllib_http_request_internal("https://slack.com/api/chat.update", request)
        assert (found["status"], found["headers"], len(found["body"])) == (200, {"A": "1"}, size)
    else:
        with pytest.raises(OSError, match="the response is too long"):
            client._perform_urllib_http_request_internal("https://slack.com/api/chat.update", request)
    assert (opened, bounds, read) == ([(request, 7)], [(14, MAX_BODY)], [MAX_BODY + 1])
