"""Parsing HTTP dates (RFC 9110, section 5.6.7)."""

from __future__ import annotations

from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from functools import lru_cache

__all__ = ["parse_http_date"]

#: A later year is unreadable, so that no sum of a date and a duration leaves the range of ``datetime``.
_MAX_YEAR = 9000


@lru_cache(maxsize=64)
def parse_http_date(text: str | None) -> datetime | None:
    """Parse an HTTP date in any form that RFC 9110 allows; cached, since the responses of one second share it.

    :return: the time, aware and in UTC; ``None`` where the text is absent or unreadable.
    """
    if not text:
        return None
    try:
        timestamp = parsedate_to_datetime(text)
        if timestamp.tzinfo is None:
            timestamp = timestamp.replace(tzinfo=timezone.utc)
        timestamp = timestamp.astimezone(timezone.utc)
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    return timestamp if timestamp.year <= _MAX_YEAR else None
