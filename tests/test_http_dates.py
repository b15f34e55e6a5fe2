from __future__ import annotations

from datetime import datetime, timezone

import pytest

from pme_airflow.http_dates import parse_http_date

READ = datetime(1994, 11, 6, 8, 49, 37, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    "text",
    [
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
        "Sun, 06 Nov 1994 10:49:37 +0200",
        "06 Nov 1994 08:49:37 -0000",
    ],
)
def test_every_form_of_an_http_date_is_read_in_utc(text: str) -> None:
    assert parse_http_date(text) == READ
    assert parse_http_date(text).tzinfo is timezone.utc  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "text",
    [None, "", " ", "soon", "17", "Sun, 99 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 99999 08:49:37 GMT",
     "Fri, 31 Dec 9999 23:59:59 -0100", "Fri, 31 Dec 9999 23:59:59 GMT", "Thu, 01 Jan 9001 00:00:00 GMT", "Sun, 06 Nov 1994 25:49:37 GMT",
     "Sun, 06 Nov 1994 08:49:37 +9999", "\x00", "," * 50],
)  # fmt: skip
def test_an_unreadable_date_is_none(text: str | None) -> None:
    assert parse_http_date(text) is None
