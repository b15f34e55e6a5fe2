"""Hostile responses, dates and durations: no traceback, no token in a message, and time that grows with length alone."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pme_airflow.addresses import checked_base_url, checked_report_url, parse_http_url
from pme_airflow.api.fields import checked_link, checked_text, checked_valid_until
from pme_airflow.api.graph_response import parse_graph_response
from pme_airflow.api.judge import judge_mint, judge_revoke, refusal_of
from pme_airflow.api.messages import MintRequest
from pme_airflow.api.outcomes import HttpResponse, Made, NotMade, NotRevoked, Revoked, Unknown
from pme_airflow.durations import MAX_VALIDITY, Validity, parse_duration
from pme_airflow.errors import PMEInputError
from pme_airflow.http_dates import parse_http_date
from pme_airflow.model_ids import model_id_of

NOW = datetime(2026, 5, 1, 12, tzinfo=timezone.utc)
SECRET = "s3cr3tt0k3ns3cr3tt0k3n123"
ASKED = {alias: MintRequest("yyHDFKzPzvN", Validity(600)) for alias in ("a0", "a1")}

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.sampled_from(
    [SECRET, f"Bearer {SECRET}", "2099-01-01T00:00:00Z", "javascript:alert(1)", "../../x", "model.inactive", "401", 429, 500]
)  # fmt: skip
keys = st.sampled_from(
    ["data", "errors", "error", "a0", "a1", "accessToken", "link", "validUntil", "application", "path", "message",
     "httpStatus", "extensions", "code", "classification", "locations", "x"]
)  # fmt: skip
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=5))
links = st.dictionaries(st.sampled_from(["accessToken", "link", "validUntil", "application"]), scalars)
graphs = st.fixed_dictionaries(
    {}, optional={"data": values | st.dictionaries(st.sampled_from(["a0", "a1"]), links | scalars), "errors": values,
                  "error": values}
)  # fmt: skip
bodies = st.binary(max_size=200) | (graphs | values).map(lambda body: json.dumps(body).encode())
statuses = st.sampled_from([200, 201, 204, 301, 400, 401, 403, 404, 408, 415, 425, 429, 500, 502, 503, 504])
headers = st.dictionaries(
    st.sampled_from(["Date", "Retry-After", "Location"]),
    st.text(max_size=40)
    | st.sampled_from(["Fri, 31 Dec 9999 23:59:59 -2359", "Fri, 01 May 2026 12:00:00 GMT", "1e9", "7"]),
)
responses = st.builds(HttpResponse, statuses, headers, bodies, st.booleans())


def messages(outcome: object) -> str:
    """Everything an outcome shows of itself: in words, and as a frame's variables."""
    error = getattr(outcome, "error", None)
    return f"{outcome!r} {error} {getattr(outcome, 'reason', '')}"


@settings(max_examples=400, deadline=None)
@given(responses)
def test_any_response_is_judged_without_a_traceback_and_without_its_text(response: HttpResponse) -> None:
    refusal = refusal_of(response, 2)
    minted = judge_mint(response, ASKED, NOW)
    revoked = judge_revoke(response, list(ASKED))
    shown = messages(refusal) + "".join(map(messages, [*minted.values(), *revoked.values()])) + repr(response)
    assert SECRET not in shown
    assert all(isinstance(verdict, Made | NotMade | Unknown) for verdict in minted.values())
    assert all(isinstance(verdict, Revoked | NotRevoked) for verdict in revoked.values())
    assert response.retry_after is None or 0 <= response.retry_after <= 900
    now = response.date or NOW
    for verdict in minted.values():
        if isinstance(verdict, Made):
            url = parse_http_url(verdict.link.url.reveal())
            assert url is not None
            assert url.scheme == "https"
            assert url.host == "matterport.com" or url.host.endswith(".matterport.com")
            assert verdict.link.valid_until <= now + MAX_VALIDITY + timedelta(minutes=5)
            assert verdict.link.application.isascii()


@settings(max_examples=200, deadline=None)
@given(bodies, st.booleans(), st.integers(0, 200))
def test_any_body_is_parsed_or_none_also_where_it_is_cut(body: bytes, complete: bool, cut: int) -> None:
    graph = parse_graph_response(HttpResponse(200, {}, body[:cut], complete))
    assert graph is None or SECRET not in repr(graph)


@settings(max_examples=300, deadline=None)
@given(
    st.text(max_size=30)
    | st.from_regex(r"\A[A-Za-z]{3}, [0-9]{1,2} [A-Za-z]{3} [0-9]{1,6} [0-9]{2}:[0-9]{2}:[0-9]{2} [+-]?[0-9A-Z]{1,6}\Z")
    | st.datetimes().map(lambda moment: moment.strftime("%a, %d %b %Y %H:%M:%S -0730"))
)
def test_any_date_is_read_in_utc_or_none(text: str) -> None:
    found = parse_http_date(text)
    assert found is None or (found.utcoffset() == timedelta(0) and found + timedelta(days=365) > found)


@settings(max_examples=300, deadline=None)
@given(
    st.text(max_size=50) | st.from_regex(r"\AP?[0-9]{1,20}[A-Za-z]?T?[0-9]{0,20}[HMS]?\Z") | scalars | st.timedeltas()
)
def test_any_duration_is_read_or_refused_by_its_name_without_a_long_text(value: Any) -> None:
    message = refusal_by(lambda: parse_duration(value, "grace"))
    if message is None:
        assert parse_duration(value, "grace") > timedelta(0)
    else:
        assert message.startswith("grace: ")
        assert SECRET not in message
        assert message.isprintable()


def refusal_by(call: Callable[[], object]) -> str | None:
    """The message of the refusal of an input, or ``None`` where it was taken."""
    try:
        call()
    except PMEInputError as error:
        return str(error)
    return None


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60) | st.from_regex(r"\A2[0-9]{3}-?[0-9]{2}-?[0-9]{2}[T ][0-9:.,+Z-]{2,25}\Z"))
def test_any_end_is_read_or_none(text: str) -> None:
    found = checked_valid_until(text, NOW)
    assert found is None or found <= NOW + MAX_VALIDITY + timedelta(minutes=5)


def parse_body(text: str) -> object:
    return judge_mint(HttpResponse(200, {}, text.encode("utf-8", "replace")), ASKED, NOW)


PARSERS = {
    "base address": lambda text: refusal_by(lambda: checked_base_url(text, field="host")),
    "report address": lambda text: refusal_by(lambda: checked_report_url(text, [text[:100]])),
    "link": lambda text: checked_link(text, "https://api.matterport.com"),
    "name": checked_text,
    "end": lambda text: checked_valid_until(text, NOW),
    "duration": lambda text: refusal_by(lambda: parse_duration(text)),
    "date": parse_http_date,
    "retry after": lambda text: HttpResponse(429, {"Retry-After": text}, b"").retry_after,
    "model id": lambda text: refusal_by(lambda: model_id_of(text)),
    "body": parse_body,
}
HOSTILE = ["1", " ", "a", "/", ":", "[", "{", '"', "\\", "%", "\x00", "1:", "a.", "P1", "?m=", '{"a":', "[1,", "\ud800", "é",
           "Fri, ", "2026-01-01T", "https://", "@", "("]  # fmt: skip


@pytest.mark.parametrize("name", PARSERS)
def test_every_parser_reads_a_megabyte_of_anything_in_linear_time(name: str) -> None:
    """Processor time for 1 MB against a hundredth of it: a quadratic pattern takes 10,000 times as long, not 100."""

    def seconds(text: str) -> float:
        start = time.process_time()
        PARSERS[name](text)
        return time.process_time() - start

    for unit in HOSTILE:
        for text in (unit * (1_000_000 // len(unit)), "https://x/" + unit * (1_000_000 // len(unit)) + "!"):
            assert seconds(text) < 2.0 or seconds(text) < 1000 * (seconds(text[:10_000]) + 0.001), (name, unit)
