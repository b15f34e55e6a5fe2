from __future__ import annotations

from datetime import datetime, timezone

import pytest

from pme_airflow.api.messages import EmbedLink
from pme_airflow.api.outcomes import HttpResponse, Made, NetworkFailure, NoResponse, NotRevoked
from pme_airflow.secrets import AccessToken, SecretStr

DATE = "Fri, 01 May 2026 12:00:00 GMT"


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7.0),
        (" 1.5 ", 1.5),
        ("Fri, 01 May 2026 12:00:30 GMT", 30.0),
        ("Fri, 01 May 2026 11:00:00 GMT", 0.0),
        ("900", 900.0),
        ("901", 900.0),
        ("Fri, 01 May 2026 12:15:00 GMT", 900.0),
        ("Fri, 01 May 2026 12:15:01 GMT", 900.0),
        ("soon", None),
        ("", None),
        ("-5", None),
        ("1e9", None),
        ("7 s", None),
        ("9" * 400, None),
    ],
)
def test_retry_after_is_read_as_seconds_or_as_a_date_against_the_responses_own_date(
    header: str, seconds: float | None
) -> None:
    assert HttpResponse(429, {"Date": DATE, "Retry-After": header}, b"").retry_after == seconds


def test_a_retry_after_date_without_a_date_header_is_compared_with_the_workers_clock() -> None:
    late = HttpResponse(429, {"Retry-After": "Fri, 01 May 2026 12:00:00 GMT"}, b"").retry_after
    assert late is not None
    expected = (datetime(2026, 5, 1, 12, tzinfo=timezone.utc) - datetime.now(timezone.utc)).total_seconds()
    assert late == pytest.approx(max(0.0, expected), abs=60)


def test_the_date_header_is_the_servers_time() -> None:
    assert HttpResponse(200, {"Date": DATE}, b"").date == datetime(2026, 5, 1, 12, tzinfo=timezone.utc)
    assert HttpResponse(200, {"Date": "yesterday"}, b"").date is None
    assert HttpResponse(200, {}, b"").date is None


def test_a_response_shows_neither_its_body_nor_its_headers() -> None:
    shown = repr(HttpResponse(302, {"Location": "https://x/?auth=Bearer+token1"}, b"token2"))
    assert "token" not in shown


def test_what_was_parsed_is_neither_shown_nor_compared() -> None:
    parsed, fresh = HttpResponse(200, {}, b"{}"), HttpResponse(200, {}, b"{}")
    parsed.parsed["graph"] = "hunter2"
    assert parsed == fresh
    assert "hunter2" not in repr(parsed)
    with pytest.raises(TypeError):
        HttpResponse(200, {}, b"{}", parsed={})  # type: ignore[call-arg]


def test_what_is_left_out_is_the_usual_case() -> None:
    link = EmbedLink("M", AccessToken("t"), "showcase", SecretStr("https://x"), datetime.now(timezone.utc))
    assert HttpResponse(200, {}, b"").complete
    assert Made(link).is_complete
    assert NotRevoked("no") == NotRevoked("no", sent=True, retry_after=None, denied=False)
    assert NoResponse(True, "timed out").failure is None


def test_a_network_failure_with_the_same_reason_is_the_same() -> None:
    assert NoResponse(True, "timed out", NetworkFailure.TIMEOUT) == NoResponse(True, "timed out")
