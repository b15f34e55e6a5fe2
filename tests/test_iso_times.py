"""Timestamps are written in UTC with a Z, and read back."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from pme_airflow.iso_times import iso_text, parse_iso


@pytest.mark.parametrize(
    ("timestamp", "text"),
    [
        (datetime(2026, 5, 1, 12, tzinfo=timezone.utc), "2026-05-01T12:00:00Z"),
        (datetime(2026, 5, 1, 12, 0, 0, 7, tzinfo=timezone.utc), "2026-05-01T12:00:00.000007Z"),
        (datetime(2026, 5, 1, 12, tzinfo=timezone(timedelta(hours=2))), "2026-05-01T12:00:00+02:00"),
    ],
)
def test_a_timestamp_is_written_and_read_back(timestamp: datetime, text: str) -> None:
    assert iso_text(timestamp) == text
    assert parse_iso(text) == timestamp


def test_another_text_is_no_timestamp() -> None:
    with pytest.raises(ValueError, match="isoformat"):
        parse_iso("tomorrow")
